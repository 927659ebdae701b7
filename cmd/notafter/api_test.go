package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A server that is none of notafter's, or answers without end, is told from one that says that something is cut.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	answer := func(kind, body string, endless bool) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, body)
			for part := strings.Repeat("x", 1<<16); endless; {
				if _, err := io.WriteString(w, part); err != nil {
					return
				}
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	g := &provingGround{t: t}
	for want, server := range map[string]string{
		"it is larger than 32 MiB":                                      answer("application/json", `{"a":"`, true),
		"is no answer of notafter's (is something else serving there?)": answer("application/json", `[1]`, false),
		"it is of another kind (array)":                                 answer("application/json", `[]`, false),
		"its member certificates is of another kind (string)":           answer("application/json", `{"certificates":"x"}`, false),
		"it is not JSON, and is said to be text/html":                   answer("text/html", "<html>Sign in", false),
		"it is not JSON": answer("application/json", "", false),
	} {
		for _, ask := range []string{"prove", "drift"} {
			_, errs := g.run(exitUnknown, ask, "--server", server)
			says(t, errs, want)
			if strings.Contains(errs, "struct") || strings.Contains(errs, "Go value") {
				t.Errorf("it speaks of its own insides: %s", errs)
			}
		}
	}
}

// Who says that a proof may take five seconds does not wait for half a minute.
func TestPatience(t *testing.T) {
	t.Parallel()
	for whole, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 5 * time.Second: 5 * time.Second, 20 * time.Second: 20 * time.Second, time.Hour: 30 * time.Second} {
		c, err := testProgram(&bytes.Buffer{}, &bytes.Buffer{}).proofClimber(proveOptions{timeout: whole, renewalOptions: renewalOptions{apiOptions: apiOptions{server: "http://127.0.0.1:1"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.(*farClimber).api.http.Timeout; got != want {
			t.Errorf("of %s, one answer may take %s, want %s", whole, got, want)
		}
	}
	// It ends the wait for a server that takes a question and says nothing.
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer s.Close()
	defer close(stop)
	base, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &apiClient{base: base, http: &http.Client{Timeout: 100 * time.Millisecond}}
	if err := c.call(context.Background(), http.MethodGet, "/", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "does not answer in time") {
		t.Errorf("got %v", err)
	}
}
