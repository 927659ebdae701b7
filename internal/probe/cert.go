package probe

import (
	//lint:ignore SA1019 old DSA certificates still have to be described
	"crypto/dsa" //nolint:staticcheck // SA1019: the same, for the other linter
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/notafter/notafter/internal/assure"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Describe gives the stable description of a parsed certificate. It never fails: an algorithm that this program does
// not know is named by its object identifier.
func Describe(c *x509.Certificate) assure.Cert {
	return assure.Cert{
		Fingerprint: fingerprintOf(c.Raw),
		Subject:     plain(c.Subject.String()),
		Issuer:      plain(c.Issuer.String()),
		Serial:      serialText(c.SerialNumber),
		Names:       namesOf(c),
		NotBefore:   c.NotBefore.UTC(),
		NotAfter:    c.NotAfter.UTC(),
		Key:         keyName(c),
		Signature:   signatureName(c),
	}
}

// plain takes out what would let a certificate's text act on whoever reads it, on a terminal or a page: control
// characters, and those that change the direction of writing. A replacement character stands for each.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func serialText(n *big.Int) string {
	if n == nil {
		return ""
	}
	return n.Text(16)
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// Tags of the GeneralName choices that name a host (RFC 5280 section 4.2.1.6).
const (
	tagDNSName   = cbasn1.Tag(2 | 0x80)
	tagIPAddress = cbasn1.Tag(7 | 0x80)
)

// namesOf reads the subject alternative names itself because crypto/x509 keeps DNS names and addresses apart, which
// loses the certificate's order.
func namesOf(c *x509.Certificate) []string {
	if len(c.DNSNames) == 0 && len(c.IPAddresses) == 0 {
		return nil
	}
	names := make([]string, 0, len(c.DNSNames)+len(c.IPAddresses))
	for _, e := range c.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			return appendSANs(names, e.Value)
		}
	}
	return names
}

func appendSANs(names []string, value []byte) []string {
	in := cryptobyte.String(value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return names
	}
	for !seq.Empty() {
		var v cryptobyte.String
		var tag cbasn1.Tag
		if !seq.ReadAnyASN1(&v, &tag) {
			return names
		}
		switch tag {
		case tagDNSName:
			names = append(names, plain(string(v)))
		case tagIPAddress:
			if ip, ok := netip.AddrFromSlice(v); ok {
				names = append(names, ip.Unmap().String())
			}
		}
	}
	return names
}

// Names of algorithms that crypto/x509 does not know but that are in use or about to be (RFC 9881 for ML-DSA).
var laterAlgorithms = map[string]string{
	"2.16.840.1.101.3.4.3.17": "ML-DSA-44",
	"2.16.840.1.101.3.4.3.18": "ML-DSA-65",
	"2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}

func algorithmByOID(oid string) string {
	if name, ok := laterAlgorithms[oid]; ok {
		return name
	}
	if oid == "" {
		return "unknown algorithm"
	}
	return "unknown algorithm " + oid
}

func keyName(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	case *ecdh.PublicKey:
		return "X25519"
	case *dsa.PublicKey:
		return "DSA " + strconv.Itoa(k.P.BitLen())
	}
	return algorithmByOID(keyOID(c.RawSubjectPublicKeyInfo))
}

func signatureName(c *x509.Certificate) string {
	if c.SignatureAlgorithm != x509.UnknownSignatureAlgorithm {
		return c.SignatureAlgorithm.String()
	}
	return algorithmByOID(signatureOID(c.Raw))
}

// keyOID reads the algorithm of a SubjectPublicKeyInfo (RFC 5280 section 4.1).
func keyOID(spki []byte) string {
	in := cryptobyte.String(spki)
	var seq, alg cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&alg, cbasn1.SEQUENCE) {
		return ""
	}
	return readOID(&alg)
}

// signatureOID reads the signatureAlgorithm that follows the signed part of a certificate (RFC 5280 section 4.1.1.2).
func signatureOID(der []byte) string {
	in := cryptobyte.String(der)
	var seq, alg cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.SkipASN1(cbasn1.SEQUENCE) || !seq.ReadASN1(&alg, cbasn1.SEQUENCE) {
		return ""
	}
	return readOID(&alg)
}

func readOID(in *cryptobyte.String) string {
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1ObjectIdentifier(&oid) {
		return ""
	}
	return oid.String()
}

// describeBroken learns what it can from a certificate that crypto/x509 refuses to parse. The fingerprint is always
// set; every other field is set when the certificate is well formed up to there (RFC 5280 section 4.1).
func describeBroken(der []byte) assure.Cert {
	c := assure.Cert{Fingerprint: fingerprintOf(der)}
	in := cryptobyte.String(der)
	var cert, tbs cryptobyte.String
	if !in.ReadASN1(&cert, cbasn1.SEQUENCE) {
		return c
	}
	if !cert.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return c
	}
	var outer cryptobyte.String
	if cert.ReadASN1(&outer, cbasn1.SEQUENCE) {
		c.Signature = algorithmByOID(readOID(&outer))
	}
	serial := new(big.Int)
	if !tbs.SkipOptionalASN1(cbasn1.Tag(0).Constructed().ContextSpecific()) || !tbs.ReadASN1Integer(serial) {
		return c
	}
	c.Serial = serial.Text(16)
	var issuer, subject, validity, spki cryptobyte.String
	if !tbs.SkipASN1(cbasn1.SEQUENCE) || !tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) {
		return c
	}
	c.Issuer = nameText(issuer)
	if !tbs.ReadASN1(&validity, cbasn1.SEQUENCE) {
		return c
	}
	from, ok1 := readTime(&validity)
	to, ok2 := readTime(&validity)
	if !ok1 || !ok2 {
		return c
	}
	c.NotBefore, c.NotAfter = from, to
	if tbs.ReadASN1Element(&subject, cbasn1.SEQUENCE) {
		c.Subject = nameText(subject)
	}
	if tbs.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		c.Key = algorithmByOID(keyOID(spki))
	}
	return c
}

func nameText(der []byte) string {
	var rdn pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &rdn); err != nil || len(rest) > 0 {
		return ""
	}
	return plain(rdn.String())
}

func readTime(in *cryptobyte.String) (time.Time, bool) {
	var t time.Time
	switch {
	case in.PeekASN1Tag(cbasn1.UTCTime):
		if !in.ReadASN1UTCTime(&t) {
			return time.Time{}, false
		}
	case in.PeekASN1Tag(cbasn1.GeneralizedTime):
		if !in.ReadASN1GeneralizedTime(&t) {
			return time.Time{}, false
		}
	default:
		return time.Time{}, false
	}
	return t.UTC(), true
}

// maxOwner bounds the name of a certificate inside a sentence, in bytes.
const maxOwner = 200

// weakKey says what is too small about the certificate's key, and is empty when nothing is. The limits are those of
// the Baseline Requirements section 6.1.5: RSA from 2048 bits, elliptic curves from P-256.
func weakKey(c *x509.Certificate) string {
	weak := false
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		weak = k.N.BitLen() < 2048
	case *dsa.PublicKey:
		weak = k.P.BitLen() < 2048
	case *ecdsa.PublicKey:
		weak = k.Curve.Params().BitSize < 256
	}
	if !weak {
		return ""
	}
	return fmt.Sprintf("%s key of %s", keyName(c), ownerOf(c))
}

// ownerOf names a certificate to a person: its subject, else its first name, else its serial number. Who made the
// certificate chose the text, so it is cut short and acts on nobody's terminal.
func ownerOf(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return clipText(plain(s), maxOwner)
	}
	if n := namesOf(c); len(n) > 0 {
		return clipText(n[0], maxOwner)
	}
	return "serial number " + serialText(c.SerialNumber)
}
