package zones

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// key is a TSIG key (RFC 8945) and what it may write.
type key struct {
	algorithm string
	secret    string // base64
	allowed   []string
}

// SetKey makes the servers know a TSIG key; secret is base64, algorithm such as "hmac-sha256". It may write nothing until
// [Lab.Allow] says what. Setting a known key changes its secret and leaves what it may.
func (l *Lab) SetKey(name, algorithm, secret string) error {
	if _, err := base64.StdEncoding.DecodeString(secret); err != nil {
		return errors.New("the secret of key " + name + " is not base64")
	}
	switch fq(algorithm) {
	case dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512:
	default:
		return fmt.Errorf("algorithm %q of key %s: want hmac-sha256, -384 or -512", algorithm, name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := &key{algorithm: fq(algorithm), secret: secret}
	if old := l.keys[fq(name)]; old != nil {
		k.allowed = old.allowed
	}
	l.keys[fq(name)] = k
	return nil
}

// RemoveKey makes the servers forget a key: what it signs is BADKEY from now on.
func (l *Lab) RemoveKey(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, fq(name))
}

// Allow replaces the names at which a key may write TXT records, and nothing else: "name" is that name, "*.name" every
// name below it. Without any the key is known and refused.
func (l *Lab) Allow(name string, names ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.keys[fq(name)]
	if k == nil {
		return fmt.Errorf("no key %q", name)
	}
	k.allowed = nil
	for _, n := range names {
		k.allowed = append(k.allowed, fq(n))
	}
	return nil
}

func (k *key) may(rr dns.RR) bool {
	if rr.Header().Rrtype != dns.TypeTXT {
		return false
	}
	name := fq(rr.Header().Name)
	for _, a := range k.allowed {
		if suffix, ok := strings.CutPrefix(a, "*"); ok && strings.HasSuffix(name, suffix) || a == name {
			return true
		}
	}
	return false
}

// provider computes TSIG for the servers with the keys of the moment.
type provider struct{ l *Lab }

func (p provider) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	p.l.mu.Lock()
	k := p.l.keys[fq(t.Hdr.Name)]
	p.l.mu.Unlock()
	if k == nil || k.algorithm != fq(t.Algorithm) {
		return nil, dns.ErrSecret
	}
	secret, err := base64.StdEncoding.DecodeString(k.secret)
	if err != nil {
		return nil, err
	}
	hashes := map[string]func() hash.Hash{dns.HmacSHA256: sha256.New, dns.HmacSHA384: sha512.New384, dns.HmacSHA512: sha512.New}
	h := hmac.New(hashes[k.algorithm], secret)
	h.Write(msg)
	return h.Sum(nil), nil
}

func (p provider) Verify(msg []byte, t *dns.TSIG) error {
	want, err := p.Generate(msg, t)
	if err != nil {
		return err
	}
	if got, err := hex.DecodeString(t.MAC); err != nil || !hmac.Equal(got, want) {
		return dns.ErrSig
	}
	return nil
}

// sign puts a TSIG stub onto the answer to a signed request; the server fills it in.
func (l *Lab) sign(s *server, r, m *dns.Msg) {
	t := r.IsTsig()
	if t == nil || l.keys[fq(t.Hdr.Name)] == nil {
		return
	}
	m.SetTsig(t.Hdr.Name, t.Algorithm, 300, l.o.Now().Add(s.skew).Unix())
}

// authenticate returns the key of a request, or the answer that turns it away (RFC 8945 §5.2).
func (l *Lab) authenticate(s *server, w dns.ResponseWriter, r *dns.Msg) (*key, *dns.Msg) {
	t := r.IsTsig()
	if t == nil {
		return nil, new(dns.Msg).SetRcode(r, dns.RcodeRefused)
	}
	deny := func(code uint16) *dns.Msg {
		m := new(dns.Msg).SetRcode(r, dns.RcodeNotAuth)
		now := l.o.Now().Add(s.skew)
		m.SetTsig(t.Hdr.Name, t.Algorithm, 300, now.Unix())
		a := m.IsTsig()
		a.Error, a.OrigId = code, r.Id
		if code == dns.RcodeBadTime {
			var b [8]byte
			for i, v := 7, uint64(now.Unix()); i >= 0; i, v = i-1, v>>8 {
				b[i] = byte(v)
			}
			a.TimeSigned = t.TimeSigned // RFC 8945 §5.2.3
			a.OtherLen, a.OtherData = 6, hex.EncodeToString(b[2:])
		}
		return m
	}
	k := l.keys[fq(t.Hdr.Name)]
	if k == nil || k.algorithm != fq(t.Algorithm) {
		return nil, deny(dns.RcodeBadKey)
	}
	if err := w.TsigStatus(); err != nil && !errors.Is(err, dns.ErrTime) {
		return nil, deny(dns.RcodeBadSig)
	}
	// The library looks at the system's clock; the lab's may be another.
	off := l.o.Now().Add(s.skew).Sub(time.Unix(int64(t.TimeSigned), 0)).Abs()
	if off > time.Duration(t.Fudge)*time.Second {
		return nil, deny(dns.RcodeBadTime)
	}
	return k, nil
}

// update does what RFC 2136 §3 says, in the order of today's BIND: who asks, whether they may, then the prerequisites.
func (l *Lab) update(s *server, w dns.ResponseWriter, r *dns.Msg) *dns.Msg {
	k, deny := l.authenticate(s, w, r)
	if deny != nil {
		return deny
	}
	m := new(dns.Msg).SetRcode(r, dns.RcodeSuccess)
	l.sign(s, r, m)
	name := fq(r.Question[0].Name)
	z := l.zones[name]
	switch {
	case r.Question[0].Qtype != dns.TypeSOA:
		m.Rcode = dns.RcodeFormatError
		return m
	case z == nil || z.servers[0] != s:
		m.Rcode = dns.RcodeNotAuth // not the primary; the lab's servers forward nothing
		return m
	}
	for _, rr := range r.Ns {
		if !dns.IsSubDomain(name, fq(rr.Header().Name)) {
			m.Rcode = dns.RcodeNotZone
			return m
		}
		if !k.may(rr) {
			m.Rcode = dns.RcodeRefused
			return m
		}
	}
	for _, rr := range r.Answer {
		if m.Rcode = z.current.require(rr); m.Rcode != dns.RcodeSuccess {
			return m
		}
	}
	l.change(z, func(snap *snapshot) bool {
		changed := false
		for _, rr := range r.Ns {
			changed = snap.apply(rr) || changed
		}
		return changed
	})
	return m
}

// require looks at one prerequisite (RFC 2136 §2.4); those that depend on values are looked at one record at a time.
func (s *snapshot) require(rr dns.RR) int {
	h := rr.Header()
	sets := s.records[fq(h.Name)]
	there := len(sets[h.Rrtype]) > 0
	if h.Rrtype == dns.TypeANY {
		there = len(sets) > 0
	}
	switch {
	case h.Class == dns.ClassANY && !there && h.Rrtype == dns.TypeANY:
		return dns.RcodeNameError
	case h.Class == dns.ClassANY && !there:
		return dns.RcodeNXRrset
	case h.Class == dns.ClassNONE && there && h.Rrtype == dns.TypeANY:
		return dns.RcodeYXDomain
	case h.Class == dns.ClassNONE && there:
		return dns.RcodeYXRrset
	case h.Class == dns.ClassINET:
		for _, old := range sets[h.Rrtype] {
			if dns.IsDuplicate(old, rr) {
				return dns.RcodeSuccess
			}
		}
		return dns.RcodeNXRrset
	}
	return dns.RcodeSuccess
}

// apply makes one change (RFC 2136 §2.5) and reports whether anything is different.
func (s *snapshot) apply(rr dns.RR) bool {
	h := rr.Header()
	name := fq(h.Name)
	switch h.Class {
	case dns.ClassINET:
		return s.add(rr)
	case dns.ClassNONE:
		c := dns.Copy(rr)
		c.Header().Class = dns.ClassINET
		return s.remove(c)
	case dns.ClassANY:
		had := len(s.records[name][h.Rrtype]) > 0
		s.put(name, h.Rrtype, nil)
		return had
	}
	return false
}
