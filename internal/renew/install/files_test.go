//go:build unix

package install

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/notafter/notafter/internal/assure"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "stand-in" {
		standIn(os.Args[2:]) // as the reload command of a server
	}
	os.Exit(m.Run())
}

// standIn is what the test binary does as a reload command, and then it exits.
func standIn(args []string) {
	switch args[0] {
	case "log": // FILE: note what was told and what the files hold
		f, err := os.OpenFile(args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		chain, _ := os.ReadFile(os.Getenv("NOTAFTER_FULLCHAIN"))
		fmt.Fprintf(f, "%s %s %d variables, %d bytes\n", os.Getenv("NOTAFTER_CERTIFICATE"), os.Getenv("NOTAFTER_KEY"), len(os.Environ()), len(chain))
		_ = f.Close()
		fmt.Println("reloaded")
	case "only": // FILE: the server takes nothing but that chain
		want, _ := os.ReadFile(args[1])
		got, err := os.ReadFile(os.Getenv("NOTAFTER_FULLCHAIN"))
		if err != nil || !bytes.Equal(want, got) {
			fmt.Println(strings.Repeat("noise ", 100_000))
			fmt.Fprintln(os.Stderr, "nginx: [emerg] this key is weak")
			os.Exit(1)
		}
		fmt.Println("ok")
	case "leak":
		key, _ := os.ReadFile(os.Getenv("NOTAFTER_KEY"))
		fmt.Printf("%s\n", key)
		os.Exit(1)
	case "hang":
		fmt.Println("still reading")
		time.Sleep(time.Hour)
	}
	os.Exit(0)
}

func command(t *testing.T, args ...string) *Reload {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Reload{Command: append([]string{self, "stand-in"}, args...)}
}

func newFiles(t *testing.T, o FilesOptions) *Files {
	t.Helper()
	if o.Now == nil {
		o.Now = newNow()
	}
	f, err := NewFiles(o)
	if err != nil {
		t.Fatal(err)
	}
	f.around = func(op, _ string, do func() error) error { return quick(op, do) }
	return f
}

// quick leaves out waiting for the disk: no test pulls the plug. One test does without it.
func quick(op string, do func() error) error {
	if op == "sync" {
		return nil
	}
	return do()
}

// put installs and wants it to work.
func put(t *testing.T, f *Files, c issued) []assure.Step {
	t.Helper()
	steps, err := f.Install(t.Context(), "web", c.chain, c.key)
	if err != nil {
		t.Fatalf("install: %v", err)
	}
	return steps
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		out = append(out, e.Name())
	}
	return out
}

// place is one of the two layouts over a directory, with what a reader of it sees.
type place struct {
	opts       func(dir string) FilesOptions
	chain, key func(dir string) string
}

func places() map[string]place {
	me := strconv.Itoa(os.Getuid())
	return map[string]place{
		"plain": {
			func(dir string) FilesOptions {
				return FilesOptions{Files: []File{{Part: Key, Path: filepath.Join(dir, "web.key"), Owner: me}, {Part: Fullchain, Path: filepath.Join(dir, "web.crt")}}}
			},
			func(dir string) string { return filepath.Join(dir, "web.crt") },
			func(dir string) string { return filepath.Join(dir, "web.key") },
		},
		"versions": {
			func(dir string) FilesOptions {
				return FilesOptions{Directory: dir, Files: []File{{Part: Key, Owner: me}, {Part: Fullchain}}, Keep: 1}
			},
			func(dir string) string { return filepath.Join(dir, "current", "fullchain.pem") },
			func(dir string) string { return filepath.Join(dir, "current", "privkey.pem") },
		},
	}
}

// holds reports whether exactly this pair is in place.
func (p place) holds(dir string, c issued) bool {
	chain, _ := os.ReadFile(p.chain(dir))
	key, _ := os.ReadFile(p.key(dir))
	return bytes.Equal(chain, c.chain) && bytes.Equal(key, c.key)
}

func TestEveryPartWithItsModeAndItsPredecessor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(part Part, name string) File {
		return File{Part: part, Path: filepath.Join(dir, "{certificate}", name)}
	}
	key, p12 := file(Key, "k"), file(PKCS12, "p12")
	key.Mode, p12.Password = 0o640, "changeit"
	f := newFiles(t, FilesOptions{Files: []File{file(Fullchain, "f"), file(Chain, "ch"), file(Cert, "c"), key, file(Combined, "co"), p12}})
	a, b := issue(), issue()
	f.around = nil
	wantSteps(t, put(t, f, a), "match done, install done")
	wantSteps(t, put(t, f, b), "match done, install done")
	at := func(name string) string { return filepath.Join(dir, "web", name) }

	p := must(parsePair(b.chain, b.key))
	for name, want := range map[string]string{
		"f": string(b.chain), "ch": string(p.chainPEM), "c": string(p.leafPEM), "k": string(b.key), "co": string(b.key) + string(b.chain),
		"f.previous": string(a.chain), "k.previous": string(a.key), "co.previous": string(a.key) + string(a.chain),
	} {
		if got := read(t, at(name)); got != want {
			t.Errorf("%s holds\n%s", name, got)
		}
	}
	for name, want := range map[string]os.FileMode{"f": 0o644, "k": 0o640, "co": 0o600, "p12": 0o600, "k.previous": 0o640} {
		if fi, err := os.Stat(at(name)); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", name, fi.Mode(), want, err)
		}
	}
	k, leaf, chain, err := pkcs12.DecodeChain([]byte(read(t, at("p12"))), "changeit")
	if err != nil || !leaf.Equal(b.leaf) || len(chain) != 1 || !matches(k.(crypto.Signer), leaf) {
		t.Errorf("PKCS#12 does not hold the pair: %v", err)
	}
	if _, _, _, err := pkcs12.DecodeChain([]byte(read(t, at("p12"))), "other"); err == nil {
		t.Error("PKCS#12 opens with any password")
	}

	before := read(t, at("p12"))
	steps := put(t, f, b)
	if !strings.Contains(steps[1].Detail, "in place already") || read(t, at("p12")) != before || read(t, at("k.previous")) != string(a.key) {
		t.Errorf("the same pair again was written again: %s", steps[1].Detail)
	}
	if err := os.Chmod(at("k"), 0o666); err != nil {
		t.Fatal(err)
	}
	put(t, f, b)
	if fi, err := os.Stat(at("k")); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("a mode that somebody changed stays: %v", fi.Mode())
	}
	for _, name := range list(t, filepath.Join(dir, "web")) {
		if strings.HasPrefix(name, ".") {
			t.Errorf("%s was left over", name)
		}
	}
}

func TestVersionsSwitchByOneLinkAndStayBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := newFiles(t, FilesOptions{Directory: filepath.Join(dir, "{certificate}"), Keep: 2})
	f.around = nil
	var last issued
	for range 6 {
		last = issue()
		put(t, f, last)
	}
	if got := list(t, filepath.Join(dir, "web", "versions")); strings.Join(got, " ") != "4 5 6" {
		t.Errorf("versions: %v, want the current and two more", got)
	}
	if to, err := os.Readlink(filepath.Join(dir, "web", "current")); err != nil || to != "versions/6" {
		t.Errorf("current leads to %s (%v)", to, err)
	}
	if read(t, filepath.Join(dir, "web", "current", "privkey.pem")) != string(last.key) {
		t.Error("the key is not that of the last pair")
	}
	put(t, f, last)
	if got := list(t, filepath.Join(dir, "web", "versions")); len(got) != 3 {
		t.Errorf("the same pair again made a version: %v", got)
	}
}

func TestAMismatchTouchesNothing(t *testing.T) {
	t.Parallel()
	for name, p := range places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, a, b := t.TempDir(), issue(), issue()
			f := newFiles(t, p.opts(dir))
			put(t, f, a)
			f.around = func(op, path string, do func() error) error { t.Errorf("%s %s", op, path); return do() }
			steps, err := f.Install(t.Context(), "web", b.chain, a.key)
			wantTrouble(t, err, assure.TroubleInvalid, "does not belong")
			wantSteps(t, steps, "match failed")
			if !p.holds(dir, a) {
				t.Error("the old pair is not in place")
			}
		})
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	for name, p := range places() {
		t.Run(name+": told each time", func(t *testing.T) {
			t.Parallel()
			dir, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
			o := p.opts(dir)
			o.Reload = command(t, "log", log)
			f, a := newFiles(t, o), issue()
			wantSteps(t, put(t, f, a), "match done, install done, reload done")
			steps := put(t, f, a) // in place already: the server may not know it yet
			if !strings.Contains(steps[2].Detail, "reloaded") {
				t.Errorf("its words are missing: %q", steps[2].Detail)
			}
			lines := strings.Split(strings.TrimSpace(read(t, log)), "\n")
			want := fmt.Sprintf("web %s 5 variables, %d bytes", p.key(dir), len(a.chain))
			if len(lines) != 2 || lines[0] != want || lines[1] != want {
				t.Errorf("the command saw\n%s\nwant twice\n%s", strings.Join(lines, "\n"), want)
			}
		})
		t.Run(name+": refused, rolled back and loaded again", func(t *testing.T) {
			t.Parallel()
			dir, a, b, c := t.TempDir(), issue(), issue(), issue()
			put(t, newFiles(t, p.opts(dir)), a)
			put(t, newFiles(t, p.opts(dir)), b)
			good := filepath.Join(t.TempDir(), "good")
			if err := os.WriteFile(good, b.chain, 0o600); err != nil {
				t.Fatal(err)
			}
			o := p.opts(dir)
			o.Reload = command(t, "only", good)
			steps, err := newFiles(t, o).Install(t.Context(), "web", c.chain, c.key)
			tr := wantTrouble(t, err, assure.TroubleBroken, "status 1", "this key is weak", "in place again")
			if tr.Happened || tr.Remedy == "" {
				t.Errorf("happened %v, remedy %q", tr.Happened, tr.Remedy)
			}
			wantSteps(t, steps, "match done, install done, reload failed, rollback done, reload done")
			if len(steps[2].Detail) > maxDetail {
				t.Errorf("%d bytes of noise", len(steps[2].Detail))
			}
			if !p.holds(dir, b) {
				t.Error("the pair from before is not in place")
			}
			// The same pair that is in place: there is nothing to put back.
			o.Reload = command(t, "only", "/nowhere")
			steps, err = newFiles(t, o).Install(t.Context(), "web", b.chain, b.key)
			wantTrouble(t, err, assure.TroubleBroken, "this key is weak")
			wantSteps(t, steps, "match done, install done, reload failed, rollback skipped")
			if !p.holds(dir, b) {
				t.Error("the pair in place was taken away")
			}
		})
		t.Run(name+": refused twice", func(t *testing.T) {
			t.Parallel()
			dir, a, b := t.TempDir(), issue(), issue()
			put(t, newFiles(t, p.opts(dir)), a)
			o := p.opts(dir)
			o.Reload = command(t, "leak")
			steps, err := newFiles(t, o).Install(t.Context(), "web", b.chain, b.key)
			tr := wantTrouble(t, err, assure.TroubleBroken, "reload failed with it too")
			if !tr.Happened {
				t.Error("what the server holds is not known, and that is not said")
			}
			wantSteps(t, steps, "match done, install done, reload failed, rollback done, reload failed")
			noSecret(t, steps, err)
		})
		t.Run(name+": refused the first time ever", func(t *testing.T) {
			t.Parallel()
			dir, a := t.TempDir(), issue()
			o := p.opts(dir)
			o.Reload = command(t, "only", "/nowhere")
			steps, err := newFiles(t, o).Install(t.Context(), "web", a.chain, a.key)
			wantTrouble(t, err, assure.TroubleBroken, "nothing was there before")
			wantSteps(t, steps, "match done, install done, reload failed, rollback done, reload skipped")
			for _, path := range []string{p.chain(dir), p.key(dir)} {
				if _, err := os.Lstat(path); err == nil {
					t.Errorf("%s is still there", path)
				}
			}
		})
		t.Run(name+": hangs, and the caller's time is up", func(t *testing.T) {
			t.Parallel()
			dir, a, b := t.TempDir(), issue(), issue()
			put(t, newFiles(t, p.opts(dir)), a)
			o := p.opts(dir)
			o.Reload = command(t, "hang")
			o.Reload.Timeout = 500 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := newFiles(t, o).Install(ctx, "web", b.chain, b.key)
			wantTrouble(t, err, assure.TroubleTransient)
			if !p.holds(dir, a) {
				t.Error("the pair from before is not in place")
			}
		})
	}
	t.Run("a program that is not there", func(t *testing.T) {
		t.Parallel()
		o := places()["plain"].opts(t.TempDir())
		o.Reload = &Reload{Command: []string{"/nowhere/reload"}}
		a := issue()
		_, err := newFiles(t, o).Install(t.Context(), "web", a.chain, a.key)
		wantTrouble(t, err, assure.TroubleMissing, "could not be started")
	})
}

func TestTwoInstallsAtOnceFollowOneAnother(t *testing.T) {
	t.Parallel()
	for name, p := range places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f, all := newFiles(t, p.opts(dir)), []issued{issue(), issue(), issue(), issue()}
			var wg sync.WaitGroup
			for _, c := range all {
				wg.Go(func() {
					if _, err := f.Install(t.Context(), "web", c.chain, c.key); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			found := false
			for _, c := range all {
				found = found || p.holds(dir, c)
			}
			if !found {
				t.Error("no pair is in place whole")
			}

			// One that runs holds up another no longer than that one's time.
			entered, leave := make(chan struct{}), make(chan struct{})
			var once sync.Once
			f.around = func(_, _ string, do func() error) error {
				once.Do(func() { close(entered); <-leave })
				return do()
			}
			c := issue()
			wg.Go(func() {
				if _, err := f.Install(t.Context(), "web", c.chain, c.key); err != nil {
					t.Error(err)
				}
			})
			<-entered
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := f.Install(ctx, "web", all[0].chain, all[0].key)
			wantTrouble(t, err, assure.TroubleTransient, "still running")
			close(leave)
			wg.Wait()
			if !p.holds(dir, c) {
				t.Error("the pair that was being installed is not in place")
			}
		})
	}
}
