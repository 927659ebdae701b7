package arm

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Ill is what goes wrong with a request.
type Ill string

// Ills. The first group changes nothing, the second makes the change first: failed, and failed but happened.
const (
	Throttled Ill = "throttled" // 429, with Retry-After when the fault has one
	Broken    Ill = "broken"    // 500
	Busy      Ill = "busy"      // 503, with Retry-After when the fault has one
	Reset     Ill = "reset"     // the connection ends without an answer
	Garbage   Ill = "garbage"   // 200 and a body that is no JSON
	Strange   Ill = "strange"   // 404 and a page of HTML: something else answers at this address

	Lost    Ill = "lost"    // made, then the connection ends without an answer
	Botched Ill = "botched" // made, then 500

	Late Ill = "late" // made and answered well, after Wait
)

// Fault is something that goes wrong with requests. Empty conditions match everything.
type Fault struct {
	Ill    Ill
	Method string // such as PUT
	Path   string // a part of the path, in any case of letters: "/oauth2/", "/TXT/", "/checkAccess"
	// Times is how many requests it hits; zero means all, until it is healed.
	Times int
	// RetryAfter is sent with Throttled and Busy, in whole seconds; zero sends none.
	RetryAfter time.Duration
	// Wait is how long the server waits before it does anything.
	Wait time.Duration
	// Before is called before the request is looked at; with no Ill, that is all that happens. It may use the server,
	// which is how somebody else changes a record set between a client's reading and writing.
	Before func()
}

// Inject makes a fault happen and returns what heals it.
func (s *Server) Inject(f Fault) (heal func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &f
	s.faults = append(s.faults, p)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(x *Fault) bool { return x == p })
	}
}

// Heal ends every fault.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns the first fault that hits the request, and counts it.
func (s *Server) fault(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.ToLower(r.URL.Path)
	for i, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || !strings.Contains(path, strings.ToLower(f.Path)) {
			continue
		}
		hit := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return hit
	}
	return Fault{}
}

// Request is one request as the log keeps it. It holds no token and no secret.
type Request struct {
	At        time.Time
	Method    string
	Path      string
	Query     string
	Principal string // object id; empty for requests without a token
	Action    string // what right it needed; empty for those of the authority
	Status    int    // zero when no answer was sent
	Code      string // the error's code
}

// Requests returns the newest requests, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log[max(0, len(s.log)-s.opts.Requests):])
}

func (s *Server) note(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log = append(s.log, r); len(s.log) >= 2*s.opts.Requests { // cut seldom, so that logging costs nothing
		s.log = slices.Clone(s.log[len(s.log)-s.opts.Requests:])
	}
}
