package probe

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTrustFromFile(t *testing.T) {
	r1, r2 := root(t, "One"), root(t, "Two")
	one, two := pemOf("CERTIFICATE", r1.cert.Raw), pemOf("CERTIFICATE", r2.cert.Raw)
	damaged := bytes.Replace(one, []byte("\nM"), []byte("\n?"), 1)
	for _, tc := range []struct {
		name string
		data []byte
		n    int
		want string // part of the error
	}{
		{"one root", one, 1, ""},
		{"two roots with remarks between", slices.Concat([]byte("# One\n"), one, []byte("\nTwo\n=====\n"), two), 2, ""},
		{"the same root twice", slices.Concat(one, one), 1, ""},
		{"nothing", nil, 0, "is empty"},
		{"blanks", []byte(" \n"), 0, "is empty"},
		{"text", []byte("hello"), 0, "holds no certificate in PEM form"},
		{"DER", r1.cert.Raw, 0, "looks like DER"},
		{"a private key", slices.Concat(one, pemOf("PRIVATE KEY", []byte("x"))), 0, `block 2 is a "PRIVATE KEY"`},
		{"a broken certificate", slices.Concat(one, pemOf("CERTIFICATE", []byte("x"))), 0, "certificate 2: "},
		{"cut off", slices.Concat(one, two[:len(two)/2]), 0, "after block 1 comes a block that is cut off or damaged"},
		{"damaged", slices.Concat(damaged, two), 0, "cut off or damaged"},
	} {
		path := filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(path, tc.data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := TrustFromFile(path)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want == "" && (s.Len() != tc.n || s.Source() != path):
			t.Errorf("%s: %s", tc.name, s)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: error %v, want the path and %q", tc.name, err, tc.want)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	if _, err := TrustFromFile(missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestTrustVersion(t *testing.T) {
	r1, r2 := root(t, "One"), root(t, "Two")
	if trusting(t, r1, r2).Version() != trusting(t, r2, r1, r2).Version() {
		t.Error("the order of the roots changes the version")
	}
	if trusting(t, r1).Version() == trusting(t, r2).Version() || trusting(t, r1).Version() == trusting(t, r1, r2).Version() {
		t.Error("other roots have the same version")
	}
}

func TestSystemTrust(t *testing.T) {
	r1, r2, r3 := root(t, "One"), root(t, "Two"), root(t, "Three")
	dir := t.TempDir()
	put := func(path string, data []byte) string {
		t.Helper()
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return full
	}
	file := put("bundle.pem", slices.Concat(pemOf("CERTIFICATE", r1.cert.Raw), pemOf("CERTIFICATE", []byte("odd"))))
	put("a/two.pem", pemOf("CERTIFICATE", r2.cert.Raw))
	put("b/three.crt", pemOf("CERTIFICATE", r3.cert.Raw))
	put("b/readme", []byte("not a certificate"))
	if err := os.Symlink("three.crt", filepath.Join(dir, "b", "abcd.0")); err != nil {
		t.Fatal(err)
	}

	t.Setenv("SSL_CERT_FILE", file)
	t.Setenv("SSL_CERT_DIR", filepath.Join(dir, "a")+":"+filepath.Join(dir, "b")+":"+filepath.Join(dir, "missing"))
	s, err := SystemTrust()
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 3 || s.Version() != trusting(t, r1, r2, r3).Version() {
		t.Errorf("%s", s)
	}
	if text := s.String(); !strings.Contains(text, file) || !strings.Contains(text, "3 roots") || !strings.Contains(text, "1 entries left out") {
		t.Errorf("%s", text)
	}

	t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "missing.pem"))
	t.Setenv("SSL_CERT_DIR", filepath.Join(dir, "missing"))
	if _, err := SystemTrust(); err == nil || !strings.Contains(err.Error(), "missing.pem") {
		t.Errorf("roots that were asked for and are not there: %v", err)
	}

	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", "")
	none, err := trustFromPlaces([]string{filepath.Join(dir, "x")}, nil)
	if err != nil || none.Len() != 0 {
		t.Errorf("%s, %v", none, err)
	}
	s, err = SystemTrust()
	if err != nil || s.Len() == 0 {
		t.Fatalf("%v", err)
	}
	// What this machine trusts is what crypto/x509 reads, or Mozilla's list, which is then said.
	pool, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	if pool.Equal(x509.NewCertPool()) != strings.Contains(s.Source(), "Mozilla") {
		t.Errorf("source %q", s.Source())
	}
}
