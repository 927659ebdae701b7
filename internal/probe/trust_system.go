package probe

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Where systems keep their roots, the same places and order as crypto/x509 (root_linux.go, root_bsd.go). Of the files
// the first that can be read counts; of the directories all.
var (
	systemRootFiles = []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Gentoo
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/tls/cacert.pem",                           // OpenELEC
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL 7 and later
		"/etc/ssl/cert.pem",                                 // Alpine, BSDs, macOS
		"/usr/local/etc/ssl/cert.pem",                       // FreeBSD
	}
	systemRootDirs = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
)

// SystemTrust reads the roots of this machine. SSL_CERT_FILE and SSL_CERT_DIR replace the usual places as they do for
// crypto/x509 and OpenSSL. A machine without roots gets Mozilla's list, and Source says so. It fails only when one of
// the two variables is set and no root was found: somebody wanted certain roots, and others must not stand in silently.
func SystemTrust() (*TrustStore, error) {
	files, dirs := systemRootFiles, systemRootDirs
	var asked []string
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		files, asked = []string{f}, append(asked, "SSL_CERT_FILE="+f)
	}
	if d := os.Getenv("SSL_CERT_DIR"); d != "" {
		dirs, asked = filepath.SplitList(d), append(asked, "SSL_CERT_DIR="+d)
	}
	t, err := trustFromPlaces(files, dirs)
	if t.Len() > 0 {
		return t.seal(), nil
	}
	if len(asked) > 0 {
		if err == nil {
			err = fmt.Errorf("no certificate in PEM form there")
		}
		return nil, fmt.Errorf("read the system's roots (%s): %w", strings.Join(asked, ", "), err)
	}
	m := MozillaTrust()
	m.source = "Mozilla's list in this program, because this system has no roots"
	return m, nil
}

// trustFromPlaces collects what can be read and returns the first error that is not a missing file.
func trustFromPlaces(files, dirs []string) (*TrustStore, error) {
	t := newTrustStore("")
	var sources []string
	var first error
	note := func(err error) {
		if first == nil && err != nil && !os.IsNotExist(err) {
			first = err
		}
	}
	for _, f := range files {
		data, err := readBounded(f)
		if err != nil {
			note(err)
			continue
		}
		t.addPEM(data)
		sources = append(sources, f)
		break
	}
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if err != nil {
			note(err)
			continue
		}
		before := t.Len()
		for _, e := range entries {
			p := filepath.Join(d, e.Name())
			if target, err := os.Readlink(p); err == nil && !strings.Contains(target, "/") {
				continue // a hash link to a file of the same directory, which is read anyway
			}
			if info, err := os.Stat(p); err != nil || !info.Mode().IsRegular() { //nolint:gosec // G703: as above
				continue
			}
			if data, err := readBounded(p); err == nil {
				t.addPEM(data)
			}
		}
		if t.Len() > before {
			sources = append(sources, d)
		}
	}
	t.source = "this system's roots (" + strings.Join(slices.Compact(sources), ", ") + ")"
	return t, first
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the system's own places, or those that its administrator named
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxTrustFile))
}

// addPEM takes in what parses. A system's bundle is not the user's doing, so one odd entry must not take the others
// along; it is counted and shown by String.
func (t *TrustStore) addPEM(data []byte) {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return
		}
		if block.Type != pemCertificate || len(block.Headers) != 0 {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.skipped++
			continue
		}
		t.add(c, nil)
	}
}
