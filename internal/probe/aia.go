package probe

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of what is fetched to complete chains.
const (
	maxIssuerPlaces = 1024
	maxIssuerBytes  = 8 << 20
	maxIssuerCerts  = 8 // certificates taken from one answer
	issuerRefresh   = 24 * time.Hour
	issuerUntil     = 30 * 24 * time.Hour
)

// placeKey is an address and how far the asking peer may send us. What was fetched for one reach never serves another:
// a certificate must not learn what lies behind an address that it may not name.
type placeKey struct {
	reach reach
	url   string
}

type issuerSet []*x509.Certificate

// fetchIssuers gets what may have issued c from the addresses that c names (id-ad-caIssuers, RFC 5280 section
// 4.2.2.1). Answered is false when an address gave no usable answer.
func (a *Analyser) fetchIssuers(ctx context.Context, c *x509.Certificate, peer netip.Addr) (found []*x509.Certificate, answered bool) {
	if a.offline {
		return nil, true
	}
	addresses, _ := usable(c.IssuingCertificateURL)
	answered = true
	for _, address := range addresses {
		place := placeKey{reachOf(peer), address}
		set, have, err := a.issuers.get(ctx, place, func(ctx context.Context, _ issuerSet, _ bool) (goods[issuerSet], error) {
			return a.fetchIssuerSet(ctx, place)
		})
		if err != nil {
			a.log.Debug("fetching a missing issuer", "url", address, "error", err)
			answered = answered && have
		}
		for _, p := range set {
			if bytes.Equal(p.RawSubject, c.RawIssuer) {
				found = append(found, p)
			}
		}
		if len(found) > 0 {
			return found, true
		}
	}
	return nil, answered
}

func (a *Analyser) fetchIssuerSet(ctx context.Context, place placeKey) (goods[issuerSet], error) {
	r, err := a.chaser.do(ctx, request{reach: place.reach, url: place.url, limit: maxIssuerBody})
	if err != nil {
		return goods[issuerSet]{}, err
	}
	certs, err := parseIssuers(r.body)
	if err != nil {
		a.chaser.failures.Add(1)
		return goods[issuerSet]{}, err
	}
	now := a.now()
	return goods[issuerSet]{value: certs, refresh: now.Add(issuerRefresh), until: now.Add(issuerUntil), size: 2*len(r.body) + 512}, nil
}

// parseIssuers reads certificates as authorities publish them: one in DER form, a PKCS #7 certs-only message (both RFC
// 5280 section 4.2.2.1), or PEM, which is against the rules and common. At most the first eight are taken.
func parseIssuers(body []byte) ([]*x509.Certificate, error) {
	if c, err := x509.ParseCertificate(body); err == nil {
		return []*x509.Certificate{c}, nil
	}
	var ders [][]byte
	if bytes.Contains(body, []byte("-----BEGIN ")) {
		for rest := body; len(ders) < maxIssuerCerts; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			switch block.Type {
			case pemCertificate:
				ders = append(ders, block.Bytes)
			case "PKCS7", "CMS":
				inner, err := certsOnly(block.Bytes)
				if err != nil {
					return nil, err
				}
				ders = append(ders, inner...)
			}
		}
	} else {
		var err error
		if ders, err = certsOnly(body); err != nil {
			return nil, err
		}
	}
	var out []*x509.Certificate
	var first error
	for _, d := range ders[:min(len(ders), maxIssuerCerts)] {
		c, err := x509.ParseCertificate(d)
		if err != nil {
			if first == nil {
				first = fmt.Errorf("a certificate in the answer cannot be read: %s", trimX509(err.Error()))
			}
			continue
		}
		out = append(out, c)
	}
	switch {
	case len(out) > 0:
		return out, nil
	case first != nil:
		return nil, first
	}
	return nil, errors.New("the answer holds no certificate")
}

// Object identifiers of PKCS #7 (RFC 2315 section 14).
var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
)

var errNotCertsOnly = errors.New("the answer is neither a certificate nor a PKCS #7 list of certificates")

// certsOnly returns the certificates of a degenerate SignedData message (RFC 2315 section 9.1, RFC 5652 section 5.1):
// its signatures, if any, say nothing here. The indefinite lengths of BER are not understood.
func certsOnly(der []byte) ([][]byte, error) {
	in := cryptobyte.String(der)
	var info, content, signed, inner, certs cryptobyte.String
	var oid asn1.ObjectIdentifier
	explicit0 := cbasn1.Tag(0).Constructed().ContextSpecific()
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidSignedData) ||
		!info.ReadASN1(&content, explicit0) || !content.ReadASN1(&signed, cbasn1.SEQUENCE) {
		return nil, errNotCertsOnly
	}
	var version int
	if !signed.ReadASN1Integer(&version) || !signed.SkipASN1(cbasn1.SET) || !signed.ReadASN1(&inner, cbasn1.SEQUENCE) ||
		!inner.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidData) {
		return nil, errNotCertsOnly
	}
	var present bool
	if !signed.ReadOptionalASN1(&certs, &present, explicit0) {
		return nil, errNotCertsOnly
	}
	var out [][]byte
	for !certs.Empty() && len(out) < maxIssuerCerts {
		var c cryptobyte.String
		var tag cbasn1.Tag
		if !certs.ReadAnyASN1Element(&c, &tag) {
			return nil, errNotCertsOnly
		}
		if tag == cbasn1.SEQUENCE { // the other choices are attribute certificates
			out = append(out, c)
		}
	}
	return out, nil
}
