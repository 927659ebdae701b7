package renew

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
)

func newSealer(t testing.TB) *AgeSealer {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewAgeSealer(id.String())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealing(t *testing.T) {
	t.Parallel()
	s, other := newSealer(t), newSealer(t)
	sealed, err := s.Seal([]byte("the key"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("the key")) {
		t.Error("it can be read")
	}
	if plain, err := s.Open(sealed); err != nil || string(plain) != "the key" {
		t.Errorf("opened %q: %v", plain, err)
	}
	if _, err := other.Open(sealed); err == nil || !strings.Contains(err.Error(), "another identity") {
		t.Errorf("another identity: %v", err)
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := s.Open(sealed); err == nil {
		t.Error("what was changed opens")
	}
	if _, err := s.Open(nil); err == nil {
		t.Error("nothing opens")
	}
	for _, bad := range []string{"", "hello SECRET", testIdentity + "\n" + testIdentity, "AGE-SECRET-KEY-1SECRET"} {
		if _, err := NewAgeSealer(bad); err == nil || strings.Contains(err.Error(), "SECRET\n") || strings.Contains(err.Error(), "1SECRET") {
			t.Errorf("identity %q: %v", bad, err)
		}
	}
	if _, err := NewAgeSealer("# created: today\n" + testIdentity + "\n"); err != nil {
		t.Errorf("as age-keygen writes it: %v", err)
	}
}

func TestIdentityFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "identity")
	got := make([]string, 8)
	var running sync.WaitGroup
	for i := range got {
		running.Go(func() {
			var err error
			if got[i], err = LoadOrMakeIdentity(path); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for _, g := range got {
		if g == "" || g != got[0] {
			t.Fatal("processes that made it at once have different identities")
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("left beside it: %v, %v", files, err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if st.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %o", st.Mode().Perm())
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrMakeIdentity(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("one that others can read: %v", err)
		}
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrMakeIdentity(broken); err == nil {
		t.Error("nonsense is taken for an identity, or was written over")
	}
	if text, _ := os.ReadFile(broken); string(text) != "nonsense" {
		t.Error("a file that is there was written over")
	}
	if _, err := LoadOrMakeIdentity(t.TempDir()); err == nil {
		t.Error("a directory is an identity")
	}
	if _, err := LoadOrMakeIdentity(filepath.Join(t.TempDir(), "no", "where")); err == nil {
		t.Error("a directory that is not there is made")
	}
}
