package probe

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// Who serves a certificate must not make this process ask inside the network where it runs.
func TestCertificatesCannotSendUsInside(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	url := p.put("/1.crl", crl(t, r, nil))
	named := strings.Replace(url, "127.0.0.1", "crl.example.com", 1)
	p.handle["/away"] = func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, named, http.StatusFound) }
	a := analyser(t, trusting(t, r), online(&hand{t: noon}), func(o *AnalyserOptions) {
		o.Lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{loopback}, nil }
	})
	for _, tc := range []struct {
		name, url string
		peer      netip.Addr
		want      string
	}{
		{"the peer is on this machine", url, loopback, "good"},
		{"the peer is on this machine, by name", named, netip.MustParseAddr("::1"), "good"},
		{"the peer is on the Internet", url, netip.MustParseAddr("93.184.216.34"), "unknown"},
		{"the peer is on the Internet, by name", named, netip.MustParseAddr("93.184.216.34"), "unknown"},
		{"the peer is in a private network", url, netip.MustParseAddr("10.1.2.3"), "unknown"},
		{"the peer is not known", url, netip.Addr{}, "unknown"},
	} {
		l := leaf(t, "www.example.com", r, withCRL(tc.url))
		before := p.times("/1.crl")
		c, _ := a.Analyse(context.Background(), "www.example.com", tc.peer, ders(l), 0, nil)
		if got := c.Revocation[0]; got.Status != tc.want || tc.want == "unknown" && !strings.Contains(got.Detail, "127.0.0.1 is not one that this certificate may send us to") {
			t.Errorf("%s: %+v", tc.name, got)
		}
		if tc.want == "unknown" && p.times("/1.crl") != before {
			t.Errorf("%s: the server was asked", tc.name)
		}
	}
}

func TestRedirects(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	target := p.put("/1.crl", crl(t, r, nil))
	to := func(where string) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, where, http.StatusFound) }
	}
	p.handle["/once"] = to(target)
	p.handle["/loop"] = to(p.URL + "/loop")
	p.handle["/https"] = to("https://127.0.0.1:1/1.crl")
	p.handle["/metadata"] = to("http://169.254.169.254/latest/meta-data/")
	a := analyser(t, trusting(t, r), online(&hand{t: noon}))
	for path, want := range map[string]string{
		"/once": "", "/loop": "more than 3 redirects", "/https": "only http is asked", "/metadata": "169.254.169.254 is not one",
	} {
		l := leaf(t, "www.example.com", r, withCRL(p.URL+path))
		c, _ := look(t, a, "www.example.com", l)
		got := c.Revocation[0]
		if (got.Status == "good") != (want == "") || !strings.Contains(got.Detail, want) {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if n := p.times("/loop"); n > maxRedirects+1 {
		t.Errorf("the loop was followed %d times", n)
	}
}

// Whatever a server answers, only so much of it is read.
func TestAnswersAreBounded(t *testing.T) {
	p := publish(t)
	endless := func(w http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 1<<20)
		for range 200 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	p.handle["/endless"] = endless
	p.handle["/announced"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "999999999")
		w.WriteHeader(http.StatusOK)
	}
	p.handle["/headers"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", maxAnswerHeader+1))
	}
	p.put("/large", make([]byte, largeBody+10))
	p.put("/small", make([]byte, 10))
	f := newFetcher(nil)
	defer f.close()
	ask := func(path string, limit int) (response, error) {
		return f.do(context.Background(), request{reach: reachLoopback, url: p.URL + path, limit: limit})
	}
	for path, limit := range map[string]int{"/endless": maxListBody, "/announced": maxListBody, "/headers": maxListBody, "/small": 9, "/large": largeBody + 9} {
		if r, err := ask(path, limit); err == nil {
			t.Errorf("%s: %d bytes came through", path, len(r.body))
		}
	}
	for path, want := range map[string]int{"/small": 10, "/large": largeBody + 10} {
		if r, err := ask(path, want); err != nil || len(r.body) != want {
			t.Errorf("%s: %d bytes, %v", path, len(r.body), err)
		}
	}
	if requests, failures := f.stats(); requests != 7 || failures != 5 {
		t.Errorf("%d requests, %d failures", requests, failures)
	}
}

// Proxies of the environment would see every address and hide what is really dialled.
func TestProxiesAreNotUsed(t *testing.T) {
	p := publish(t)
	url := p.put("/x", []byte("x"))
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	f := newFetcher(nil)
	defer f.close()
	for r, c := range f.clients {
		if c.Transport.(*http.Transport).Proxy != nil {
			t.Errorf("reach %d has a proxy", r)
		}
	}
	if _, err := f.do(context.Background(), request{reach: reachLoopback, url: url, limit: 10}); err != nil {
		t.Error(err)
	}
}

func TestMaxAge(t *testing.T) {
	for header, want := range map[string]string{
		"max-age=3600": "1h0m0s", "public, max-age=60, must-revalidate": "1m0s", `max-age="5"`: "5s", "no-cache": "0s", "max-age=-1": "0s", "max-age=x": "0s", "max-age=99999999999999999999": "0s",
	} {
		if got := maxAge(header).String(); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

// What could not be looked up is said once.
func TestAFailedLookupIsSaidOnce(t *testing.T) {
	f := newFetcher(resolver(nameServer(t, nil)).Lookup)
	defer f.close()
	_, err := f.do(context.Background(), request{url: "http://gone.example/x.crl", limit: 10})
	if err == nil || strings.Count(err.Error(), "look up") != 1 || !strings.Contains(err.Error(), "look up gone.example: nxdomain") || strings.HasSuffix(err.Error(), ": ") {
		t.Errorf("the error is %q", err)
	}
}
