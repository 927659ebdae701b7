package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// healthTime is how long a health check may take.
const healthTime = 5 * time.Second

// healthz says whether the process lives. It is answered to anybody, so it says no more than that; why it fails is in
// the log.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	s.answerHealth(w, r, "health", s.opts.Health)
}

// readyz says whether requests can be answered.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	check := s.opts.Ready
	if check == nil {
		check = s.opts.Reader.Ping
	}
	s.answerHealth(w, r, "readiness", check)
}

func (s *Server) answerHealth(w http.ResponseWriter, r *http.Request, what string, check func(context.Context) error) {
	status, word := http.StatusOK, "ok"
	if check != nil {
		ctx, cancel := context.WithTimeout(r.Context(), healthTime)
		defer cancel()
		if err := check(ctx); err != nil {
			s.log.Error("check "+what, "error", err)
			status, word = http.StatusServiceUnavailable, "failing"
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": word})
}
