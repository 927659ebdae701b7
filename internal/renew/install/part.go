package install

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"software.sslmate.com/src/go-pkcs12"
)

// Part is what a file holds.
type Part string

// Parts.
const (
	Fullchain Part = "fullchain" // PEM: the leaf, then what was issued with it
	Chain     Part = "chain"     // PEM: what was issued with the leaf, without it; empty when there is nothing
	Cert      Part = "cert"      // PEM: the leaf alone
	Key       Part = "key"       // PEM: the private key
	Combined  Part = "combined"  // PEM: the private key, then the full chain, as HAProxy reads it
	PKCS12    Part = "pkcs12"    // PKCS#12 (RFC 7292): all of it, encrypted with a password
)

// Parts lists what a file can hold.
func Parts() []Part { return []Part{Fullchain, Chain, Cert, Key, Combined, PKCS12} }

func (p Part) known() bool { return slices.Contains(Parts(), p) }

// secret reports whether the part holds the private key.
func (p Part) secret() bool { return p == Key || p == Combined || p == PKCS12 }

// render makes the file's content. A PKCS#12 file is different each time: it is salted.
func (p Part) render(c *pair, password string) ([]byte, error) {
	switch p {
	case Fullchain:
		return c.fullchain(), nil
	case Chain:
		return c.chainPEM, nil
	case Cert:
		return c.leafPEM, nil
	case Key:
		return c.keyPEM, nil
	case Combined:
		return slices.Concat(c.keyPEM, c.leafPEM, c.chainPEM), nil
	case PKCS12:
		// Modern: AES-256-CBC with PBKDF2-HMAC-SHA-256. Java reads it from 8u301 on, Windows from Server 2019 on.
		data, err := pkcs12.Modern.Encode(c.key, c.leaf(), c.certs[1:], password)
		if err != nil {
			return nil, fmt.Errorf("encode PKCS#12: %w", err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("unknown part %q", string(p))
}

// read understands what render made. Whatever cannot be understood is an error.
func (p Part) read(data []byte, password string) (h holding, err error) {
	switch p {
	case PKCS12:
		return readPKCS12(data, password)
	case Chain:
		h.chain, err = parseCerts(data)
		return h, err
	}
	if p != Key {
		certs, err := parseCerts(data)
		if err != nil {
			return holding{}, err
		}
		if len(certs) == 0 {
			return holding{}, errors.New("no certificate in it")
		}
		h.leaf, h.chain = certs[0], certs[1:]
	}
	if p.secret() {
		if h.key, _, err = parseKey(data); err != nil {
			return holding{}, err
		}
	}
	return h, nil
}

func readPKCS12(data []byte, password string) (h holding, err error) {
	defer func() {
		if recover() != nil { // the decoder is not known to panic; what lies on the disk must not find out
			err = errors.New("cannot be read as PKCS#12")
		}
	}()
	if !cheap(data, 0) {
		return holding{}, errors.New("asks for more rounds of key derivation than any honest file")
	}
	k, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return holding{}, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return holding{}, errors.New("the private key cannot sign")
	}
	return holding{leaf: leaf, chain: chain, key: s}, nil
}

// cheap reports whether no number that stands outside of what is encrypted is larger than a count of rounds may be: the
// decoder does as many as the file says, and whoever may write in a directory could keep us busy for hours.
func cheap(der []byte, depth int) bool {
	const most = 100_000 // Modern writes 2,048, keytool 10,000
	for len(der) > 0 && depth < 32 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return true // not DER: the decoder does not get further either
		}
		der = rest
		switch {
		case v.Class == asn1.ClassUniversal && v.Tag == asn1.TagInteger:
			if n := new(big.Int).SetBytes(v.Bytes); n.Cmp(big.NewInt(most)) > 0 {
				return false
			}
		case v.IsCompound, v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOctetString:
			if !cheap(v.Bytes, depth+1) {
				return false
			}
		}
	}
	return true
}

// holds reports whether data is this part of the pair. Other encodings of the same thing do not count, except where the
// encoding is never the same twice.
func (p Part) holds(c *pair, data []byte, password string) bool {
	if p != PKCS12 {
		want, err := p.render(c, password)
		return err == nil && bytes.Equal(want, data)
	}
	h, err := p.read(data, password)
	return err == nil && matches(h.key, c.leaf()) && h.leaf.Equal(c.leaf()) &&
		slices.EqualFunc(h.chain, c.certs[1:], (*x509.Certificate).Equal)
}
