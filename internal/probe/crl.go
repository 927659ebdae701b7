package probe

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// revocationList is a verified list in compact form: sixteen bytes for each revoked certificate.
type revocationList struct {
	thisUpdate, nextUpdate time.Time // nextUpdate is zero when the list does not say
	entries                []revokedEntry
	scope                  listScope
	etag, lastModified     string
}

// revokedEntry is one revoked certificate. The serial number is kept as a hash of 88 bits: with a million entries the
// chance that a serial number is mistaken for another is one in 10^20.
type revokedEntry struct {
	serial [11]byte
	reason uint8
	at     uint32 // Unix time in seconds; RFC 5280 dates beyond 2106 are cut to that year
}

// listScope is which certificates a list is about (issuingDistributionPoint, RFC 5280 section 5.2.5).
type listScope struct {
	names       []string // the addresses that the list says it is for; empty: any
	onlyUsers   bool
	onlyCAs     bool
	someReasons bool // revocations for other reasons stand elsewhere
}

var (
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidDeltaCRL                 = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidReasonCode               = asn1.ObjectIdentifier{2, 5, 29, 21}
)

// parseRevocationList reads a complete version 2 list in DER form and checks that the issuer signed it. Lists hold up
// to a million entries; crypto/x509 would need some 500 bytes for each, so that the entries are read here and the rest
// is left to it: it gets the list without entries.
func parseRevocationList(der []byte, issuer *x509.Certificate) (*revocationList, error) {
	if bytes.HasPrefix(der, []byte("-----BEGIN ")) { // against RFC 5280 section 4.2.1.13, and met in practice
		if block, _ := pem.Decode(der); block != nil && block.Type == "X509 CRL" {
			der = block.Bytes
		}
	}
	tbs, entries, rest, err := splitList(der)
	if err != nil {
		return nil, err
	}
	rl, err := x509.ParseRevocationList(rest)
	if err != nil {
		return nil, fmt.Errorf("the list cannot be read: %s", trimX509(err.Error()))
	}
	if !bytes.Equal(rl.RawIssuer, issuer.RawSubject) {
		return nil, fmt.Errorf("the list was issued by %s and not by the certificate's issuer", clipText(rl.Issuer.String(), 100))
	}
	if k := rl.AuthorityKeyId; len(k) > 0 && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(k, issuer.SubjectKeyId) {
		return nil, errors.New("the list was issued with another key of the issuer")
	}
	out := &revocationList{thisUpdate: rl.ThisUpdate.UTC(), nextUpdate: rl.NextUpdate.UTC()}
	if rl.NextUpdate.IsZero() {
		out.nextUpdate = time.Time{}
	}
	for _, e := range rl.Extensions {
		switch {
		case e.Id.Equal(oidIssuingDistributionPoint):
			if out.scope, err = parseScope(e.Value); err != nil {
				return nil, err
			}
		case e.Id.Equal(oidDeltaCRL):
			return nil, errors.New("the list is a delta, which says nothing alone")
		case e.Critical:
			return nil, fmt.Errorf("the list has a critical extension that is not understood (%s)", e.Id)
		}
	}
	rl.RawTBSRevocationList = tbs // the signature is over the list with its entries
	if err := rl.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("the list is not signed by the certificate's issuer: %s", trimX509(err.Error()))
	}
	out.entries, err = parseEntries(entries)
	return out, err
}

// maxListFrame bounds what a list holds beside its entries, because that part is parsed before the signature is checked.
const maxListFrame = 64 << 10

var errListForm = errors.New("the answer is not a revocation list in DER form")

// splitList takes a CertificateList apart (RFC 5280 section 5.1): the signed part as it stands, the content of
// revokedCertificates, and the list as it would be without any.
func splitList(der []byte) (tbs, entries, rest []byte, err error) {
	in := cryptobyte.String(der)
	var list, signed, head, body, tail cryptobyte.String
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() || !list.ReadASN1Element(&signed, cbasn1.SEQUENCE) {
		return nil, nil, nil, errListForm
	}
	tbs = signed
	if !signed.ReadASN1(&body, cbasn1.SEQUENCE) {
		return nil, nil, nil, errListForm
	}
	fields := body
	if !body.SkipOptionalASN1(cbasn1.INTEGER) || !body.SkipASN1(cbasn1.SEQUENCE) || !body.SkipASN1(cbasn1.SEQUENCE) || !skipTime(&body) {
		return nil, nil, nil, errListForm
	}
	_ = skipTime(&body) // nextUpdate is optional in the syntax
	head = fields[:len(fields)-len(body)]
	var revoked cryptobyte.String
	var present bool
	if !body.ReadOptionalASN1(&revoked, &present, cbasn1.SEQUENCE) {
		return nil, nil, nil, errListForm
	}
	tail = body
	if len(head) > maxListFrame || len(tail) > maxListFrame {
		return nil, nil, nil, errors.New("the list's head or extensions are larger than any in use")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(head)
			b.AddBytes(tail)
		})
		b.AddBytes(list)
	})
	rest, err = b.Bytes()
	if err != nil {
		return nil, nil, nil, errListForm
	}
	return tbs, revoked, rest, nil
}

func skipTime(in *cryptobyte.String) bool {
	if in.PeekASN1Tag(cbasn1.GeneralizedTime) {
		return in.SkipASN1(cbasn1.GeneralizedTime)
	}
	return in.PeekASN1Tag(cbasn1.UTCTime) && in.SkipASN1(cbasn1.UTCTime)
}

var errEntryForm = errors.New("an entry of the list cannot be read")

// parseEntries reads the content of revokedCertificates (RFC 5280 section 5.1.2.6) into sorted entries.
func parseEntries(der []byte) ([]revokedEntry, error) {
	in := cryptobyte.String(der)
	out := make([]revokedEntry, 0, len(der)/36) // the usual size of an entry with a 16-byte serial number
	for !in.Empty() {
		var entry, serial cryptobyte.String
		if !in.ReadASN1(&entry, cbasn1.SEQUENCE) || !entry.ReadASN1(&serial, cbasn1.INTEGER) {
			return nil, errEntryForm
		}
		at, ok := readTime(&entry)
		if !ok {
			return nil, errEntryForm
		}
		e := revokedEntry{serial: serialHash(serial), at: uint32(max(0, min(at.Unix(), 1<<32-1)))}
		if !entry.Empty() {
			reason, err := parseEntryExtensions(&entry)
			if err != nil {
				return nil, err
			}
			e.reason = reason
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(x, y revokedEntry) int { return bytes.Compare(x.serial[:], y.serial[:]) })
	return slices.Clip(out), nil
}

func parseEntryExtensions(entry *cryptobyte.String) (reason uint8, err error) {
	var list cryptobyte.String
	if !entry.ReadASN1(&list, cbasn1.SEQUENCE) {
		return 0, errEntryForm
	}
	for !list.Empty() {
		var ext, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&ext, cbasn1.SEQUENCE) || !ext.ReadASN1ObjectIdentifier(&oid) ||
			ext.PeekASN1Tag(cbasn1.BOOLEAN) && !ext.ReadASN1Boolean(&critical) || !ext.ReadASN1(&value, cbasn1.OCTET_STRING) {
			return 0, errEntryForm
		}
		switch {
		case oid.Equal(oidReasonCode):
			var code int
			if !value.ReadASN1Enum(&code) || code < 0 || code > 255 {
				return 0, errEntryForm
			}
			reason = uint8(code)
		case critical: // RFC 5280 section 5.3: such a list must not be used
			return 0, fmt.Errorf("an entry of the list has a critical extension that is not understood (%s)", oid)
		}
	}
	return reason, nil
}

// serialHash hashes the content of a serial number's INTEGER, leading zeros aside.
func serialHash(content []byte) (out [11]byte) {
	for len(content) > 1 && content[0] == 0 {
		content = content[1:]
	}
	sum := sha256.Sum256(content)
	copy(out[:], sum[:])
	return out
}

// hashOfSerial is serialHash of a number, given in hex as certificates are described.
func hashOfSerial(text string) ([11]byte, bool) {
	n, ok := new(big.Int).SetString(text, 16)
	if !ok || n.Sign() < 0 {
		return [11]byte{}, false
	}
	raw := n.Bytes()
	if len(raw) == 0 {
		raw = []byte{0}
	}
	return serialHash(raw), true
}

// Fields of IssuingDistributionPoint (RFC 5280 section 5.2.5), all with implicit tags but the name.
var (
	tagPoint         = cbasn1.Tag(0).Constructed().ContextSpecific()
	tagFullName      = cbasn1.Tag(0).Constructed().ContextSpecific()
	tagOnlyUsers     = cbasn1.Tag(1).ContextSpecific()
	tagOnlyCAs       = cbasn1.Tag(2).ContextSpecific()
	tagSomeReasons   = cbasn1.Tag(3).ContextSpecific()
	tagIndirect      = cbasn1.Tag(4).ContextSpecific()
	tagOnlyAttribute = cbasn1.Tag(5).ContextSpecific()
	tagURI           = cbasn1.Tag(6).ContextSpecific()
)

var errScopeForm = errors.New("the list's scope (issuing distribution point) cannot be read")

func parseScope(value []byte) (listScope, error) {
	in := cryptobyte.String(value)
	var seq, point cryptobyte.String
	var s listScope
	var present bool
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || !seq.ReadOptionalASN1(&point, &present, tagPoint) {
		return s, errScopeForm
	}
	if present {
		var full cryptobyte.String
		var isFull bool
		if !point.ReadOptionalASN1(&full, &isFull, tagFullName) {
			return s, errScopeForm
		}
		if !isFull {
			return s, errors.New("the list names its scope relative to its issuer, which is not supported")
		}
		for !full.Empty() {
			var name cryptobyte.String
			var tag cbasn1.Tag
			if !full.ReadAnyASN1(&name, &tag) {
				return s, errScopeForm
			}
			if tag == tagURI && len(s.names) < 16 {
				s.names = append(s.names, string(name))
			}
		}
		if len(s.names) == 0 {
			return s, errors.New("the list's scope names no web address")
		}
	}
	flags := map[cbasn1.Tag]*bool{tagOnlyUsers: &s.onlyUsers, tagOnlyCAs: &s.onlyCAs}
	for !seq.Empty() {
		var v cryptobyte.String
		var tag cbasn1.Tag
		if !seq.ReadAnyASN1(&v, &tag) {
			return s, errScopeForm
		}
		set := len(v) == 1 && v[0] != 0
		switch tag {
		case tagOnlyUsers, tagOnlyCAs:
			*flags[tag] = set
		case tagSomeReasons:
			s.someReasons = true
		case tagIndirect:
			if set {
				return s, errors.New("the list is an indirect one, which is not supported")
			}
		case tagOnlyAttribute:
			if set {
				return s, errors.New("the list is about attribute certificates only")
			}
		default:
			return s, errScopeForm
		}
	}
	return s, nil
}

// covers says why the list is not about a certificate that names these distribution points, nil when it is.
func (s listScope) covers(points []string, ca bool) error {
	if len(s.names) > 0 && !slices.ContainsFunc(points, func(p string) bool { return slices.Contains(s.names, p) }) {
		return errors.New("the list is for another distribution point than the certificate names")
	}
	if s.onlyUsers && ca {
		return errors.New("the list is about end-entity certificates only")
	}
	if s.onlyCAs && !ca {
		return errors.New("the list is about authorities only")
	}
	return nil
}

// find looks a serial number up.
func (l *revocationList) find(serial [11]byte) (revokedEntry, bool) {
	i, ok := slices.BinarySearchFunc(l.entries, serial, func(e revokedEntry, s [11]byte) int { return bytes.Compare(e.serial[:], s[:]) })
	if !ok {
		return revokedEntry{}, false
	}
	return l.entries[i], true
}

func (l *revocationList) size() int { return 16*cap(l.entries) + 512 }

// reasonNames are the texts of RFC 5280 section 5.3.1; 7 is not used.
var reasonNames = [...]string{
	"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
	"certificateHold", "", "removeFromCRL", "privilegeWithdrawn", "aACompromise",
}

// reasonName is the text of a reason code; empty for unspecified, which says nothing.
func reasonName(code int) string {
	if code <= 0 || code >= len(reasonNames) {
		return ""
	}
	return reasonNames[code]
}
