package arm

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// largest is the largest body that is read, in bytes.
const largest = 1 << 20

// send writes JSON and returns the status.
func send(w http.ResponseWriter, status int, body any) int {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if status != http.StatusNoContent {
		_ = json.NewEncoder(w).Encode(body)
	}
	return status
}

// fail writes an error in Resource Manager's form.
func fail(w http.ResponseWriter, t *trouble) (int, string) {
	if t.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token", error_description="The authentication failed."`)
	}
	return send(w, t.status, map[string]any{"error": map[string]string{"code": t.code, "message": t.message}}), t.code
}

// nowhere takes an answer that is not to be sent.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	f := s.fault(r)
	if f.Before != nil {
		f.Before()
	}
	if f.Wait > 0 {
		t := time.NewTimer(f.Wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		case <-s.gone:
			return
		}
	}
	entry := Request{At: s.opts.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery}
	defer func() { s.note(entry) }()
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	switch f.Ill {
	case Throttled:
		entry.Status, entry.Code = fail(w, &trouble{429, "TooManyRequests", "The request is being throttled as the limit has been reached for operation type. For more information, see https://aka.ms/srpthrottlinglimits."})
	case Broken:
		entry.Status, entry.Code = fail(w, &trouble{500, "InternalServerError", "The server encountered an unexpected condition."})
	case Busy:
		entry.Status, entry.Code = fail(w, &trouble{503, "ServerTimeout", "The request timed out."})
	case Strange:
		http.Error(w, "<html>not found</html>", http.StatusNotFound)
		entry.Status = 404
	case Garbage:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>not what was asked for</html>")
		entry.Status = 200
	case Reset:
		hangUp(w)
	case Lost:
		s.answer(nowhere{http.Header{}}, r, &entry)
		entry.Status = 0
		hangUp(w)
	case Botched:
		s.answer(nowhere{http.Header{}}, r, &entry)
		entry.Status, entry.Code = fail(w, &trouble{500, "InternalServerError", "The server encountered an unexpected condition."})
	default:
		s.answer(w, r, &entry)
	}
}

// hangUp ends the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // ends the stream where a connection cannot be taken over
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}

// answer does what was asked and fills in the log's entry.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, entry *Request) {
	r.Body = http.MaxBytesReader(nil, r.Body, largest)
	if status, code, ok := s.authority(w, r); ok {
		entry.Status, entry.Code = status, code
		return
	}
	s.mu.Lock()
	c, no := s.bearer(r.Header.Get("Authorization"))
	s.mu.Unlock()
	if no != nil {
		entry.Status, entry.Code = fail(w, no)
		return
	}
	entry.Principal = c.Object
	if r.URL.Query().Get("api-version") == "" {
		entry.Status, entry.Code = fail(w, &trouble{400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."})
		return
	}
	op, no := s.route(r)
	if no != nil {
		entry.Status, entry.Code = fail(w, no)
		return
	}
	entry.Action = op.action
	if no := s.mayDo(c, op, r.Method); no != nil {
		entry.Status, entry.Code = fail(w, no)
		return
	}
	entry.Status, entry.Code = op.do(w, r, c)
}

// operation is what a request asks for.
type operation struct {
	action string // the right that it needs
	scope  string // where
	do     func(w http.ResponseWriter, r *http.Request, c claims) (status int, code string)
}

// route finds the operation by path and method.
func (s *Server) route(r *http.Request) (operation, *trouble) {
	path := strings.TrimRight(r.URL.Path, "/")
	if i := strings.LastIndex(strings.ToLower(path), strings.ToLower(authorization)); i >= 0 {
		return s.routeAuthorization(r.Method, path[:i], strings.Split(path[i+len(authorization):], "/"))
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(parts) > 5 && strings.EqualFold(parts[5], "Microsoft.ManagedIdentity") {
		return s.routeIdentity(r.Method, parts)
	}
	return s.routeDNS(r.Method, parts)
}

// mayDo refuses what the token's principal has no right to, and what a lock stands against.
func (s *Server) mayDo(c claims, op operation, method string) *trouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.seenBy(c.Seen).decide(c.Object, op.action, op.scope)
	switch {
	case d.deny != nil:
		return &trouble{403, "DenyAssignmentAuthorizationFailed", fmt.Sprintf("The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, the access is denied because of the deny assignment with name '%s' and Id '%s' at scope '%s'.",
			c.App, c.Object, op.action, op.scope, d.deny.Title, strings.ReplaceAll(d.deny.Name, "-", ""), d.deny.Scope)}
	case !d.allowed:
		return &trouble{403, "AuthorizationFailed", fmt.Sprintf("The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			c.App, c.Object, op.action, op.scope)}
	case method != http.MethodDelete && method != http.MethodPut && method != http.MethodPatch:
		return nil
	case strings.Contains(strings.ToLower(op.action), "/locks/"):
		return nil // a lock can be taken off under itself
	}
	if at := s.locked(method, op.scope); len(at) > 0 {
		verb := "write"
		if method == http.MethodDelete {
			verb = "delete"
		}
		return &trouble{409, "ScopeLocked", fmt.Sprintf("The scope '%s' cannot perform %s operation because following scope(s) are locked: '%s'. Please remove the lock and try again.",
			op.scope, verb, strings.Join(at, "','"))}
	}
	return nil
}

// read decodes a body of JSON.
func read(r *http.Request, into any) *trouble {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return &trouble{400, "InvalidRequestContent", "The request content was invalid and could not be deserialized."}
	}
	return nil
}

func noSuch(what string) *trouble {
	return &trouble{404, "ResourceNotFound", "The resource '" + what + "' was not found."}
}

func notAllowed(method string) *trouble {
	return &trouble{405, "MethodNotAllowed", "The method '" + method + "' is not allowed here."}
}
