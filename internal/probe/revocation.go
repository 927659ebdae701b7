package probe

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds and habits of revocation lists.
const (
	maxLists     = 4096
	maxListBytes = 64 << 20 // four million revoked certificates
	// A list is asked for again after what its server allows, within these, and by then only as "has it changed?". That
	// is sooner than it ends: a revocation made today must not wait for the end of a list that lasts ten days.
	usualListRefresh = time.Hour
	minListRefresh   = 15 * time.Minute
	maxListRefresh   = 6 * time.Hour
	endlessList      = 24 * time.Hour // how long a list is good that does not say (RFC 5280 demands that it says)
	// clockSkew is how far ahead of our clock an answer may begin.
	clockSkew = 5 * time.Minute
)

// viaList is how a revocation says that a list answered.
const viaList = "crl"

// crlKey is a list as checked against one issuer, so that a certificate which names somebody else's list cannot push
// the good one out.
type crlKey struct {
	place  placeKey
	issuer [sha256.Size]byte
}

// asked is one certificate whose revocation is asked for.
type asked struct {
	rec    record
	print  [sha256.Size]byte
	issuer [sha256.Size]byte
	ca     bool
	reach  reach
	der    [][]byte // as served
}

// askRevocation asks whether the certificates of the best path are revoked. Answers are facts with their dates; whether
// the dates do is for others to judge, but an answer that is out of date now is not called good.
func (a *Analyser) askRevocation(ctx context.Context, v *verdict, peer netip.Addr, der [][]byte, staple []byte) []assure.Revocation {
	if a.mode == RevocationOff || len(v.chain.Paths) == 0 {
		return nil
	}
	path := v.chain.Paths[0].Certs
	n := len(path) - 1
	if a.mode != RevocationFull {
		n = min(n, 1)
	}
	questions := make([]asked, 0, n)
	for i := range n {
		q := asked{ca: i > 0 || v.chain.IsCA, reach: reachOf(peer), der: der}
		for _, r := range v.certs {
			if r.cert.Fingerprint == path[i] {
				q.rec = r
			}
		}
		q.print, q.issuer = printBytes(path[i]), printBytes(path[i+1])
		questions = append(questions, q)
	}
	if n == 1 {
		return a.askOne(ctx, questions[0], staple)
	}
	answers := make([][]assure.Revocation, n)
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					a.log.Error("asking for a revocation panicked", "certificate", q.rec.cert.Fingerprint, "panic", p)
					answers[i] = []assure.Revocation{{Cert: q.rec.cert.Fingerprint, Via: viaList, Status: assure.RevocationUnknown, Detail: fmt.Sprintf("asking panicked: %v", p)}}
				}
			}()
			if i == 0 {
				answers[i] = a.askOne(ctx, q, staple)
			} else {
				answers[i] = a.askOne(ctx, q, nil)
			}
		})
	}
	wg.Wait()
	var out []assure.Revocation
	for _, list := range answers {
		out = append(out, list...)
	}
	return out
}

func printBytes(fingerprint string) (out [sha256.Size]byte) {
	_, _ = hex.Decode(out[:], []byte(fingerprint)) // every fingerprint is made by fingerprintOf
	return out
}

// askOne asks about one certificate: what the server stapled, then the revocation lists, and a responder only when
// neither said good or revoked.
func (a *Analyser) askOne(ctx context.Context, q asked, staple []byte) (out []assure.Revocation) {
	settled := false
	add := func(r assure.Revocation) {
		r.Cert = q.rec.cert.Fingerprint
		// Both may hold words that the certificate's maker or a server chose.
		r.URL, r.Detail = clipText(plain(r.URL), maxURL), clipDetail(r.Detail)
		out = append(out, r)
		settled = settled || r.Status != assure.RevocationUnknown
	}
	if len(staple) > 0 {
		add(a.readStaple(q, staple))
	}
	if a.offline {
		return out
	}
	stapled := settled
	if len(q.rec.crls) > 0 {
		settled = false
		add(a.askLists(ctx, q))
	}
	if len(q.rec.ocsp) > 0 && !settled && !stapled {
		add(a.askResponders(ctx, q))
	}
	return out
}

// parsed returns the certificate and its issuer. It is called only when something new must be checked.
func (a *Analyser) parsed(q asked) (cert, issuer *x509.Certificate, err error) {
	for _, d := range q.der {
		switch sha256.Sum256(d) {
		case q.print:
			cert, err = x509.ParseCertificate(d)
		case q.issuer:
			issuer, err = x509.ParseCertificate(d)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read a certificate again: %w", err)
		}
	}
	for _, anchor := range a.trust.anchors {
		if issuer != nil {
			break
		}
		if sha256.Sum256(anchor.cert.Raw) == q.issuer {
			issuer = anchor.cert
		}
	}
	if cert == nil || issuer == nil {
		return nil, nil, errors.New("the certificate's issuer is not at hand")
	}
	return cert, issuer, nil
}

func (a *Analyser) askLists(ctx context.Context, q asked) assure.Revocation {
	addresses, refused := usable(q.rec.crls)
	out := assure.Revocation{Via: viaList, Status: assure.RevocationUnknown}
	if len(addresses) == 0 {
		out.URL, out.Detail = q.rec.crls[0], refused.Error()
		return out
	}
	serial, ok := hashOfSerial(q.rec.cert.Serial)
	if !ok {
		out.Detail = "the certificate's serial number is not a positive number"
		return out
	}
	for i, address := range addresses {
		key := crlKey{placeKey{q.reach, address}, q.issuer}
		list, have, err := a.crls.get(ctx, key, func(ctx context.Context, last *revocationList, _ bool) (goods[*revocationList], error) {
			return a.fetchList(ctx, key.place, q, last)
		})
		r := assure.Revocation{Via: viaList, URL: address, Status: assure.RevocationUnknown}
		if have {
			r = list.answer(r, serial, q, a.now())
		}
		if err != nil && r.Status == assure.RevocationUnknown {
			r.Detail = err.Error()
		}
		if r.Status != assure.RevocationUnknown {
			return r
		}
		if i == 0 {
			out = r
		}
	}
	return out
}

// answer says what the list says of a certificate at now.
func (l *revocationList) answer(r assure.Revocation, serial [11]byte, q asked, now time.Time) assure.Revocation {
	r.ThisUpdate, r.NextUpdate = l.thisUpdate, l.nextUpdate
	if err := l.scope.covers(q.rec.crls, q.ca); err != nil {
		r.Detail = err.Error()
		return r
	}
	if e, ok := l.find(serial); ok {
		r.Status, r.RevokedAt, r.Reason = assure.RevocationRevoked, time.Unix(int64(e.at), 0).UTC(), reasonName(int(e.reason))
		return r
	}
	if l.scope.someReasons {
		r.Detail = "the list holds the revocations for some reasons only"
		return r
	}
	return settle(r, now)
}

// settle calls an answer good when its dates hold now.
func settle(r assure.Revocation, now time.Time) assure.Revocation {
	switch {
	case !r.NextUpdate.IsZero() && now.After(r.NextUpdate):
		r.Detail = errOutOfDate.Error()
	case r.ThisUpdate.After(now.Add(clockSkew)):
		r.Detail = "the answer is dated in the future"
	default:
		r.Status = assure.RevocationGood
	}
	return r
}

func (a *Analyser) fetchList(ctx context.Context, place placeKey, q asked, last *revocationList) (goods[*revocationList], error) {
	var none goods[*revocationList]
	ask := request{reach: place.reach, url: place.url, limit: maxListBody}
	if last != nil {
		ask.etag, ask.lastModified = last.etag, last.lastModified
	}
	r, err := a.fetcher.do(ctx, ask)
	if err != nil {
		return none, err
	}
	list := last
	if !r.notModified {
		_, issuer, err := a.parsed(q)
		if err == nil {
			list, err = parseRevocationList(r.body, issuer)
		}
		if err != nil {
			a.fetcher.failures.Add(1)
			return none, err
		}
		if last != nil && list.thisUpdate.Before(last.thisUpdate) {
			list = last // a mirror that lags behind
		} else {
			list.etag, list.lastModified = r.etag, r.lastModified
		}
	}
	return list.terms(a.now(), r.maxAge), nil
}

// terms says when the list is asked for again and until when it is good.
func (l *revocationList) terms(now time.Time, allowed time.Duration) goods[*revocationList] {
	until := l.nextUpdate
	if until.IsZero() {
		until = now.Add(endlessList)
	}
	wait := usualListRefresh
	if allowed > 0 {
		wait = max(minListRefresh, min(allowed, maxListRefresh))
	}
	// A list that lasts hours only is asked for at half-time, so that it never runs out while its server is well.
	wait = min(wait, max(0, until.Sub(now)/2))
	return goods[*revocationList]{value: l, refresh: now.Add(wait), until: until, size: l.size()}
}

func (a *Analyser) askResponders(ctx context.Context, q asked) assure.Revocation {
	addresses, refused := usable(q.rec.ocsp)
	out := assure.Revocation{Via: "ocsp", Status: assure.RevocationUnknown}
	if len(addresses) == 0 {
		out.URL, out.Detail = q.rec.ocsp[0], refused.Error()
		return out
	}
	for i, address := range addresses {
		key := ocspKey{placeKey{q.reach, address}, q.print}
		answer, have, err := a.answers.get(ctx, key, func(ctx context.Context, _ ocspAnswer, _ bool) (goods[ocspAnswer], error) {
			cert, issuer, err := a.parsed(q)
			if err != nil {
				return goods[ocspAnswer]{}, err
			}
			return a.fetchAnswer(ctx, key.place, cert, issuer)
		})
		r := assure.Revocation{Via: "ocsp", URL: address, Status: assure.RevocationUnknown}
		if have {
			r = answer.say(r, a.now())
		}
		if err != nil && r.Status == assure.RevocationUnknown {
			r.Detail = err.Error()
		}
		if r.Status != assure.RevocationUnknown {
			return r
		}
		if i == 0 {
			out = r
		}
	}
	return out
}

// say puts the answer into words at now.
func (o ocspAnswer) say(r assure.Revocation, now time.Time) assure.Revocation {
	at := func(unix int64) time.Time {
		if unix == 0 {
			return time.Time{}
		}
		return time.Unix(unix, 0).UTC()
	}
	r.ThisUpdate, r.NextUpdate, r.Detail = at(o.this), at(o.next), o.detail
	switch o.status {
	case answerGood:
		return settle(r, now)
	case answerRevoked:
		r.Status, r.RevokedAt, r.Reason = assure.RevocationRevoked, at(o.revokedAt), reasonName(int(o.reason))
	}
	return r
}

// readStaple reads the OCSP response that came with the handshake (RFC 6066 section 8). Its signature is checked once,
// not with every look.
func (a *Analyser) readStaple(q asked, staple []byte) assure.Revocation {
	h := sha256.New()
	_, _ = h.Write(a.verdicts.secret[:])
	_, _ = h.Write(q.print[:])
	_, _ = h.Write(q.issuer[:])
	_, _ = h.Write(staple)
	key := stapleKey(h.Sum(nil)[:16])
	answer, ok := a.staples.get(key)
	if !ok {
		cert, issuer, err := a.parsed(q)
		if err == nil {
			answer, err = parseOCSP(staple, cert, issuer)
		}
		if err != nil {
			answer = ocspAnswer{detail: "stapled: " + err.Error()}
		}
		a.staples.put(key, answer)
	}
	return answer.say(assure.Revocation{Via: "staple", Status: assure.RevocationUnknown}, a.now())
}
