package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxIssued bounds what is read of a certificate file: a full chain is a few kilobytes.
const maxIssued = 1 << 20

// IssuedNotes tries to read the certificate files that renewers leave, as the user that this process runs as, and has a
// remark for each that cannot be read now. They are no problems of the configuration: the file may come, or be readable
// for the user that serves.
func (c *Config) IssuedNotes() []Problem {
	var out []Problem
	for i := range c.Certificates {
		path := string(c.Certificates[i].Issued)
		if path == "" {
			continue
		}
		if err := holdsCertificate(path); err != nil {
			out = append(out, c.problem(issuedKey(i), fmt.Sprintf("%s; while notafter cannot read this file, its endpoints are unknown (reason blind)", err)))
		}
	}
	return out
}

func holdsCertificate(path string) error {
	data, err := readUpTo(path, maxIssued)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("%s cannot be read now: %w", quote(path), err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("the first certificate in %s cannot be parsed: %s", quote(path), oneLine(err.Error()))
		}
		return nil
	}
	return fmt.Errorf("%s holds no certificate in PEM form", quote(path))
}

// readUpTo reads a file of at most the given size.
func readUpTo(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, fmt.Errorf("it is larger than %d bytes", most)
	}
	return b, err
}
