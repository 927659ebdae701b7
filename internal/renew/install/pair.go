package install

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds of what is accepted as a pair, far above what any CA issues.
const (
	maxPEM   = 1 << 20 // bytes, of chain or key
	maxChain = 16      // certificates
)

// pair is a certificate and its key, seen to belong together.
type pair struct {
	certs []*x509.Certificate // leaf first
	key   crypto.Signer
	// The same in PEM, written anew from what was parsed: nothing else that stood in the input gets to a disk.
	leafPEM, chainPEM, keyPEM []byte
}

func (p *pair) leaf() *x509.Certificate { return p.certs[0] }

// fullchain is the leaf and what was issued with it, in PEM.
func (p *pair) fullchain() []byte { return slices.Concat(p.leafPEM, p.chainPEM) }

// fingerprint is the SHA-256 of the leaf in lower-case hex, as everywhere in the product.
func (p *pair) fingerprint() string {
	sum := sha256.Sum256(p.leaf().Raw)
	return hex.EncodeToString(sum[:])
}

// says names the leaf for people.
func (p *pair) says() string {
	return fmt.Sprintf("leaf %s, valid until %s", p.fingerprint()[:16], p.leaf().NotAfter.UTC().Format(time.RFC3339))
}

// parsePair reads chain and key and checks that they belong together. No error repeats anything of the key.
func parsePair(chain, key []byte) (*pair, error) {
	certs, err := parseCerts(chain)
	if err != nil {
		return nil, err
	}
	if len(certs) == 0 {
		return nil, errors.New("the chain holds no certificate")
	}
	k, block, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	p := &pair{certs: certs, key: k, keyPEM: pem.EncodeToMemory(block)}
	for i, c := range certs {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		if i == 0 {
			p.leafPEM = text
		} else {
			p.chainPEM = append(p.chainPEM, text...)
		}
	}
	if !matches(k, certs[0]) {
		return nil, errors.New("the key does not belong to the first certificate of the chain")
	}
	// Once more by what a server written in Go would do with it.
	if _, err := tls.X509KeyPair(p.fullchain(), p.keyPEM); err != nil {
		return nil, fmt.Errorf("load the pair: %w", err)
	}
	return p, nil
}

func matches(k crypto.Signer, c *x509.Certificate) bool {
	pub, ok := k.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(c.PublicKey)
}

// parseCerts reads the certificates of a PEM text in order; other blocks are passed over.
func parseCerts(text []byte) ([]*x509.Certificate, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("the chain is larger than %d KiB", maxPEM>>10)
	}
	var out []*x509.Certificate
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return out, nil
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		if len(out) == maxChain {
			return nil, fmt.Errorf("the chain holds more than %d certificates", maxChain)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", len(out)+1, err)
		}
		out = append(out, c)
	}
}

// parseKey reads the first private key of a PEM text: PKCS#8 (RFC 5958), SEC 1 (RFC 5915) or PKCS#1 (RFC 8017).
func parseKey(text []byte) (crypto.Signer, *pem.Block, error) {
	if len(text) > maxPEM {
		return nil, nil, fmt.Errorf("the key is larger than %d KiB", maxPEM>>10)
	}
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return nil, nil, errors.New("no private key in PEM was given")
		}
		var k any
		var err error
		switch b.Type {
		case "PRIVATE KEY":
			k, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			k, err = x509.ParseECPrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			k, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, nil, errors.New("the private key is encrypted")
		default:
			continue
		}
		if err != nil {
			return nil, nil, errors.New("the private key cannot be read") // the parser's words might quote it
		}
		s, ok := k.(crypto.Signer)
		if !ok {
			return nil, nil, errors.New("the private key cannot sign")
		}
		return s, &pem.Block{Type: b.Type, Bytes: b.Bytes}, nil
	}
}

// Names tells which names a declared certificate must cover, as DNS names (with "*." for wildcards) or IP addresses.
type Names func(certificate string) []string

// match is the step that every installer begins with: pair, names and end are checked, and nothing has been touched.
func (t *trail) match(certificate string, chain, key []byte, names Names) (*pair, error) {
	var p *pair
	err := t.do(assure.StepMatch, clip(certificate), func() (string, error) {
		var err error
		if p, err = parsePair(chain, key); err != nil {
			return "", mismatch(clip(err.Error()))
		}
		if end := p.leaf().NotAfter; t.now().After(end) {
			return "", mismatch("the certificate to install ended at " + end.UTC().Format(time.RFC3339))
		}
		if names != nil {
			for _, n := range names(certificate) {
				if !covers(p.leaf(), n) {
					return "", mismatch(clip(fmt.Sprintf("the certificate to install does not cover %s", n)))
				}
			}
		}
		return "key and certificate belong together: " + p.says(), nil
	})
	return p, err
}

func mismatch(detail string) *assure.Trouble {
	t := trouble(assure.TroubleInvalid, detail)
	t.Remedy = "Nothing was touched. Renew again, so that certificate and key are made anew"
	return t
}

// covers reports whether the leaf may be used for the name. A wildcard must be there as such.
func covers(c *x509.Certificate, name string) bool {
	name = strings.TrimSuffix(name, ".")
	if strings.HasPrefix(name, "*.") {
		return slices.ContainsFunc(c.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
	}
	return c.VerifyHostname(name) == nil
}

// holding is what one file was found to hold. Fields are nil where it does not hold such a thing.
type holding struct {
	leaf  *x509.Certificate
	chain []*x509.Certificate
	key   crypto.Signer
}

// agree reports whether what was found belongs together: one leaf, its key, and a chain that could have issued it. What
// is not there disagrees with nothing.
func agree(found []holding) bool {
	var leaf *x509.Certificate
	for _, h := range found {
		if h.leaf == nil {
			continue
		}
		if leaf != nil && !leaf.Equal(h.leaf) {
			return false
		}
		leaf = h.leaf
	}
	var key crypto.Signer
	for _, h := range found {
		if h.key != nil {
			if leaf != nil && !matches(h.key, leaf) {
				return false
			}
			if pub, ok := h.key.Public().(interface{ Equal(crypto.PublicKey) bool }); key != nil && (!ok || !pub.Equal(key.Public())) {
				return false
			}
			key = h.key
		}
		if leaf != nil && len(h.chain) > 0 && !bytes.Equal(leaf.RawIssuer, h.chain[0].RawSubject) {
			return false
		}
	}
	return true
}
