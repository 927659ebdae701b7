package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"
)

const (
	// answerTime is how long one answer may take to be made and sent; event streams renew it.
	answerTime = 45 * time.Second
	// bodyTime is how long a form or document may take to arrive.
	bodyTime = 15 * time.Second
	// bodyLimit is the largest form or document that is read.
	bodyLimit = 64 << 10
)

// contentPolicy lets in this server's scripts and styles and nothing else. Nothing may be inline.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard stands in front of every route: limits, headers, the origin of writes, the Host header, panics and the log.
type guard struct {
	s        *Server
	origin   *http.CrossOriginProtection
	bodyTime time.Duration
}

func newGuard(s *Server) *guard {
	g := &guard{s: s, origin: http.NewCrossOriginProtection(), bodyTime: bodyTime}
	if s.base.Host != "" {
		// Behind a proxy that changes the Host header, the base address is still this server. Only a malformed origin
		// is refused, and parseBase has seen to that.
		_ = g.origin.AddTrustedOrigin(s.base.String())
	}
	return g
}

func (g *guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &response{ResponseWriter: rw}
		began := time.Now() // for the log and deadlines of the connection, which are on the real clock
		rc := http.NewResponseController(rw)
		_ = rc.SetWriteDeadline(began.Add(answerTime)) // not supported by recorders in tests
		if r.Body != nil && r.Body != http.NoBody {
			_ = rc.SetReadDeadline(began.Add(g.bodyTime))
			r.Body = &timedBody{http.MaxBytesReader(w, r.Body, bodyLimit), rc}
		}
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if g.s.base.Scheme == "https" {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				g.s.log.Error("panic while answering", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if !w.wrote {
					http.Error(w, "Something went wrong while making this answer. It has been logged.", http.StatusInternalServerError)
				}
			}
			g.s.log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.Int("status", w.status), slog.Duration("took", time.Since(began)), slog.String("remote", g.s.remote(r)))
		}()
		if why := g.refuse(r); why != "" {
			g.s.log.Warn("request refused", "why", why, "method", r.Method, "path", r.URL.Path, "host", r.Host, "remote", g.s.remote(r))
			if strings.HasPrefix(r.URL.Path, "/api/") {
				problem(w, http.StatusForbidden, why)
				return
			}
			http.Error(w, why, http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody lifts the deadline for reading once the body is there, so that a long answer is not taken for a client that
// has gone. As long as a part is missing the deadline stays, also when no handler asks for it: before a server answers it
// waits for the rest, and without a deadline it would wait for ever.
type timedBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// refuse says why a request is not answered at all; empty when it may pass.
func (g *guard) refuse(r *http.Request) string {
	if !g.s.auth.on() && !g.s.knownHost(r.Host) {
		return "This dashboard has no sign-in and answers only on loopback names. Open it as http://127.0.0.1 or http://localhost, or set base_url."
	}
	if err := g.origin.Check(r); err != nil {
		return "This request comes from another site and was refused."
	}
	// A link from anywhere may lead to a page. What a page of another site loads by itself, such as a picture, has no
	// business here, and nobody else's link makes this server look at something.
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && (r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.URL.Path == "/probe") {
		return "This request was made by a page of another site and was refused."
	}
	return ""
}

// knownHost reports whether a Host header names this machine's loopback or the base address.
func (s *Server) knownHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true // RFC 6761 section 6.3: always loopback
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return s.base.Host != "" && strings.EqualFold(host, s.base.Hostname())
}

// remote is the address a request comes from: of the connection, or the last one in X-Forwarded-For that is not one of
// our own proxies when the connection is from such a proxy.
func (s *Server) remote(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "unknown"
	}
	ip := at.Addr().Unmap()
	list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(list) - 1; i >= 0 && s.trusted(ip); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(list[i]))
		if err != nil {
			break
		}
		ip = next.Unmap()
	}
	return ip.String()
}

// party is what limits count as one: an address, or the /64 of an IPv6 address, in which whoever has one has them all.
func party(remote string) string {
	ip, err := netip.ParseAddr(remote)
	if err != nil || ip.Is4() {
		return remote
	}
	p, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return remote
	}
	return p.String()
}

func (s *Server) trusted(ip netip.Addr) bool {
	for _, p := range s.opts.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// response remembers what was answered.
type response struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (w *response) WriteHeader(code int) {
	if !w.wrote {
		w.status, w.wrote = code, true
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *response) Write(b []byte) (int, error) {
	if !w.wrote {
		w.status, w.wrote = http.StatusOK, true
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// problem writes a problem document (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
