package main

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Under cron and in containers nobody may be named.
func TestAckWithoutAName(t *testing.T) {
	server := serveAPI(t)
	for name, c := range map[string]struct {
		login string
		id    string
		code  int
		want  string
	}{
		"the user of the process":       {"ana", "k3f7q2", exitUpheld, "k3f7q2 is taken by ana"},
		"nobody":                        {"", "k3f7q2", exitBroken, "who?; give --as NAME"},
		"nobody, and no such incident":  {"", "nope", exitBroken, `no such incident as "nope": `},
		"somebody and no such incident": {"ana", "nope", exitBroken, `no such incident as "nope": `},
	} {
		var out bytes.Buffer
		p := testProgram(&out, &out)
		p.login = func() string { return c.login }
		if code := p.run(t.Context(), []string{"ack", c.id, "--server", server}); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: status %d, want %d, and %q: %s", name, code, c.code, c.want, out.String())
		}
	}
}

// What the server says and what the program adds are one sentence.
func TestRefusalsReadWell(t *testing.T) {
	for want, a := range map[string]struct {
		code int
		body string
	}{
		"n.example answers 401: Send a bearer token, or sign in; give a token with --token-file or $NOTAFTER_TOKEN": {http.StatusUnauthorized, `{"detail":"Send a bearer token, or sign in."}`},
		"n.example answers 403: This token may only read":                                                           {http.StatusForbidden, `{"detail":"This token may only read."}`},
		"n.example answers 403: Forbidden; the token may not do this":                                               {http.StatusForbidden, "no"},
		"n.example answers 502: Bad Gateway":                                                                        {http.StatusBadGateway, ""},
	} {
		c := &apiClient{base: &url.URL{Host: "n.example"}}
		if got := c.refusal(&http.Response{StatusCode: a.code}, []byte(a.body)).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
