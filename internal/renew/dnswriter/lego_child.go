package dnswriter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/renew/dnswriter/legochild"
)

// legoStderr bounds what is kept of what a child says beside its answer, in bytes.
const legoStderr = 4 << 10

// legoGrace is how long before its end a child is told that its time is over, so that it can still say what it was at.
const legoGrace = 500 * time.Millisecond

// inherited is what a child needs of our environment: to find programs and files, and the way to the Internet. Nothing in
// it is a credential, but for a password that somebody put into a proxy's address.
func inherited() []string {
	var out []string
	for _, n := range []string{
		"PATH", "HOME", "TMPDIR", "TZ", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
		"http_proxy", "https_proxy", "no_proxy", "SystemRoot", "USERPROFILE", "TEMP", "TMP",
	} {
		if v, ok := os.LookupEnv(n); ok {
			out = append(out, n+"="+v)
		}
	}
	return out
}

// ask starts a child, gives it one request and reads one answer. Whatever happens, nothing that it started lives on when
// ask returns.
func (l *Lego) ask(ctx context.Context, q legochild.Request) (legochild.Answer, *assure.Trouble) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	if end, ok := ctx.Deadline(); ok {
		q.Deadline = end
		if end.Sub(l.o.Now()) > 4*legoGrace {
			q.Deadline = end.Add(-legoGrace)
		}
	}
	line, err := json.Marshal(q)
	if err != nil || len(line) >= legochild.MaxLine {
		return legochild.Answer{}, l.trouble(assure.TroubleInvalid, q.Name, "the request does not fit on a line", false)
	}
	cmd := exec.CommandContext(ctx, l.o.Command[0], l.o.Command[1:]...) // #nosec G204 -- our own program
	cmd.Env = l.env
	// The pipe stays open until the answer is there: its end tells the child that we are gone, and then it gives up.
	ask, err := cmd.StdinPipe()
	if err != nil {
		return legochild.Answer{}, l.trouble(assure.TroubleTransient, q.Name, "start the DNS writer's child: "+err.Error(), false)
	}
	out, said := &bounded{most: legochild.MaxLine, line: func() { _ = ask.Close() }}, &ending{most: legoStderr}
	cmd.Stdout, cmd.Stderr = out, said
	apart(cmd)
	cmd.Cancel = func() error { return killAll(cmd) }
	cmd.WaitDelay = time.Second // then the pipes are closed although somebody holds them
	if err := cmd.Start(); err != nil {
		return legochild.Answer{}, l.trouble(assure.TroubleTransient, q.Name, "start the DNS writer's child: "+err.Error(), false)
	}
	_, _ = ask.Write(append(line, '\n')) // a child that does not read it does not answer either
	err = cmd.Wait()
	_ = killAll(cmd) // what the child may have left behind
	a, readErr := oneAnswer(out.b.Bytes())
	switch {
	case ctx.Err() != nil && readErr != nil:
		return a, l.trouble(assure.TroubleTransient, q.Name, "the DNS writer's child did not answer in time and was killed"+l.aside(said), true)
	case out.over:
		return a, l.trouble(assure.TroubleBroken, q.Name, fmt.Sprintf("the DNS writer's child answered with more than %d bytes", legochild.MaxLine), true)
	case readErr != nil && err != nil:
		return a, l.trouble(assure.TroubleTransient, q.Name, "the DNS writer's child ended without an answer, with "+err.Error()+l.aside(said), true)
	case readErr != nil:
		return a, l.trouble(assure.TroubleBroken, q.Name, "the DNS writer's child answered "+readErr.Error()+l.aside(said), true)
	}
	return a, nil
}

func (l *Lego) aside(said *ending) string {
	if s := l.line(string(said.b), 400); s != "" {
		return ": " + s
	}
	return ""
}

// oneAnswer reads an answer that is one line of JSON and nothing else.
func oneAnswer(b []byte) (a legochild.Answer, err error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return a, errors.New("nothing")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if d.Decode(&a) != nil {
		return legochild.Answer{}, errors.New("what is no answer")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return legochild.Answer{}, errors.New("more than one answer")
	}
	if a.OK == (a.Trouble != nil) {
		return legochild.Answer{}, errors.New("neither yes nor no")
	}
	return a, nil
}

// bounded keeps the beginning of what is written to it and notes that there was more. It never stops a writer, so that a
// child which talks too much still ends.
type bounded struct {
	b    bytes.Buffer
	most int
	over bool
	line func() // runs when a line, or too much, has come
}

func (w *bounded) Write(p []byte) (int, error) {
	if room := w.most - w.b.Len(); len(p) > room || bytes.IndexByte(p, '\n') >= 0 {
		w.line()
	}
	room := w.most - w.b.Len()
	if len(p) > room {
		w.over = true
		w.b.Write(p[:max(0, room)])
		return len(p), nil
	}
	return w.b.Write(p)
}

// ending keeps the end of what is written to it.
type ending struct {
	b    []byte
	most int
}

func (w *ending) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	if len(w.b) > w.most {
		w.b = append([]byte(nil), w.b[len(w.b)-w.most:]...)
	}
	return len(p), nil
}
