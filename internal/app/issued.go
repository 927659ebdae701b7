package app

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
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
}

// issuedPause keeps a shard with many endpoints of one certificate from asking the file system for each.
const issuedPause = 5 * time.Second

// newest returns the leaf of the certificate's file; nil without one, or while it cannot be read.
func (s *issued) newest(certificate string, now time.Time) *assure.Cert {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.at[certificate]
	if f == nil {
		return nil
	}
	if d := now.Sub(f.tried); d >= 0 && d < issuedPause {
		return f.cert
	}
	f.tried = now
	info, err := os.Stat(f.path)
	if err == nil && info.ModTime().Equal(f.mod) && info.Size() == f.size {
		return f.cert
	}
	var cert *assure.Cert
	if err == nil {
		cert, err = readLeaf(f.path)
	}
	if err != nil {
		s.log.Warn("read issued certificate", "certificate", certificate, "error", err)
		return f.cert // what was known stays known: a file being replaced is no reason to forget it
	}
	f.mod, f.size, f.cert = info.ModTime(), info.Size(), cert
	return cert
}

// maxIssued bounds what is read: a full chain is a few kilobytes.
const maxIssued = 1 << 20

func readLeaf(path string) (*assure.Cert, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxIssued {
		return nil, fmt.Errorf("read %s: larger than %d bytes", path, maxIssued)
	}
	data, err := os.ReadFile(path)
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
