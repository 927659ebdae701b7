package probe

import (
	"bytes"
	"crypto/x509"
	"slices"
	"sync"
)

// Bounds of the intermediates remembered: all of the public web's are a few thousand, a process meets a fraction.
const (
	maxKnownSubjects = 2048
	maxKnownSame     = 4 // certificates kept of one subject: cross-signs
)

// knownIssuers remembers intermediates that stood on a path to an anchor, so that a chain which lacks one can be told
// what is missing. Only such are kept: anybody can serve others without end. It is safe for concurrent use.
type knownIssuers struct {
	mu        sync.RWMutex
	bySubject map[string][]*x509.Certificate
}

func newKnownIssuers() *knownIssuers {
	return &knownIssuers{bySubject: map[string][]*x509.Certificate{}}
}

// keep remembers the intermediates of routes.
func (k *knownIssuers) keep(routes []route) {
	for _, r := range routes {
		for _, c := range r.certs[1:] {
			k.keepOne(c)
		}
	}
}

func (k *knownIssuers) keepOne(c *x509.Certificate) {
	if k.has(c) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	same, ok := k.bySubject[string(c.RawSubject)]
	if !ok && len(k.bySubject) >= maxKnownSubjects {
		for subject := range k.bySubject { // any one: it will be met again
			delete(k.bySubject, subject)
			break
		}
	}
	for _, have := range same {
		if bytes.Equal(have.Raw, c.Raw) {
			return
		}
	}
	if len(same) >= maxKnownSame {
		same = same[1:]
	}
	k.bySubject[string(c.RawSubject)] = append(slices.Clip(same), c)
}

func (k *knownIssuers) has(c *x509.Certificate) bool {
	for _, have := range k.named(c.RawSubject) {
		if bytes.Equal(have.Raw, c.Raw) {
			return true
		}
	}
	return false
}

func (k *knownIssuers) named(subject []byte) []*x509.Certificate {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.bySubject[string(subject)]
}

// issuers returns what may have issued c.
func (k *knownIssuers) issuers(c *x509.Certificate) []*x509.Certificate { return k.named(c.RawIssuer) }
