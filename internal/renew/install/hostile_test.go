//go:build unix

package install

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// A link at the destination is replaced; what it points to is neither written nor read, nor given to anybody.
func TestALinkAtTheDestinationIsReplacedAndNotFollowed(t *testing.T) {
	t.Parallel()
	dir, a := t.TempDir(), issue()
	victim := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(victim, []byte("root:secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "web.crt")); err != nil {
		t.Fatal(err)
	}
	for _, links := range []bool{true, false} { // with hard links and without
		o := places()["plain"].opts(dir)
		o.Reload = command(t, "only", "/nowhere")
		f := newFiles(t, o)
		f.around = func(op, _ string, do func() error) error {
			if op == "link" && !links {
				return syscall.ENOTSUP
			}
			return do()
		}
		_, err := f.Install(t.Context(), "web", a.chain, a.key)
		wantTrouble(t, err, assure.TroubleBroken, "in place again")
		if to, err := os.Readlink(filepath.Join(dir, "web.crt")); err != nil || to != victim {
			t.Errorf("the link did not come back: %s %v", to, err)
		}
	}
	put(t, newFiles(t, places()["plain"].opts(dir)), a)
	if read(t, victim) != "root:secret" {
		t.Error("what the link pointed to was written")
	}
	if fi, err := os.Lstat(filepath.Join(dir, "web.crt")); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("the link was not replaced: %v", err)
	}
}

func TestPathsThatOthersCanBendAreRefused(t *testing.T) {
	t.Parallel()
	a := issue()
	for name, p := range places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top, real := t.TempDir(), t.TempDir()
			shared := filepath.Join(top, "shared")
			for _, d := range []string{shared, filepath.Join(shared, "own")} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(real, filepath.Join(shared, "link")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(real, filepath.Join(top, "link")); err != nil {
				t.Fatal(err)
			}
			// Links that nobody else could have put there are an operator's own layout.
			put(t, newFiles(t, p.opts(filepath.Join(top, "link"))), a)
			if !p.holds(real, a) {
				t.Error("an operator's own link was not followed")
			}
			if err := os.Chmod(shared, 0o777); err != nil {
				t.Fatal(err)
			}
			b := issue()
			_, err := newFiles(t, p.opts(filepath.Join(shared, "link"))).Install(t.Context(), "web", b.chain, b.key)
			wantTrouble(t, err, assure.TroubleForbidden, "is not followed")
			if !p.holds(real, a) {
				t.Error("the link was followed")
			}
			put(t, newFiles(t, p.opts(filepath.Join(shared, "own"))), b)
			_, err = newFiles(t, p.opts(shared)).Install(t.Context(), "web", b.chain, b.key)
			wantTrouble(t, err, assure.TroubleForbidden, "everybody may replace")
		})
	}
}

func TestWhatIsNoFileIsLeftAlone(t *testing.T) {
	t.Parallel()
	a := issue()
	t.Run("a directory in the file's place", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "web.crt"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := newFiles(t, places()["plain"].opts(dir)).Install(t.Context(), "web", a.chain, a.key)
		wantTrouble(t, err, assure.TroubleInvalid, "is no file")
		if got := list(t, dir); len(got) != 1 {
			t.Errorf("touched: %v", got)
		}
	})
	t.Run("a pipe in the file's place", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, "web.key"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := newFiles(t, places()["plain"].opts(dir)).Install(t.Context(), "web", a.chain, a.key)
		wantTrouble(t, err, assure.TroubleInvalid, "is no file")
	})
	t.Run("a directory called current", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "current"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := newFiles(t, places()["versions"].opts(dir)).Install(t.Context(), "web", a.chain, a.key)
		wantTrouble(t, err, assure.TroubleInvalid, "is no link")
	})
	t.Run("a link called current to elsewhere comes back after a refusal", func(t *testing.T) {
		dir, other := t.TempDir(), t.TempDir()
		if err := os.Symlink(other, filepath.Join(dir, "current")); err != nil {
			t.Fatal(err)
		}
		o := places()["versions"].opts(dir)
		o.Reload = command(t, "only", "/nowhere")
		_, err := newFiles(t, o).Install(t.Context(), "web", a.chain, a.key)
		wantTrouble(t, err, assure.TroubleBroken, "in place again")
		if to, _ := os.Readlink(filepath.Join(dir, "current")); to != other {
			t.Errorf("current leads to %s", to)
		}
	})
	t.Run("a certificate's name leads nowhere else", func(t *testing.T) {
		dir := t.TempDir()
		f := newFiles(t, FilesOptions{Directory: filepath.Join(dir, "{certificate}")})
		if _, err := f.Install(t.Context(), "../../../tmp/x", a.chain, a.key); err != nil {
			t.Fatal(err)
		}
		if got := list(t, dir); len(got) != 1 || !strings.HasPrefix(got[0], "tmp-x-") && !strings.Contains(got[0], "tmp-x") {
			t.Errorf("written to %v", got)
		}
	})
	t.Run("a keystore that asks for hours of work is not opened", func(t *testing.T) {
		// An INTEGER of four bytes in a SEQUENCE in an OCTET STRING.
		bomb := []byte{0x30, 0x0a, 0x04, 0x08, 0x30, 0x06, 0x02, 0x04, 0x7f, 0xff, 0xff, 0xff}
		if cheap(bomb, 0) {
			t.Error("2,147,483,647 rounds pass for cheap")
		}
		p := must(parsePair(a.chain, a.key))
		if !cheap(must(PKCS12.render(p, "changeit")), 0) {
			t.Error("our own keystore passes for a bomb")
		}
	})
}

func TestOptionsAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	ok := File{Part: Cert, Path: "/etc/x.pem"}
	with := func(change func(*File)) FilesOptions {
		f := ok
		change(&f)
		return FilesOptions{Files: []File{f}}
	}
	for want, o := range map[string]FilesOptions{
		"say which files":       {},
		"not absolute":          with(func(f *File) { f.Path = "x.pem" }),
		"is required":           with(func(f *File) { f.Path = "" }),
		"want one of":           with(func(f *File) { f.Part = "all" }),
		"predecessors":          with(func(f *File) { f.Path = "/etc/x.previous" }),
		"others get no":         with(func(f *File) { f.Part, f.Mode = Key, 0o644 }),
		"nine permissions":      with(func(f *File) { f.Mode = os.ModeSetuid | 0o644 }),
		"password: is required": with(func(f *File) { f.Part = PKCS12 }),
		"for pkcs12 only":       with(func(f *File) { f.Password = "x" }),
		"written twice":         {Files: []File{ok, ok}},
		"plain name":            {Directory: "/etc/x", Files: []File{{Part: Key, Path: "../k"}}},
		"of single files":       {Files: []File{ok}, Keep: 3},
		"relative path":         {Files: []File{ok}, Reload: &Reload{Command: []string{"./x"}}},
		"and not both":          {Files: []File{ok}, Reload: &Reload{Command: []string{"x"}, PIDFile: "/run/x"}},
		"cannot be sent":        {Files: []File{ok}, Reload: &Reload{PIDFile: "/run/x", Signal: "KILL"}},
		"want NAME=value":       {Files: []File{ok}, Reload: &Reload{Command: []string{"x"}, Env: []string{"=x"}}},
	} {
		o.Now = newNow()
		if _, err := NewFiles(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something about %q", err, want)
		}
	}
}

// What would stop an Install for want of a place is told before there is anything to install, and nothing is made.
func TestReadyTouchesNothing(t *testing.T) {
	t.Parallel()
	for name, p := range places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			ready := func(dir string, change ...func(*FilesOptions)) error {
				t.Helper()
				o := p.opts(dir)
				for _, f := range change {
					f(&o)
				}
				where, err := newFiles(t, o).Ready("web")
				if !strings.HasPrefix(where, dir) {
					t.Errorf("where: %q", where)
				}
				return err
			}
			if err := ready(top); err != nil {
				t.Error(err)
			}
			if err := ready(filepath.Join(top, "made when it is needed")); err != nil {
				t.Error(err)
			}
			wantTrouble(t, ready(filepath.Join(top, "slip", "of")), assure.TroubleMissing, "slip")
			wantTrouble(t, ready(top, func(o *FilesOptions) {
				o.Files = []File{{Part: Key, Path: o.Files[0].Path, Owner: "nobody-of-this-name"}}
			}), assure.TroubleMissing, "nobody-of-this-name")
			wantTrouble(t, ready(top, func(o *FilesOptions) { o.Reload = &Reload{Command: []string{"/no/such/program"}} }), assure.TroubleMissing, "/no/such/program")
			file := filepath.Join(top, "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			wantTrouble(t, ready(file), assure.TroubleInvalid, "no directory")
			if os.Geteuid() != 0 {
				closed := filepath.Join(top, "closed")
				if err := os.Mkdir(closed, 0o555); err != nil {
					t.Fatal(err)
				}
				wantTrouble(t, ready(closed), assure.TroubleDenied, "permission denied")
			}
			left, err := os.ReadDir(top)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left {
				if n := e.Name(); n != "file" && n != "closed" {
					t.Errorf("%s was made", n)
				}
			}
			everybody := filepath.Join(top, "everybody")
			if err := os.Mkdir(everybody, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(everybody, 0o777); err != nil {
				t.Fatal(err)
			}
			wantTrouble(t, ready(everybody), assure.TroubleForbidden, "everybody may replace")
		})
	}
}
