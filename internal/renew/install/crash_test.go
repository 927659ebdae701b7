//go:build unix

package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// fault breaks the n-th change of the file system (from 0): failed, or failed but happened. dead makes all after it fail
// too, as they do in a process that was killed.
type fault struct {
	n              int
	happened, dead bool
	err            error
	count          int
	struck         string
}

func (f *fault) around(op, path string, do func() error) error {
	i := f.count
	f.count++
	switch {
	case i == f.n:
		f.struck = op + " " + filepath.Base(path)
		if f.happened {
			_ = quick(op, do)
		}
		return f.err
	case i > f.n && f.dead:
		return f.err
	}
	return quick(op, do)
}

var errBroken = errors.New("input/output error")

// temps lists what was left over anywhere under dir.
func temps(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), tempMark) {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every change of the file system fails once, in both ways, and the process dies at each, before and after it.
func TestAFailureOrDeathAtEachStepLeavesOnePairOrTheNextInstallRepairs(t *testing.T) {
	t.Parallel()
	one, two, three, four := issue(), issue(), issue(), issue()
	for name, p := range places() {
		for _, ways := range []fault{{}, {happened: true}, {dead: true}, {dead: true, happened: true}} {
			t.Run(fmt.Sprintf("%s, happened %v, dead %v", name, ways.happened, ways.dead), func(t *testing.T) {
				t.Parallel()
				for n := 0; ; n++ {
					dir := t.TempDir()
					put(t, newFiles(t, p.opts(dir)), one)
					put(t, newFiles(t, p.opts(dir)), two)
					at := ways
					at.n, at.err = n, errBroken
					f := newFiles(t, p.opts(dir))
					f.around = at.around
					steps, err := f.Install(t.Context(), "web", three.chain, three.key)
					if at.struck == "" {
						if n < 12 {
							t.Errorf("only %d steps were tried", n)
						}
						break
					}
					where := fmt.Sprintf("step %d (%s)", n, at.struck)
					switch {
					case err == nil:
						if !p.holds(dir, three) {
							t.Errorf("%s: said to be installed, and is not", where)
						}
					case !at.dead:
						wantTrouble(t, err, assure.TroubleTransient, "input/output error")
						if !p.holds(dir, two) {
							t.Errorf("%s: the pair from before is not in place: %s", where, outcomes(steps))
						}
						if strings.Contains(outcomes(steps), "rollback failed") {
							t.Errorf("%s: one failure, and no way back", where)
						}
					case name == "versions":
						if !p.holds(dir, two) && !p.holds(dir, three) {
							t.Errorf("%s: neither pair is in place", where)
						}
					default: // a mixture is possible, half a file is not
						if got := read(t, p.chain(dir)); got != string(two.chain) && got != string(three.chain) {
							t.Errorf("%s: the chain is neither of both", where)
						}
						if got := read(t, p.key(dir)); got != string(two.key) && got != string(three.key) {
							t.Errorf("%s: the key is neither of both", where)
						}
					}
					// A server that refuses the next pair: whatever the crash left, a whole pair is what it goes back to.
					if at.dead {
						o := p.opts(dir)
						o.Reload = &Reload{PIDFile: filepath.Join(dir, "no.pid")}
						_, err = newFiles(t, o).Install(t.Context(), "web", four.chain, four.key)
						wantTrouble(t, err, assure.TroubleMissing, "no.pid")
						if !p.holds(dir, two) && !p.holds(dir, three) {
							t.Errorf("%s: after a rollback neither pair is in place", where)
						}
					}
					put(t, newFiles(t, p.opts(dir)), four)
					if !p.holds(dir, four) {
						t.Errorf("%s: the next Install repaired nothing", where)
					}
					if left := temps(t, dir); len(left) > 0 {
						t.Errorf("%s: left over: %v", where, left)
					}
				}
			})
		}
	}
}

// The first installation ever has nothing to go back to: a failure leaves nothing, not half a pair.
func TestAFailureTheFirstTimeLeavesNothing(t *testing.T) {
	t.Parallel()
	a := issue()
	for name, p := range places() {
		for _, happened := range []bool{false, true} {
			for n := 0; ; n++ {
				dir := t.TempDir()
				at := fault{n: n, happened: happened, err: errBroken}
				f := newFiles(t, p.opts(dir))
				f.around = at.around
				_, err := f.Install(t.Context(), "web", a.chain, a.key)
				if at.struck == "" {
					break
				}
				_, keyErr := os.Lstat(p.key(dir))
				_, chainErr := os.Lstat(p.chain(dir))
				if err == nil && !p.holds(dir, a) || err != nil && (keyErr == nil || chainErr == nil) {
					t.Errorf("%s, step %d (%s, happened %v): %v; key %v, chain %v", name, n, at.struck, happened, err, keyErr, chainErr)
				}
			}
		}
	}
}

// File systems without second names for files (hard links) keep predecessors as copies.
func TestAFileSystemWithoutHardLinks(t *testing.T) {
	t.Parallel()
	dir, a, b, c := t.TempDir(), issue(), issue(), issue()
	o := places()["plain"].opts(dir)
	o.Files[0].Mode = 0o640
	put(t, newFiles(t, o), a)
	put(t, newFiles(t, o), b)
	good := filepath.Join(t.TempDir(), "good")
	o.Reload = command(t, "only", good)
	f := newFiles(t, o)
	f.around = func(op, _ string, do func() error) error {
		if op == "link" {
			return &os.LinkError{Op: op, Err: syscall.EPERM}
		}
		return do()
	}
	steps, err := f.Install(t.Context(), "web", c.chain, c.key)
	wantTrouble(t, err, assure.TroubleBroken, "in place again")
	wantSteps(t, steps, "match done, install done, reload failed, rollback done, reload failed")
	if !places()["plain"].holds(dir, b) {
		t.Error("the pair from before is not in place")
	}
	if fi, err := os.Stat(filepath.Join(dir, "web.key")); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("the key came back with the mode %v", fi.Mode())
	}
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestWhatTheSystemSaysIsPassedOnWithWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op    string
		err   error
		class assure.TroubleClass
		says  string
	}{
		"a full disk":           {"write", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, assure.TroubleTransient, "room"},
		"a read-only one":       {"create", &fs.PathError{Op: "openat", Path: "x", Err: syscall.EROFS}, assure.TroubleForbidden, "read-only"},
		"no right to write":     {"create", &fs.PathError{Op: "openat", Path: "x", Err: syscall.EACCES}, assure.TroubleDenied, "Let the user"},
		"no right to give away": {"chown", &fs.PathError{Op: "chown", Path: "x", Err: syscall.EPERM}, assure.TroubleDenied, "CAP_CHOWN"},
	} {
		for layout, p := range places() {
			t.Run(name+", "+layout, func(t *testing.T) {
				t.Parallel()
				dir, a, b := t.TempDir(), issue(), issue()
				put(t, newFiles(t, p.opts(dir)), a)
				f := newFiles(t, p.opts(dir))
				f.around = func(op, _ string, do func() error) error {
					if op == c.op {
						return c.err
					}
					return do()
				}
				steps, err := f.Install(t.Context(), "web", b.chain, b.key)
				tr := wantTrouble(t, err, c.class)
				if !strings.Contains(tr.Remedy, c.says) || !strings.HasPrefix(tr.Scope, dir) || tr.Action == "" {
					t.Errorf("remedy %q, action %q, scope %q", tr.Remedy, tr.Action, tr.Scope)
				}
				if c.class == assure.TroubleDenied && tr.Identity == "" {
					t.Error("who is denied is not said")
				}
				wantSteps(t, steps, "match done, install failed")
				if !p.holds(dir, a) || len(temps(t, dir)) > 0 {
					t.Errorf("the old pair is not in place, or %v is left over", temps(t, dir))
				}
			})
		}
	}
	t.Run("a directory that is not there", func(t *testing.T) {
		f, a := newFiles(t, places()["plain"].opts(filepath.Join(t.TempDir(), "slip", "of"))), issue()
		_, err := f.Install(t.Context(), "web", a.chain, a.key)
		wantTrouble(t, err, assure.TroubleMissing)
	})
	t.Run("a user that is not there", func(t *testing.T) {
		o, a := places()["plain"].opts(t.TempDir()), issue()
		o.Files[0].Owner = "nobody-of-this-name"
		_, err := newFiles(t, o).Install(t.Context(), "web", a.chain, a.key)
		wantTrouble(t, err, assure.TroubleMissing, "nobody-of-this-name")
	})
}
