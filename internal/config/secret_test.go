package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestSecretsResolveAndNeverShow(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"mail.pw": "s3cret-mail\n", "ana.hash": "$argon2id$x\r\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Parse(filepath.Join(dir, "n.yaml"), []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"HOOK": "s3cret-hook", "SLACK": "https://s3cret.example/x", "PD": "s3cret-pd", "PT": "s3cret-pt", "PU": "s3cret-pu",
		"NT": "s3cret-nt", "HEART": "https://s3cret.example/heart", "DSN": "postgres://u:s3cret@db/x", "OIDC": "s3cret-oidc",
	}
	from := Sources{Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }}
	if err := c.ResolveFrom(from); err != nil {
		t.Fatal(err)
	}
	if c.Channels["mail"].SMTP.Password.Value() != "s3cret-mail" || c.Channels["hook"].Webhook.Secret.Value() != "s3cret-hook" ||
		c.SignIn.Users[0].PasswordHash.Value() != "$argon2id$x" || c.State.Value() != "postgres://u:s3cret@db/x" ||
		c.Channels["am"].Alertmanager.URLs[1].Value() != "http://am-1:9093" || c.Monitor.Heartbeat.URL.Value() != "https://s3cret.example/heart" {
		t.Error("a secret was not resolved to what its reference leads to")
	}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %s", c, c, c, c.Channels["mail"].SMTP.Password, js)
	if strings.Contains(shown, "s3cret") {
		t.Errorf("a secret shows: %s", shown)
	}

	delete(env, "HOOK")
	env["PD"] = ""
	env["NT"] = "two\nlines s3cret"
	env["HEART"] = "not an address s3cret"
	if err := os.Remove(filepath.Join(dir, "mail.pw")); err != nil {
		t.Fatal(err)
	}
	err = c.ResolveFrom(from)
	if err == nil {
		t.Fatal("references that lead nowhere were accepted")
	}
	for _, want := range []string{
		"n.yaml:26:64: channels.hook.webhook.secret: env:HOOK: the environment variable is not set",
		"channels.pager.pagerduty.routing_key: env:PD: the environment variable is empty",
		"channels.ntfy.ntfy.token: env:NT: what it leads to is more than one line of text",
		"monitor.heartbeat.url: env:HEART: what it leads to is not an https or http address",
		"channels.mail.smtp.password: file:" + dir + "/mail.pw: read the file: no such file or directory",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no line says %q in:\n%v", want, err)
		}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !regexp.MustCompile(`^` + regexp.QuoteMeta(dir) + `/n\.yaml:[1-9][0-9]*:[1-9][0-9]*: [a-z_.]+: `).MatchString(line) {
			t.Errorf("not file:line:column: key: text: %s", line)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a secret shows: %v", err)
	}
}

func TestStateDirectory(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"/var/lib/notafter":           {"STATE_DIRECTORY": "/var/lib/notafter:/x", "HOME": "/root"},
		"/xdg/notafter":               {"XDG_STATE_HOME": "/xdg", "HOME": "/root"},
		"/root/.local/state/notafter": {"HOME": "/root", "XDG_STATE_HOME": "relative"},
		"":                            {},
	} {
		c := Default()
		err := c.ResolveFrom(Sources{Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
		if c.State.Value() != want || (err == nil) != (want != "") {
			t.Errorf("%v leads to %q (%v), want %q", env, c.State.Value(), err, want)
		}
	}
}
