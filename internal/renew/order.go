package renew

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"golang.org/x/net/idna"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds of an order and of what comes of it.
const (
	maxOrderNames = 100 // what the larger public CAs allow on one certificate
	maxChain      = 10  // certificates of a chain
)

// Request is what is wanted of a CA.
type Request struct {
	// Names are DNS names, "*." and the like included, and IP addresses.
	Names []string
	// KeyType is one of [KeyTypes]; empty means ECDSA P-256.
	KeyType string
	// Profile overrides that of the CA; empty means that one.
	Profile string
	// Replaces is the certificate that the new one takes the place of, for CAs that keep account of it (RFC 9773 section
	// 5); nil for none.
	Replaces *x509.Certificate
	// PreferredChain is the common name of the issuer at the end of the chain that is wanted, where the CA offers several;
	// empty takes the CA's first.
	PreferredChain string
}

// Issued is a certificate with its key.
type Issued struct {
	ChainPEM []byte // leaf first
	KeyPEM   []byte // PKCS #8, in clear
	Key      crypto.Signer
	Leaf     *x509.Certificate
	Profile  string // as the CA names it in the order; empty when it does not
}

// wanted is a request in order.
type wanted struct {
	dns  []string // lower case, ASCII, sorted, each once
	ips  []netip.Addr
	ids  []acme.Identifier
	all  []string
	text string
}

// sortOut brings names into the form in which they are ordered and compared.
func sortOut(names []string) (wanted, error) {
	var w wanted
	if len(names) == 0 || len(names) > maxOrderNames {
		return w, fmt.Errorf("a certificate is for 1 to %d names, not for %d", maxOrderNames, len(names))
	}
	for _, n := range names {
		n = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(n)), ".")
		if ip, err := netip.ParseAddr(n); err == nil {
			if ip.Zone() != "" {
				return w, fmt.Errorf("%q is an address of one machine's network only", clip(n))
			}
			w.ips = append(w.ips, ip.Unmap())
			continue
		}
		base, wild := strings.CutPrefix(n, "*.")
		ascii, err := idna.Lookup.ToASCII(base)
		if err != nil || ascii == "" || strings.Contains(ascii, "*") {
			return w, fmt.Errorf("%q is no name that a certificate can be for", clip(n))
		}
		if wild {
			ascii = "*." + ascii
		}
		w.dns = append(w.dns, ascii)
	}
	slices.Sort(w.dns)
	w.dns = slices.Compact(w.dns)
	slices.SortFunc(w.ips, netip.Addr.Compare)
	w.ips = slices.Compact(w.ips)
	for _, n := range w.dns {
		w.ids = append(w.ids, acme.Identifier{Type: "dns", Value: n})
	}
	for _, ip := range w.ips {
		w.ids = append(w.ids, acme.Identifier{Type: "ip", Value: ip.String()}) // RFC 8738
	}
	for _, id := range w.ids {
		w.all = append(w.all, id.Value)
	}
	w.text = clip(strings.Join(w.all, ", "))
	return w, nil
}

// holds reports whether a CA may ask for a proof for the identifier: one that was ordered, without "*.", or a domain
// above it, by which some prove all that is below (RFC 8555 section 7.1.3 leaves the choice to the CA).
func (w wanted) holds(id acme.Identifier) bool {
	if id.Type == "ip" {
		a, err := netip.ParseAddr(id.Value)
		return err == nil && slices.Contains(w.ips, a.Unmap())
	}
	name := strings.ToLower(id.Value)
	return id.Type == "dns" && slices.ContainsFunc(w.dns, func(n string) bool {
		n = strings.TrimPrefix(n, "*.")
		return n == name || strings.Contains(name, ".") && strings.HasSuffix(n, "."+name)
	})
}

// csr makes the signing request.
func (w wanted) csr(key crypto.Signer) ([]byte, error) {
	t := &x509.CertificateRequest{DNSNames: w.dns}
	for _, ip := range w.ips {
		t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
	}
	return x509.CreateCertificateRequest(rand.Reader, t, key)
}

// match checks that a leaf is for the key and for exactly the names that were ordered.
func (w wanted) match(leaf *x509.Certificate, key crypto.Signer) error {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(leaf.PublicKey) {
		return errors.New("the certificate is for another key")
	}
	var got []string
	for _, n := range leaf.DNSNames {
		got = append(got, strings.ToLower(n))
	}
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			got = append(got, a.Unmap().String())
		}
	}
	for _, n := range w.all {
		if !slices.Contains(got, n) {
			return fmt.Errorf("the certificate is not for %s", n)
		}
	}
	for _, n := range got {
		if !slices.Contains(w.all, n) {
			return fmt.Errorf("the certificate is also for %q, which nobody ordered", clip(n))
		}
	}
	return nil
}

// clockSkew is by how much our clock may be behind that of the CA. Public CAs date certificates back by an hour; others
// begin them at once.
const clockSkew = 5 * time.Minute

// inForce checks that a certificate can be used now: what is over already, or has not begun, would replace one that is
// good.
func inForce(leaf *x509.Certificate, now time.Time) error {
	switch {
	case !now.Before(leaf.NotAfter):
		return fmt.Errorf("the certificate ended at %s, before it came; where that is not so, the clock of this machine is wrong", stamp(leaf.NotAfter))
	case leaf.NotBefore.After(now.Add(clockSkew)):
		return fmt.Errorf("the certificate begins only at %s; where that is over, the clock of this machine is wrong", stamp(leaf.NotBefore))
	}
	return nil
}

// chain is a chain as the CA gave it, in good form.
type chain struct {
	pem  []byte
	leaf *x509.Certificate
	top  string // common name of the issuer of the last certificate
}

// parseChain reads a chain of certificates in PEM, leaf first, of which each but the last must be signed by the next. Text
// between the blocks is left out.
func parseChain(text []byte) (chain, error) {
	var out chain
	var before *x509.Certificate
	var buf bytes.Buffer
	for n := 0; ; n++ {
		var b *pem.Block
		b, text = pem.Decode(text)
		if b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return chain{}, fmt.Errorf("there is a block of the type %q in the chain", clip(b.Type))
		}
		if n == maxChain {
			return chain{}, fmt.Errorf("the chain has more than %d certificates", maxChain)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return chain{}, fmt.Errorf("read certificate %d of the chain: %w", n+1, err)
		}
		if before == nil {
			out.leaf = c
		} else if err := before.CheckSignatureFrom(c); err != nil {
			return chain{}, fmt.Errorf("certificate %d of the chain is not signed by the next: %w", n, err)
		}
		before = c
		if err := pem.Encode(&buf, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return chain{}, err
		}
	}
	if before == nil {
		return chain{}, errors.New("there is no certificate in the chain")
	}
	out.pem, out.top = buf.Bytes(), before.Issuer.CommonName
	return out, nil
}

// Issue orders a certificate, proves every name with the first of the solvers that the CA offers a challenge for,
// and returns it with a new key. Each step is reported as it ends, one at a time. Everything that was presented has been
// withdrawn when it returns, whatever happened, or stays in the journal; a certificate is returned all the same when
// only the withdrawing did not work, and the steps say so.
func (c *CA) Issue(ctx context.Context, r Request, solvers []Solver, report func(assure.Step)) (Issued, error) {
	return c.issue(ctx, r, solvers, report, (*flow).place)
}

// IssueAfresh is [CA.Issue] for a rehearsal (L4): every name is proven with a challenge that is solved now, as
// [CA.Authorize] does it.
func (c *CA) IssueAfresh(ctx context.Context, r Request, solvers []Solver, report func(assure.Step)) (Issued, error) {
	r.Replaces = nil // nothing will be replaced
	return c.issue(ctx, r, solvers, report, (*flow).afresh)
}

func (c *CA) issue(ctx context.Context, r Request, solvers []Solver, report func(assure.Step), place func(*flow, context.Context) error) (Issued, error) {
	f, err := c.begin(ctx, r, solvers, report)
	if err != nil {
		return Issued{}, err
	}
	key, keyPEM, err := newKey(r.KeyType) // before the order: it can take seconds
	if err != nil {
		return Issued{}, &failure{&assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleInvalid, Detail: err.Error()}, err}
	}
	if err := place(f, ctx); err != nil {
		f.abandon(ctx)
		return Issued{}, err
	}
	if err := f.prove(ctx); err != nil {
		f.abandon(ctx)
		return Issued{}, err
	}
	got, err := f.finish(ctx, key)
	if err != nil {
		return Issued{}, err
	}
	got.Key, got.KeyPEM = key, keyPEM
	return got, nil
}

// Authorize proves every name as [CA.Issue] does, with a challenge that is solved now, and then gives all authorizations
// back: no certificate comes of it (L3). An authorization that is valid already proves nothing; it is given back, and
// the order placed once more. Where the CA then has another valid one, the error has the reason
// [assure.RehearsalInconclusive]. Unlike Issue, it fails when something could not be withdrawn or given back.
func (c *CA) Authorize(ctx context.Context, r Request, solvers []Solver, report func(assure.Step)) error {
	f, err := c.begin(ctx, r, solvers, report)
	if err != nil {
		return err
	}
	f.r.Replaces = nil // nothing will be replaced
	if err := f.afresh(ctx); err != nil {
		return err
	}
	proved := f.prove(ctx)
	back := f.giveBack(ctx)
	return worst(proved, f.left, back)
}

// afresh places an order with no authorization that is valid before anything was done.
func (f *flow) afresh(ctx context.Context) error {
	for try := 1; ; try++ {
		if err := f.place(ctx); err != nil {
			_ = f.giveBack(ctx) // what stopped the order is worth more than what stops this
			return err
		}
		reused := f.reused()
		if len(reused) == 0 {
			return nil
		}
		if err := f.giveBack(ctx); err != nil {
			return err
		}
		if try == 2 {
			s := f.c.step(assure.StepValidate, strings.Join(reused, ", "))
			t := &assure.Trouble{
				Reason: assure.RehearsalInconclusive, Class: assure.TroubleTransient, Scope: clip(strings.Join(reused, ", ")),
				Detail: clip(fmt.Sprintf("%s used an older authorization again instead of looking: %s", f.c, strings.Join(reused, ", "))),
				Remedy: "Rehearse again: each such authorization is given back, so that there is one fewer each time.",
			}
			s.fail(t)
			f.report(s.Step)
			return t
		}
	}
}
