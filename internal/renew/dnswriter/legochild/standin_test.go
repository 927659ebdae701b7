package legochild

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// reply is what a provider answers when it does not do what was asked.
type reply struct {
	status int
	header map[string]string
	body   string
}

// record is a TXT value in the stand-in's zone, unquoted, by its full name.
type record struct {
	id    int
	name  string
	value string
}

// zone is the zone example.com at a stand-in of a provider, and the ways in which the stand-in fails.
type zone struct {
	mu      sync.Mutex
	next    int
	records []record
	refuse  *reply // every request is answered so
	onWrite *reply // every write is answered so, and not made
	drop    bool   // the next write is made and its answer lost
	before  func() // runs before each write, as another program that writes at the same time
	write   func(*http.Request) bool
	writes  int
}

func (z *zone) add(name, value string) int {
	z.next++
	z.records = append(z.records, record{z.next, name, value})
	return z.next
}

func (z *zone) del(id string) bool {
	n := len(z.records)
	z.records = slices.DeleteFunc(z.records, func(r record) bool { return strconv.Itoa(r.id) == id })
	return len(z.records) != n
}

func (z *zone) at(name string) []record {
	var out []record
	for _, r := range z.records {
		if r.name == name {
			out = append(out, r)
		}
	}
	return out
}

func (z *zone) set(name string, values []string) {
	z.records = slices.DeleteFunc(z.records, func(r record) bool { return r.name == name })
	for _, v := range values {
		z.add(name, bare(v))
	}
}

// values are those at a name, in no order that matters.
func (z *zone) values(name string) []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	out := []string{}
	for _, r := range z.at(name) {
		out = append(out, r.value)
	}
	slices.Sort(out)
	return out
}

func (z *zone) serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z.mu.Lock()
		defer z.mu.Unlock()
		writes := z.write(r)
		if writes {
			z.writes++
			if z.before != nil {
				z.before()
			}
		}
		if f := z.refuse; f != nil {
			f.send(w)
			return
		}
		if f := z.onWrite; f != nil && writes {
			f.send(w)
			return
		}
		if writes && z.drop {
			z.drop = false
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (f *reply) send(w http.ResponseWriter) {
	for k, v := range f.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(f.status)
	_, _ = fmt.Fprint(w, f.body)
}

const (
	apex = "example.com"
	name = "_acme-challenge.www.example.com"
	sub  = "_acme-challenge.www"
	// ours and theirs are of the shape that a challenge demands: base64url of a SHA-256.
	ours   = "MsijOYZxqyjGnFGwhjrhfg-Xgbl5r68WPda0J9EgqqI"
	theirs = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ"
	extra  = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
)

// full is the full name of a relative one as providers write it.
func full(rel string) string {
	if rel == "" || rel == "@" {
		return apex
	}
	return rel + "." + apex
}

// rel is the other way round.
func rel(name string) string {
	if name == apex {
		return "@"
	}
	return strings.TrimSuffix(name, "."+apex)
}

func quoted(rs []record) []string {
	out := []string{}
	for _, r := range rs {
		out = append(out, quote(r.value))
	}
	return out
}

func anyWrite(r *http.Request) bool { return r.Method != http.MethodGet }

// standin is one provider as the tests know it.
type standin struct {
	code     string
	settings func(base string) Settings
	handler  func(t *testing.T, z *zone) http.Handler
	write    func(*http.Request) bool // nil: everything but GET
	refused  reply
	expired  reply
	throttle reply
	conflict reply // to a write; an empty one means that the provider has no such answer
	// swaps is true for providers whose sets are exchanged by comparison.
	swaps bool
	// erases is true for those that can lose what is written at the same instant.
	erases bool
	// wait is what the throttling answer asks for; zero when it does not tell.
	wait     int
	identity string // what names the refused one; empty when the settings and the answer do not
}

func (s standin) open(t *testing.T, z *zone) (Provider, Settings) {
	t.Helper()
	p, ok := Find(s.code)
	if !ok {
		t.Fatalf("no provider %s", s.code)
	}
	z.write = s.write
	if z.write == nil {
		z.write = anyWrite
	}
	set := s.settings(z.serve(t, s.handler(t, z)))
	if err := p.Check(set); err != nil {
		t.Fatalf("settings: %v", err)
	}
	return p, set
}

// wants refuses a request that does not carry the header.
func wants(t *testing.T, name, value string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get(name); !strings.HasPrefix(got, value) {
			t.Errorf("%s %s came with %s %q", r.Method, r.URL.Path, name, got)
		}
		h.ServeHTTP(w, r)
	})
}
