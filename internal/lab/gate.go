package lab

import (
	"net/http"
	"sync"
)

// gate lets requests into a handler until it is shut, and then waits for those inside: closing an [http.Server] ends
// its connections but does not wait for their handlers.
type gate struct {
	mu     sync.Mutex
	shut   bool
	inside sync.WaitGroup
}

func (g *gate) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		if g.shut {
			g.mu.Unlock()
			panic(http.ErrAbortHandler) // the connection is being closed; net/http knows this value
		}
		g.inside.Add(1)
		g.mu.Unlock()
		defer g.inside.Done()
		h.ServeHTTP(w, r)
	})
}

// close lets nobody in any more and waits for those inside. The server is to be closed before.
func (g *gate) close() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.inside.Wait()
}
