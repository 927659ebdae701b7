package renew

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Types of keys of certificates.
const (
	KeyECDSAP256 = "ecdsa-p256" // the default
	KeyECDSAP384 = "ecdsa-p384"
	KeyRSA2048   = "rsa-2048"
	KeyRSA3072   = "rsa-3072"
	KeyRSA4096   = "rsa-4096"
)

// KeyTypes lists every type of key that can be asked for.
func KeyTypes() []string {
	return []string{KeyECDSAP256, KeyECDSAP384, KeyRSA2048, KeyRSA3072, KeyRSA4096}
}

// newKey makes a key, and its PKCS #8 form as PEM, which every server reads.
func newKey(kind string) (crypto.Signer, []byte, error) {
	var key crypto.Signer
	var err error
	switch kind {
	case KeyECDSAP256, "":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case KeyECDSAP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case KeyRSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case KeyRSA3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case KeyRSA4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		return nil, nil, fmt.Errorf("there is no type of key called %q", clip(kind))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// openKey opens a sealed key. Its errors say nothing of the content.
func openKey(s Sealer, sealed []byte) (crypto.Signer, error) {
	plain, err := s.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("open it: %w", err)
	}
	return parseKey(plain)
}

// parseKey reads what newKey wrote.
func parseKey(text []byte) (crypto.Signer, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != "PRIVATE KEY" {
		return nil, errors.New("it is no PKCS #8 key in PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, errors.New("it is no PKCS #8 key")
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, errors.New("it is no key that can sign")
	}
	return signer, nil
}

// samePublic compares the public halves.
func samePublic(a, b crypto.Signer) bool {
	p, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(b.Public())
}
