package probe

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// pemCertificate is the label of a certificate (RFC 7468 section 5).
const pemCertificate = "CERTIFICATE"

// maxTrustFile bounds a file of roots: the largest in use, a system's bundle, is well under 1 MiB.
const maxTrustFile = 32 << 20

// TrustStore is a set of trust anchors. It is not changed after it is made and is safe for concurrent use.
type TrustStore struct {
	source    string
	version   string
	anchors   []*anchor
	bySubject map[string][]*anchor
	byRaw     map[string]*anchor
	unlimited map[string]struct{} // identities of the roots without a constraint
	skipped   int
}

// anchor is one root with what its keeper demands of chains that end at it.
type anchor struct {
	cert *x509.Certificate
	// timeless is the same certificate with dates that never end: an anchor is trusted for its key and name, its own
	// dates do not count (RFC 5280 section 6.1), and crypto/x509 would count them.
	timeless   *x509.Certificate
	constraint func([]*x509.Certificate) error
}

func newTrustStore(source string) *TrustStore {
	return &TrustStore{
		source: source, bySubject: map[string][]*anchor{}, byRaw: map[string]*anchor{}, unlimited: map[string]struct{}{},
	}
}

// add takes a root in unless it is in already.
func (t *TrustStore) add(c *x509.Certificate, constraint func([]*x509.Certificate) error) {
	if _, ok := t.byRaw[string(c.Raw)]; ok {
		return
	}
	timeless := *c
	timeless.NotBefore = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	timeless.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // the end of time in RFC 5280 section 4.1.2.5
	a := &anchor{cert: c, timeless: &timeless, constraint: constraint}
	t.anchors = append(t.anchors, a)
	t.bySubject[string(c.RawSubject)] = append(t.bySubject[string(c.RawSubject)], a)
	t.byRaw[string(c.Raw)] = a
	if constraint == nil {
		t.unlimited[identity(c)] = struct{}{}
	}
}

// seal computes the version. It is called once, before the store is handed out.
func (t *TrustStore) seal() *TrustStore {
	sums := make([][]byte, 0, len(t.anchors))
	for _, a := range t.anchors {
		sum := sha256.Sum256(a.cert.Raw)
		constrained := byte(0)
		if a.constraint != nil {
			constrained = 1
		}
		sums = append(sums, append(sum[:], constrained))
	}
	slices.SortFunc(sums, bytes.Compare)
	all := sha256.Sum256(bytes.Join(sums, nil))
	t.version = hex.EncodeToString(all[:])
	return t
}

// identity is what makes two root certificates the same authority: name and key.
func identity(c *x509.Certificate) string {
	return string(c.RawSubject) + "\x00" + string(c.RawSubjectPublicKeyInfo)
}

// issuers returns the anchors whose name is c's issuer, those whose key identifier fits first. A key identifier is a
// hint and never excludes (RFC 4158 section 3.5.12).
func (t *TrustStore) issuers(c *x509.Certificate) []*anchor {
	all := t.bySubject[string(c.RawIssuer)]
	if len(all) < 2 {
		return all
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b *anchor) int { return keyIDFit(c, a.cert) - keyIDFit(c, b.cert) })
	return sorted
}

// holds returns the anchor that is this very certificate, nil when there is none.
func (t *TrustStore) holds(c *x509.Certificate) *anchor { return t.byRaw[string(c.Raw)] }

// Source says in words where the roots came from.
func (t *TrustStore) Source() string { return t.source }

// Version is a hash of the content, in hex: two stores with the same roots have the same version.
func (t *TrustStore) Version() string { return t.version }

// Len is the number of roots.
func (t *TrustStore) Len() int { return len(t.anchors) }

// String describes the store in one line for people.
func (t *TrustStore) String() string {
	s := fmt.Sprintf("%s: %d roots", t.source, len(t.anchors))
	if t.skipped > 0 {
		s += fmt.Sprintf(", %d entries left out because they could not be read", t.skipped)
	}
	return s
}

// MozillaTrust is the list of roots that Mozilla trusts for TLS servers, as of this build, with the limits that Mozilla
// set on single roots (such as: nothing issued after a date).
func MozillaTrust() *TrustStore {
	t := newTrustStore("Mozilla's list in this program")
	for root := range bundle.Roots() {
		c, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.skipped++ // a root in the embedded list that this version of Go refuses
			continue
		}
		t.add(c, root.Constraint)
	}
	return t.seal()
}

// TrustFromFile reads roots in PEM form from a file. They replace every other root. The error names the file and what
// is wrong with it.
func TrustFromFile(path string) (*TrustStore, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the user names the file
	if err != nil {
		return nil, fmt.Errorf("open trust store: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxTrustFile+1))
	if err != nil {
		return nil, fmt.Errorf("read trust store %s: %w", path, err)
	}
	if len(data) > maxTrustFile {
		return nil, fmt.Errorf("read trust store %s: larger than %d MiB", path, maxTrustFile>>20)
	}
	return TrustFromPEM(path, data)
}

// TrustFromPEM makes a store of the CERTIFICATE blocks in data. Text between blocks is ignored, anything else in a
// block is an error: a root silently left out would be reported later as an untrusted issuer. The name says where data
// came from.
func TrustFromPEM(name string, data []byte) (*TrustStore, error) {
	t := newTrustStore(name)
	n := 0
	rest := data
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		n++
		if block.Type != pemCertificate {
			return nil, fmt.Errorf("trust store %s: block %d is a %q; only CERTIFICATE blocks belong here", name, n, block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("trust store %s: certificate %d: %w", name, n, err)
		}
		t.add(c, nil)
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) && bytes.Count(data, []byte("-----BEGIN ")) != n {
		return nil, fmt.Errorf("trust store %s: after block %d comes a block that is cut off or damaged", name, n)
	}
	if n == 0 {
		return nil, fmt.Errorf("trust store %s: %w", name, errNoPEM(data))
	}
	return t.seal(), nil
}

func errNoPEM(data []byte) error {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return errors.New("is empty; want certificates in PEM form")
	case data[0] == 0x30: // the tag of a DER sequence
		return errors.New("looks like DER; want certificates in PEM form (openssl x509 -inform DER -outform PEM)")
	}
	return errors.New("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
}
