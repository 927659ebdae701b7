//go:build unix

package install

import (
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func TestASignalReachesTheProcessOfThePidFile(t *testing.T) {
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR2)
	defer signal.Stop(got)
	dir, a, b := t.TempDir(), issue(), issue()
	pid := filepath.Join(t.TempDir(), "pid")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		_ = os.Remove(pid)
		if err := os.WriteFile(pid, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(pid, mode); err != nil {
			t.Fatal(err)
		}
	}
	p := places()["versions"]
	o := p.opts(dir)
	o.Reload = &Reload{PIDFile: pid, Signal: "sigusr2"}
	write(strconv.Itoa(os.Getpid())+"\nmore\n", 0o644)
	wantSteps(t, put(t, newFiles(t, o), a), "match done, install done, reload done")
	select {
	case <-got:
	case <-time.After(30 * time.Second):
		t.Fatal("no signal came")
	}
	for name, c := range map[string]struct {
		text  string
		mode  os.FileMode
		class assure.TroubleClass
	}{
		"everybody's group of processes":  {"-1", 0o644, assure.TroubleInvalid},
		"the first process":               {"1", 0o644, assure.TroubleInvalid},
		"nothing":                         {"", 0o644, assure.TroubleInvalid},
		"a process that is gone":          {"4194303", 0o644, assure.TroubleMissing},
		"a file that everybody may write": {strconv.Itoa(os.Getpid()), 0o666, assure.TroubleForbidden},
	} {
		write(c.text, c.mode)
		steps, err := newFiles(t, o).Install(t.Context(), "web", b.chain, b.key)
		wantTrouble(t, err, c.class)
		wantSteps(t, steps, "match done, install done, reload failed, rollback done, reload failed")
		if !p.holds(dir, a) {
			t.Errorf("%s: the pair from before is not in place", name)
		}
	}
	_ = os.Remove(pid)
	_, err := newFiles(t, o).Install(t.Context(), "web", b.chain, b.key)
	wantTrouble(t, err, assure.TroubleMissing)
	select {
	case s := <-got:
		t.Errorf("%v was sent although the file was not to be believed", s)
	default:
	}
}

func FuzzPID(f *testing.F) {
	for _, s := range []string{"123\n", " 7 ", "-1", "1", "99999999999999999999", "", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parsePID(b); err == nil && (n <= 1 || n > maxPID) {
			t.Errorf("%q is %d", b, n)
		}
	})
}
