package probe

import (
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// codec turns verdicts into a compact form and back. What many endpoints share (intermediates, roots, the names of
// authorities and algorithms, revocation addresses) is kept once in tables, but only from chains that lead to an
// anchor: anybody can make up certificates, and the tables never shrink. When a table is full the rest is written out
// in each entry.
//
// The form lives in this process only and never on disk, so it has no version.
type codec struct {
	mu      sync.RWMutex
	strings []string
	byText  map[string]uint64
	certs   []record
	byPrint map[string]uint64
	bytes   int
}

// Bounds of the shared tables: a few times what the public web has.
const (
	maxSharedStrings = 1 << 14
	maxSharedString  = 512
	maxSharedCerts   = 1 << 12
)

func newCodec() *codec {
	return &codec{byText: map[string]uint64{}, byPrint: map[string]uint64{}}
}

func (c *codec) size() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.bytes
}

// Flags of a chain.
const (
	flagName = 1 << iota
	flagSelfSigned
	flagServerAuth
	flagCA
	flagPublic
	flagUntrustedRoot
	flagExplained // the rare texts follow
)

type encoder struct {
	codec *codec
	b     []byte
	share bool
}

func (c *codec) encode(v verdict) string {
	ch := v.chain
	e := encoder{codec: c, b: make([]byte, 0, 256), share: len(ch.Paths) > 0}
	flags := uint64(0)
	for i, on := range []bool{ch.NameMatches, ch.SelfSigned, ch.ServerAuth, ch.IsCA, ch.PublicTrust, ch.UntrustedRoot, explained(ch)} {
		if on {
			flags |= 1 << i
		}
	}
	e.uint(flags)
	e.uint(uint64(ch.Extra)) //nolint:gosec // G115: a count, and decoding gives the same bits back
	e.uint(uint64(len(v.certs)))
	place := make(map[string]uint64, len(v.certs))
	for i, r := range v.certs {
		place[r.cert.Fingerprint] = uint64(i)
		e.record(r)
	}
	e.places(ch.Certs, place)
	e.paths(ch.Paths, place)
	if flags&flagExplained != 0 {
		for _, s := range []string{ch.WeakKey, ch.WeakSignature, ch.MissingIssuer, ch.PathError, ch.Unparsed} {
			e.text(s)
		}
		e.paths(ch.Completed, place)
		e.places(ch.Unused, place)
		e.texts(ch.Lint)
	}
	return string(e.b)
}

func explained(ch assure.Chain) bool {
	return ch.WeakKey != "" || ch.WeakSignature != "" || ch.MissingIssuer != "" || ch.PathError != "" || ch.Unparsed != "" ||
		len(ch.Completed) > 0 || len(ch.Unused) > 0 || len(ch.Lint) > 0
}

func (e *encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) int(n int64)   { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) text(s string) {
	e.uint(uint64(len(s))<<1 | 1)
	e.b = append(e.b, s...)
}

func (e *encoder) texts(list []string) {
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.text(s)
	}
}

// shared writes a text that is likely to come again.
func (e *encoder) shared(s string) {
	if i, ok := e.codec.intern(s, e.share); ok {
		e.uint(i << 1)
		return
	}
	e.text(s)
}

func (c *codec) intern(s string, add bool) (uint64, bool) {
	if len(s) < 2 || len(s) > maxSharedString {
		return 0, false
	}
	c.mu.RLock()
	i, ok := c.byText[s]
	c.mu.RUnlock()
	if ok || !add {
		return i, ok
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := c.byText[s]; ok {
		return i, true
	}
	if len(c.strings) >= maxSharedStrings {
		return 0, false
	}
	i = uint64(len(c.strings))
	s = strings.Clone(s)
	c.strings = append(c.strings, s)
	c.byText[s] = i
	c.bytes += len(s) + 64
	return i, true
}

func (e *encoder) record(r record) {
	if i, ok := e.codec.internCert(r); ok {
		e.uint(i<<1 | 1)
		return
	}
	e.uint(0)
	fp, err := hex.DecodeString(r.cert.Fingerprint)
	if err != nil || len(fp) != 32 {
		fp = make([]byte, 32) // cannot be: every fingerprint is made by fingerprintOf
	}
	e.b = append(e.b, fp...)
	e.int(r.cert.NotBefore.Unix())
	e.int(r.cert.NotAfter.Unix())
	e.text(r.cert.Subject)
	e.shared(r.cert.Issuer)
	e.serial(r.cert.Serial)
	e.texts(r.cert.Names)
	e.shared(r.cert.Key)
	e.shared(r.cert.Signature)
	for _, list := range [][]string{r.crls, r.ocsp} {
		e.uint(uint64(len(list)))
		for _, s := range list {
			e.shared(s)
		}
	}
}

func (c *codec) internCert(r record) (uint64, bool) {
	c.mu.RLock()
	i, ok := c.byPrint[r.cert.Fingerprint]
	c.mu.RUnlock()
	if ok || !r.trusted {
		return i, ok
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := c.byPrint[r.cert.Fingerprint]; ok {
		return i, true
	}
	if len(c.certs) >= maxSharedCerts {
		return 0, false
	}
	i = uint64(len(c.certs))
	c.certs = append(c.certs, r)
	c.byPrint[r.cert.Fingerprint] = i
	c.bytes += 600
	return i, true
}

// serial writes a serial number as its bytes where that gives the same text back, and as text otherwise (a negative
// one, of a certificate that breaks the rules).
func (e *encoder) serial(s string) {
	if n, ok := new(big.Int).SetString(s, 16); ok && n.Sign() >= 0 && n.Text(16) == s && len(s) < 1024 {
		raw := n.Bytes()
		e.uint(uint64(len(raw)) << 1)
		e.b = append(e.b, raw...)
		return
	}
	e.text(s)
}

func (e *encoder) places(prints []string, place map[string]uint64) {
	e.uint(uint64(len(prints)))
	for _, fp := range prints {
		e.uint(place[fp])
	}
}

func (e *encoder) paths(paths []assure.Path, place map[string]uint64) {
	e.uint(uint64(len(paths)))
	for _, p := range paths {
		e.places(p.Certs, place)
		e.uint(place[p.LimitedBy])
		e.int(p.NotBefore.Unix())
		e.int(p.NotAfter.Unix())
	}
}

type decoder struct {
	codec *codec
	s     string
	bad   bool
}

// decode is the inverse of encode. The texts it returns share the entry's memory. It reports false for anything that
// encode did not write.
func (c *codec) decode(s string) (verdict, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d := decoder{codec: c, s: s}
	var v verdict
	ch := &v.chain
	flags := d.uint()
	for i, p := range []*bool{&ch.NameMatches, &ch.SelfSigned, &ch.ServerAuth, &ch.IsCA, &ch.PublicTrust, &ch.UntrustedRoot} {
		*p = flags&(1<<i) != 0
	}
	ch.Extra = int(d.uint()) //nolint:gosec // G115: written from an int
	n := d.count(1)
	v.certs = make([]record, 0, n)
	for range n {
		v.certs = append(v.certs, d.record())
	}
	ch.Certs = d.places(v.certs)
	ch.Paths = d.paths(v.certs)
	if flags&flagExplained != 0 {
		for _, p := range []*string{&ch.WeakKey, &ch.WeakSignature, &ch.MissingIssuer, &ch.PathError, &ch.Unparsed} {
			*p = d.text()
		}
		ch.Completed = d.paths(v.certs)
		ch.Unused = d.places(v.certs)
		ch.Lint = d.texts()
	}
	return v, !d.bad && d.s == ""
}

func (d *decoder) uint() uint64 {
	var n uint64
	for i := 0; i < len(d.s) && i < binary.MaxVarintLen64; i++ {
		n |= uint64(d.s[i]&0x7f) << (7 * i)
		if d.s[i] < 0x80 {
			d.s = d.s[i+1:]
			return n
		}
	}
	d.bad, d.s = true, ""
	return 0
}

func (d *decoder) int() int64 {
	n := d.uint()
	return int64(n>>1) ^ -int64(n&1)
}

// count reads a number of elements of at least size bytes each, and never gives more than can follow.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.s)/size) { //nolint:gosec // G115: a length
		d.bad, d.s = true, ""
		return 0
	}
	return int(n) //nolint:gosec // G115: at most len(d.s)
}

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.s)) {
		d.bad, d.s = true, ""
		return ""
	}
	out := d.s[:n]
	d.s = d.s[n:]
	return out
}

func (d *decoder) text() string {
	n := d.uint()
	if n&1 == 1 {
		return d.take(n >> 1)
	}
	if n>>1 >= uint64(len(d.codec.strings)) {
		d.bad = true
		return ""
	}
	return d.codec.strings[n>>1]
}

func (d *decoder) texts() []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, d.text())
	}
	return out
}

func (d *decoder) record() record {
	if i := d.uint(); i != 0 {
		if i>>1 >= uint64(len(d.codec.certs)) {
			d.bad = true
			return record{}
		}
		return d.codec.certs[i>>1]
	}
	var r record
	fp := d.take(32)
	var buf [64]byte
	r.cert.Fingerprint = string(buf[:hex.Encode(buf[:], []byte(fp))])
	r.cert.NotBefore = time.Unix(d.int(), 0).UTC()
	r.cert.NotAfter = time.Unix(d.int(), 0).UTC()
	r.cert.Subject = d.text()
	r.cert.Issuer = d.text()
	r.cert.Serial = d.serial()
	r.cert.Names = d.texts()
	r.cert.Key = d.text()
	r.cert.Signature = d.text()
	r.crls = d.texts()
	r.ocsp = d.texts()
	return r
}

func (d *decoder) serial() string {
	n := d.uint()
	raw := d.take(n >> 1)
	if n&1 == 1 {
		return raw
	}
	if raw == "" {
		return "0"
	}
	var room [128]byte
	if len(raw) > 64 {
		return new(big.Int).SetBytes([]byte(raw)).Text(16)
	}
	text := room[:hex.Encode(room[:], []byte(raw))]
	if text[0] == '0' {
		text = text[1:]
	}
	return string(text)
}

func (d *decoder) places(certs []record) []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, d.place(certs))
	}
	return out
}

func (d *decoder) place(certs []record) string {
	i := d.uint()
	if i >= uint64(len(certs)) {
		d.bad = true
		return ""
	}
	return certs[i].cert.Fingerprint
}

func (d *decoder) paths(certs []record) []assure.Path {
	n := d.count(4)
	if n == 0 {
		return nil
	}
	out := make([]assure.Path, 0, n)
	for range n {
		p := assure.Path{Certs: d.places(certs), LimitedBy: d.place(certs)}
		p.NotBefore = time.Unix(d.int(), 0).UTC()
		p.NotAfter = time.Unix(d.int(), 0).UTC()
		out = append(out, p)
	}
	return slices.Clip(out)
}
