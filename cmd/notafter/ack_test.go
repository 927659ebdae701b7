package main

import (
	"bytes"
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
