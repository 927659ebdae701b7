package legochild

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// maxSaid bounds what is kept of what a program says, in bytes.
const maxSaid = 2 << 10

func openExec(s Settings) (writer, error) {
	if m := s.get("EXEC_MODE"); m != "" {
		return nil, fmt.Errorf("EXEC_MODE=%s is not offered: it needs the key authorization, which a value of a rehearsal does not have", m)
	}
	return program{s.get("EXEC_PATH")}, nil
}

// program is lego's exec provider: PATH present|cleanup NAME. VALUE. It inherits the child's environment and process
// group, so that it sees the settings only and dies with the child.
type program struct{ path string }

func (p program) present(ctx context.Context, name, value string) error {
	return p.run(ctx, "present", name, value)
}

func (p program) withdraw(ctx context.Context, name, value string) error {
	return p.run(ctx, "cleanup", name, value)
}

func (p program) run(ctx context.Context, command, name, value string) error {
	var out tail
	cmd := exec.CommandContext(ctx, p.path, command, name+".", value) // #nosec G204 -- the program that the operator configured
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 2 * time.Second // a grandchild may hold the pipe
	err := cmd.Run()
	if err == nil {
		return nil
	}
	t := &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleTransient, Action: command, Scope: p.path, Happened: true}
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Detail = "the program did not end in time"
	case errors.As(err, &ended):
		t.Detail = fmt.Sprintf("the program ended with %s", ended.ProcessState)
	default:
		t.Class, t.Happened, t.Detail = assure.TroubleInvalid, false, "run the program: "+err.Error()
		if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
			t.Remedy = "See that EXEC_PATH names a program that this user may run"
		}
	}
	if s := plain(string(out), 500); s != "" {
		t.Detail += ": " + s
	}
	return t
}

// tail keeps the end of what is written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if len(*t) > maxSaid {
		*t = append((*t)[:0], (*t)[len(*t)-maxSaid:]...)
	}
	return len(p), nil
}

func openHTTPReq(s Settings) (writer, error) {
	base, err := endpoint(s.get("HTTPREQ_ENDPOINT"), true)
	if err != nil {
		return nil, err
	}
	if m := s.get("HTTPREQ_MODE"); m != "" {
		return nil, fmt.Errorf("HTTPREQ_MODE=%s is not offered: it needs the key authorization, which a value of a rehearsal does not have", m)
	}
	var sign func(*http.Request, []byte) error
	if u, p := s.get("HTTPREQ_USERNAME"), s.get("HTTPREQ_PASSWORD"); u != "" && p != "" {
		sign = func(r *http.Request, _ []byte) error { r.SetBasicAuth(u, p); return nil }
	}
	return web{newAPI("the HTTP hook", base, sign, sayHook)}, nil
}

// sayHook keeps a path that is not served from looking like a value that is gone already.
func sayHook(status int, _ []byte) (s said) {
	if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
		s.class = assure.TroubleInvalid
	}
	return s
}

// web is lego's httpreq provider: POST /present and /cleanup with {"fqdn","value"}.
type web struct{ *api }

func (p web) present(ctx context.Context, name, value string) error {
	return p.call(ctx, http.MethodPost, "/present", map[string]string{"fqdn": name + ".", "value": value}, nil)
}

func (p web) withdraw(ctx context.Context, name, value string) error {
	return p.call(ctx, http.MethodPost, "/cleanup", map[string]string{"fqdn": name + ".", "value": value}, nil)
}
