package app

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/probe"
)

// issued knows the certificate files that renewers leave, so that "renewed but not reloaded" can be seen. A file is read
// again when its time or size changes.
type issued struct {
	log *slog.Logger
	mu  sync.Mutex
	at  map[string]*issuedFile // by declared certificate
}

type issuedFile struct {
	path  string
	mod   time.Time
	size  int64
	tried time.Time
	cert  *assure.Cert
	err   error // why the file could not be read when it was last tried
}

// issuedPause keeps a shard with many endpoints of one certificate from asking the file system for each.
const issuedPause = 5 * time.Second

// newest returns the leaf of the certificate's file, nil where none is declared. The problem says why the file could not
// be read; what was known before is then still returned, because a file being replaced is no reason to forget it.
func (s *issued) newest(certificate string, now time.Time) (cert *assure.Cert, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.at[certificate]
	if f == nil {
		return nil, ""
	}
	if d := now.Sub(f.tried); f.tried.IsZero() || d < 0 || d >= issuedPause {
		f.tried = now
		if err := f.read(); err != nil {
			if f.err == nil {
				s.log.Warn("read issued certificate", "certificate", certificate, "error", err)
			}
			f.err = err
		} else {
			f.err = nil
		}
	}
	if f.err != nil {
		return f.cert, f.err.Error()
	}
	return f.cert, ""
}

func (f *issuedFile) read() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if f.cert != nil && info.ModTime().Equal(f.mod) && info.Size() == f.size {
		return nil
	}
	cert, err := readLeaf(f.path)
	if err != nil {
		return err
	}
	f.mod, f.size, f.cert = info.ModTime(), info.Size(), cert
	return nil
}

// maxIssued bounds what is read: a full chain is a few kilobytes.
const maxIssued = 1 << 20

func readLeaf(path string) (*assure.Cert, error) {
	data, err := readRegular(path, maxIssued)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse the first certificate of %s: %w", path, err)
		}
		d := probe.Describe(c)
		return &d, nil
	}
	return nil, fmt.Errorf("read %s: no certificate in PEM form", path)
}

// readRegular reads a file of at most limit bytes. Anything but a regular file is refused before it is opened: a device
// has no end, and opening a pipe waits for its other side.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: larger than %d bytes", path, limit)
	}
	return data, nil
}
