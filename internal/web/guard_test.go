package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// A client that announces a body and never sends all of it must not keep its connection: a few hundred of them would
// be the end of the dashboard. That holds wherever the body would be read, and also where nobody reads it.
func TestHalfABodyKeepsNoConnection(t *testing.T) {
	s := newServer(t, newWorld(), func(o *Options) { o.Auth.StoredUsers = true })
	s.guard.bodyTime = 50 * time.Millisecond
	srv := serve(t, s)
	for _, x := range []struct{ line, kind string }{
		{"POST /sign-in", "application/x-www-form-urlencoded"},
		{"POST /sign-in", "text/plain"},
		{"POST /incidents/none/acknowledge", "application/x-www-form-urlencoded"},
		{"POST /api/v1/check", "application/json"},
		{"POST /nothing", "text/plain"},
		{"GET /healthz", "text/plain"},
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\nuser=", x.line, x.kind); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%s with half a body of %s: the connection stays: %v", x.line, x.kind, err)
		}
		_ = conn.Close()
	}
}

// The deadline of the body is over with the body: an answer that takes longer is made all the same.
func TestALongAnswerOutlivesTheDeadlineOfItsBody(t *testing.T) {
	s := newServer(t, newWorld(), nil)
	s.guard.bodyTime = 50 * time.Millisecond
	gone := make(chan error, 1)
	h := s.guard.wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			gone <- r.Context().Err()
		case <-time.After(10 * s.guard.bodyTime):
			gone <- nil
		}
	}))
	s.handler = h
	r, err := http.Post(serve(t, s).URL, "text/plain", strings.NewReader("all of it"))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if err := <-gone; err != nil {
		t.Errorf("the request ended while it was answered: %v", err)
	}
}

// What a page of another site loads by itself gets nothing, and no link of another site makes this server look around.
func TestOtherSitesLoadNothing(t *testing.T) {
	s := newServer(t, newWorld(), nil)
	for _, x := range []struct {
		path, site, mode string
		want             int
	}{
		{"/", "cross-site", "navigate", 200}, // a link in a message
		{"/", "cross-site", "no-cors", 403},
		{"/events", "cross-site", "no-cors", 403},
		{"/probe?target=good.example", "cross-site", "no-cors", 403},
		{"/probe?target=good.example", "cross-site", "navigate", 403},
		{"/probe?target=good.example", "none", "navigate", 200}, // typed in
		{"/probe?target=good.example", "", "", 200},             // no browser
		{"/api/v1/incidents", "cross-site", "cors", 403},
		{"/api/v1/incidents", "same-origin", "cors", 200},
	} {
		header := map[string]string{"Sec-Fetch-Site": x.site, "Sec-Fetch-Mode": x.mode}
		if r := fetch(s, "GET", x.path, "", header); r.Code != x.want {
			t.Errorf("%s from %q by %q gives %d, want %d", x.path, x.site, x.mode, r.Code, x.want)
		}
	}
}

// Whoever has an IPv6 network has 2^64 addresses in it; limits count them as one.
func TestANetworkIsOneParty(t *testing.T) {
	for a, b := range map[string]string{"2001:db8:1:2::1": "2001:db8:1:2:ffff::9", "fe80::1%eth0": "fe80::2%eth1", "192.0.2.1": "192.0.2.1", "unknown": "unknown"} {
		if party(a) != party(b) {
			t.Errorf("%s and %s are two parties", a, b)
		}
	}
	for a, b := range map[string]string{"2001:db8:1:2::1": "2001:db8:1:3::1", "192.0.2.1": "192.0.2.2"} {
		if party(a) == party(b) {
			t.Errorf("%s and %s are one party", a, b)
		}
	}
	auth := newServer(t, newWorld(), func(o *Options) { o.Auth.StoredUsers = true }).auth
	var wait time.Duration
	for i := range 31 {
		wait = auth.hold(fmt.Sprintf("user%d", i), fmt.Sprintf("2001:db8::%x", i+1))
	}
	if wait == 0 {
		t.Error("thirty-one sign-ins of one network are let through")
	}
}

// When every slot is taken by targets that are silent, whoever waits for one is told that nobody looked. A probe that
// failed would be a page about a target that is well.
func TestAScrapeThatNobodyLookedForIsNoFailedProbe(t *testing.T) {
	var looked, not atomic.Int32
	release := make(chan struct{})
	s := newServer(t, newWorld(), func(o *Options) {
		o.Probe = func(_ context.Context, target, module string) (assure.Served, assure.Judgement, error) {
			looked.Add(1)
			<-release
			return probeStandIn(target, module)
		}
	})
	s.looks = make(chan struct{}, 2)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			r := fetch(s, "GET", "/probe?target=unreachable.example", "", map[string]string{"X-Prometheus-Scrape-Timeout-Seconds": "0.6"})
			switch {
			case r.Code == http.StatusServiceUnavailable:
				if not.Add(1) == 10 {
					close(release)
				}
			case r.Code != http.StatusOK:
				t.Errorf("it gives %d", r.Code)
			}
		})
	}
	wg.Wait()
	if looked.Load() != 2 {
		t.Errorf("%d looks through two slots", looked.Load())
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // a slot is free and the time is up: chance must not decide
		if _, _, err := s.look(late, "good.example", ""); err == nil {
			t.Fatal("it looks when the time is up")
		}
	}
}
