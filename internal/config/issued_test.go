package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func certificatePEM(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(2e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestIssuedFilesThatCannotBeReadAreNoted(t *testing.T) {
	good := certificatePEM(t)
	for name, c := range map[string]struct {
		make func(path string) error
		want string // empty when nothing is to be said
	}{
		"a certificate": {func(p string) error { return os.WriteFile(p, good, 0o600) }, ""},
		"a key and a certificate": {func(p string) error {
			return os.WriteFile(p, append([]byte("-----BEGIN X-----\n-----END X-----\n"), good...), 0o600)
		}, ""},
		"nothing there":  {func(string) error { return nil }, "cannot be read now: no such file or directory"},
		"a directory":    {func(p string) error { return os.Mkdir(p, 0o700) }, "it is not a regular file"},
		"no certificate": {func(p string) error { return os.WriteFile(p, []byte("hello"), 0o600) }, "holds no certificate in PEM form"},
		"a damaged one": {func(p string) error {
			return os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), 0o600)
		}, "cannot be parsed"},
		"far too much": {func(p string) error { return os.WriteFile(p, make([]byte, maxIssued+1), 0o600) }, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.make(filepath.Join(dir, "chain.pem")); err != nil {
				t.Fatal(err)
			}
			conf, err := Parse(filepath.Join(dir, "n.yaml"), []byte(strings.Replace(small, "name: web", "name: web\n    issued: chain.pem", 1)))
			if err != nil {
				t.Fatal(err)
			}
			notes := conf.IssuedNotes()
			if c.want == "" {
				if len(notes) > 0 {
					t.Errorf("noted %v", notes)
				}
				return
			}
			if len(notes) != 1 {
				t.Fatalf("got %d notes, want 1: %v", len(notes), notes)
			}
			line := notes[0].Marked("note")
			if !strings.HasPrefix(line, dir+"/n.yaml:3:13: note: certificates[0].issued: ") || !strings.Contains(line, c.want) {
				t.Errorf("the note is %q, want it to hold %q", line, c.want)
			}
		})
	}
}

// Editors and other programs look for file:line:column at the beginning of each line.
func TestEveryLineNamesItsPlace(t *testing.T) {
	many := small + "routes:\n"
	for range maxProblems + 10 {
		many += "  - x\n"
	}
	var keys strings.Builder
	for i := range maxProblems + 10 {
		keys.WriteString("unknown" + strings.Repeat("x", i) + ": 1\n")
	}
	for name, text := range map[string]string{"empty": "", "not YAML": "a: [", "many": small + keys.String(), "a list": many} {
		for _, line := range problems(t, text) {
			rest, ok := strings.CutPrefix(line, "dir/notafter.yaml:")
			parts := strings.SplitN(rest, ":", 3)
			if !ok || len(parts) != 3 || strings.Trim(parts[0], "0123456789") != "" || strings.Trim(parts[1], "0123456789") != "" || parts[0] == "0" {
				t.Errorf("%s: %q does not begin with file:line:column", name, line)
			}
		}
	}
	lines := problems(t, small+keys.String())
	if len(lines) != maxProblems+1 || !strings.HasSuffix(lines[maxProblems], ": and 10 more") {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}
