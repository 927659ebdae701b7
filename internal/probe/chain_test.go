package probe

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func TestChains(t *testing.T) {
	r := root(t, "Root")
	other := root(t, "Other Root")
	i := inter(t, "Inter", r)
	good := leaf(t, "www.example.com", i)
	yesterday, tomorrow := noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1)
	rsaRoot := sign(t, caTemplate("RSA Root"), keyRSA(t, 2048), nil)

	type want struct {
		paths     string
		end       time.Time // of the best path
		limitedBy string
		completed string
		missing   string
		untrusted bool
		pathError string // part of it
		unused    []*holder
		weakKey   string
		weakSig   string
		change    func(*assure.Chain) // from the usual flags: name matches, server auth
	}
	type row struct {
		name  string
		trust []*holder
		serve []*holder
		known []*holder // served by another endpoint before
		host  string
		want  want
	}
	var rows []row
	add := func(name string, trust, serve []*holder, w want) *row {
		rows = append(rows, row{name: name, trust: trust, serve: serve, host: "www.example.com", want: w})
		return &rows[len(rows)-1]
	}
	L := func(hs ...*holder) []*holder { return hs }
	const direct = "CN=www.example.com > CN=Inter > CN=Root"

	add("a good chain", L(r), L(good, i), want{paths: direct, end: good.cert.NotAfter, limitedBy: "CN=www.example.com"})
	add("the root is served as well", L(r), L(good, i, r), want{paths: direct, end: good.cert.NotAfter})
	add("the order is wrong", L(r), L(good, r, i), want{paths: direct, end: good.cert.NotAfter})
	add("a certificate is served twice", L(r), L(good, i, i, good), want{paths: direct, end: good.cert.NotAfter})
	stray := leaf(t, "stray.example.com", other)
	add("a stranger is served along", L(r), L(good, i, stray), want{paths: direct, unused: L(stray)})

	weak := func(n int) *holder { return inter(t, "Inter", r, until(noon.AddDate(0, 0, n))) }
	short := weak(20)
	shortLeaf := leaf(t, "www.example.com", short)
	add("the intermediate ends before the leaf", L(r), L(shortLeaf, short),
		want{paths: direct, end: short.cert.NotAfter, limitedBy: "CN=Inter"})
	gone := weak(-1)
	goneLeaf := leaf(t, "www.example.com", gone)
	add("the intermediate has ended: still a path, with its end in the past", L(r), L(goneLeaf, gone),
		want{paths: direct, end: yesterday, limitedBy: "CN=Inter"})

	// One authority with two certificates: an old one that ended and a cross-sign that lasts.
	crossed := cross(t, gone, other)
	add("an intermediate has ended but its cross-sign has not", L(r, other), L(goneLeaf, gone, crossed),
		want{paths: "CN=www.example.com > CN=Inter > CN=Other Root | " + direct, end: goneLeaf.cert.NotAfter})
	expiredCross := cross(t, i, other, until(yesterday))
	add("an expired cross-sign to a root that is not trusted does not matter", L(r), L(good, i, expiredCross),
		want{paths: direct, end: good.cert.NotAfter, unused: L(expiredCross)})
	add("an expired cross-sign to a trusted root is the second path", L(r, other), L(good, i, expiredCross),
		want{paths: direct + " | CN=www.example.com > CN=Inter > CN=Other Root", end: good.cert.NotAfter})
	rootCross := cross(t, r, other)
	add("a cross-signed root: the shorter path first when both last as long", L(r, other), L(good, i, rootCross),
		want{paths: direct + " | CN=www.example.com > CN=Inter > CN=Root > CN=Other Root", end: good.cert.NotAfter})
	endedRoot := root(t, "Ended Root", until(yesterday))
	underEnded := leaf(t, "www.example.com", endedRoot)
	add("the anchor's own end does not count", L(endedRoot), L(underEnded),
		want{paths: "CN=www.example.com > CN=Ended Root", end: underEnded.cert.NotAfter})

	add("the intermediate is missing and unknown", L(r), L(good), want{missing: "CN=Inter"})
	add("the intermediate is missing and was seen elsewhere", L(r), L(good), want{missing: "CN=Inter", completed: direct}).known = L(good, i)
	add("an issuer nobody knows", L(r), L(leaf(t, "www.example.com", inter(t, "Elsewhere", other))), want{missing: "CN=Elsewhere"})
	o2 := inter(t, "Other Inter", other)
	add("an untrusted root is served", L(r), L(leaf(t, "www.example.com", o2), o2, other), want{missing: "CN=Other Root", untrusted: true})
	add("an untrusted root is not served", L(r), L(leaf(t, "www.example.com", o2), o2), want{missing: "CN=Other Root"})
	self := leaf(t, "www.example.com", nil)
	add("self-signed", L(r), L(self), want{missing: "CN=www.example.com", untrusted: true, change: func(c *assure.Chain) { c.SelfSigned = true }})
	add("self-signed and itself trusted", L(self), L(self),
		want{paths: "CN=www.example.com", end: self.cert.NotAfter, change: func(c *assure.Chain) { c.SelfSigned = true }})
	// Same name as the real intermediate, another key.
	forged := inter(t, "Inter", r)
	add("the issuer's name fits and its key does not", L(r), L(good, forged),
		want{missing: "CN=Inter", pathError: "not signed by the key of its issuer CN=Inter"})
	add("two issuers of one name: the one that signed is found", L(r), L(good, forged, i), want{paths: direct, unused: L(forged)})

	// An authority that was set up anew under its old name.
	again := root(t, "Root")
	underAgain := leaf(t, "www.example.com", again)
	add("an untrusted root has the name of a trusted one", L(r), L(underAgain, again), want{missing: "CN=Root", untrusted: true})
	add("the same, and it is not served", L(r), L(underAgain),
		want{missing: "CN=Root", pathError: "CN=www.example.com is not signed by the key of its issuer CN=Root"})

	constrained := inter(t, "Narrow", r, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.net"}
	})
	add("name constraints are violated", L(r), L(leaf(t, "www.example.com", constrained), constrained),
		want{pathError: "name constraints forbid it"})
	noneBelow := inter(t, "Last", r, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	tooDeep := inter(t, "Too Deep", noneBelow)
	add("the path length is violated", L(r), L(leaf(t, "www.example.com", tooDeep), tooDeep, noneBelow),
		want{pathError: "fewer intermediates"})
	mailOnly := inter(t, "Mail CA", r, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })
	add("an issuer may not issue for servers", L(r), L(leaf(t, "www.example.com", mailOnly), mailOnly),
		want{pathError: "extended key usage"})
	notCA := sign(t, leafTemplate("not a CA"), keyP256(t), r)
	add("an issuer is no authority", L(r), L(leaf(t, "www.example.com", notCA), notCA), want{pathError: "basic constraints"})
	critical := leaf(t, "www.example.com", i, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	})
	add("a critical extension nobody understands", L(r), L(critical, i), want{pathError: "critical extension"})
	late := inter(t, "Late", r, from(noon.AddDate(2, 0, 0)))
	add("issuer and leaf are never valid together", L(r), L(leaf(t, "www.example.com", late), late),
		want{pathError: "never valid at the same time"})

	stale := cross(t, i, r, from(noon.AddDate(-3, 0, 0)), until(noon.AddDate(-2, 0, 0)))
	add("an old certificate of the issuer is served: the present one is missing", L(r), L(good, stale),
		want{missing: "CN=Inter", completed: direct, pathError: "never valid at the same time", unused: L(stale)}).known = L(good, i)

	clientOnly := leaf(t, "www.example.com", i, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	add("the leaf is not for servers: the path exists all the same", L(r), L(clientOnly, i),
		want{paths: direct, change: func(c *assure.Chain) { c.ServerAuth = false }})
	isCA := sign(t, caTemplate("www.example.com", func(c *x509.Certificate) { c.DNSNames = []string{"www.example.com"} }), keyP256(t), i)
	add("the leaf is an authority", L(r), L(isCA, i), want{paths: direct, change: func(c *assure.Chain) { c.IsCA = true }})
	add("another name", L(r), L(good, i), want{paths: direct, change: func(c *assure.Chain) { c.NameMatches = false }}).host = "mail.example.com"
	onlyCN := leaf(t, "www.example.com", i, func(c *x509.Certificate) { c.DNSNames = nil })
	add("the name stands in the common name only", L(r), L(onlyCN, i), want{paths: direct, change: func(c *assure.Chain) { c.NameMatches = false }})

	rsa1024 := sign(t, leafTemplate("www.example.com"), keyRSA(t, 1024), i)
	add("a short RSA key", L(r), L(rsa1024, i), want{paths: direct, weakKey: "RSA 1024 key of CN=www.example.com"})
	weakStray := sign(t, leafTemplate("stray"), keyRSA(t, 1024), other)
	add("a short key of a certificate nobody needs does not matter", L(r), L(good, i, weakStray), want{paths: direct, unused: L(weakStray)})

	weakInter := sign(t, caTemplate("Weak Inter"), keyRSA(t, 1024), other)
	add("without a path: the short key on the way counts", L(r), L(leaf(t, "www.example.com", weakInter), weakInter),
		want{missing: "CN=Other Root", weakKey: "RSA 1024 key of CN=Weak Inter"})
	add("without a path: a short key beside the way does not", L(r), L(leaf(t, "www.example.com", o2), o2, weakStray), want{missing: "CN=Other Root"})

	sha1Leaf := signSHA1(t, leafTemplate("www.example.com"), keyP256(t), i)
	add("a SHA-1 signature by ECDSA: a path that relies on it", L(r), L(sha1Leaf, i),
		want{paths: direct, weakSig: "ECDSA-SHA1 signature on CN=www.example.com"})
	sha1RSA := signSHA1(t, leafTemplate("www.example.com"), keyP256(t), rsaRoot)
	add("a SHA-1 signature by RSA", L(rsaRoot), L(sha1RSA),
		want{paths: "CN=www.example.com > CN=RSA Root", weakSig: "SHA1-RSA signature on CN=www.example.com"})
	sha1Inter := signSHA1(t, caTemplate("Old Inter"), keyP256(t), r)
	underSHA1 := leaf(t, "www.example.com", sha1Inter)
	add("a SHA-1 signature on the intermediate", L(r), L(underSHA1, sha1Inter),
		want{paths: "CN=www.example.com > CN=Old Inter > CN=Root", weakSig: "ECDSA-SHA1 signature on CN=Old Inter"})
	better := cross(t, sha1Inter, other)
	add("a SHA-1 path counts for nothing beside a sound one", L(r, other), L(underSHA1, sha1Inter, better),
		want{paths: "CN=www.example.com > CN=Old Inter > CN=Other Root", unused: L(sha1Inter)})
	sha1Narrow := signSHA1(t, leafTemplate("www.example.com"), keyP256(t), constrained)
	add("name constraints hold on a SHA-1 path too", L(r), L(sha1Narrow, constrained),
		want{pathError: "name constraints forbid it", weakSig: "ECDSA-SHA1 signature on CN=www.example.com"})
	sha1Root := signSHA1(t, caTemplate("SHA-1 Root"), keyP256(t), nil)
	add("the anchor's own signature does not count", L(sha1Root), L(leaf(t, "www.example.com", sha1Root), sha1Root),
		want{paths: "CN=www.example.com > CN=SHA-1 Root"})
	add("SHA-1 and an unknown issuer", L(r), L(signSHA1(t, leafTemplate("www.example.com"), keyP256(t), o2)),
		want{missing: "CN=Other Inter", weakSig: "ECDSA-SHA1 signature on CN=www.example.com"})

	// Two roots of one name and key, as a renewed root has.
	renewed := sign(t, caTemplate("Root", until(noon.AddDate(9, 0, 0))), r.key, nil)
	add("several roots of one authority", L(r, renewed, other), L(good, i), want{paths: direct + " | " + direct, end: good.cert.NotAfter})
	add("not yet valid", L(r), L(leaf(t, "www.example.com", i, from(tomorrow)), i), want{paths: direct})

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a := analyser(t, trusting(t, row.trust...))
			if row.known != nil {
				look(t, a, "elsewhere.example.com", row.known...)
			}
			got, certs := look(t, a, row.host, row.serve...)
			w := row.want
			if p := pathNames(got.Paths, certs); p != w.paths {
				t.Errorf("paths: %s\n want: %s", p, w.paths)
			}
			if p := pathNames(got.Completed, certs); p != w.completed {
				t.Errorf("completed: %s\n want: %s", p, w.completed)
			}
			if !w.end.IsZero() && !got.Paths[0].NotAfter.Equal(w.end) {
				t.Errorf("the best path ends %v, want %v", got.Paths[0].NotAfter, w.end)
			}
			if w.limitedBy != "" && named(certs)[got.Paths[0].LimitedBy] != w.limitedBy {
				t.Errorf("limited by %s, want %s", named(certs)[got.Paths[0].LimitedBy], w.limitedBy)
			}
			if !strings.Contains(got.PathError, w.pathError) || (got.PathError == "") != (w.pathError == "") {
				t.Errorf("path error %q, want %q", got.PathError, w.pathError)
			}
			wantChain := assure.Chain{
				Certs: prints(row.serve...), NameMatches: true, ServerAuth: true,
				MissingIssuer: w.missing, UntrustedRoot: w.untrusted, WeakKey: w.weakKey, WeakSignature: w.weakSig,
				Paths: got.Paths, Completed: got.Completed, PathError: got.PathError, Unused: nil,
			}
			if w.unused != nil {
				wantChain.Unused = prints(w.unused...)
			}
			if w.change != nil {
				w.change(&wantChain)
			}
			if !reflect.DeepEqual(got, wantChain) {
				t.Errorf("chain\n %+v, want\n %+v", got, wantChain)
			}
			for _, fp := range slices.Concat(got.Certs, got.Unused) {
				if _, ok := named(certs)[fp]; !ok {
					t.Errorf("certificate %s is referred to and not described", fp)
				}
			}
			again, certsAgain := look(t, a, row.host, row.serve...)
			if !reflect.DeepEqual(again, got) || !reflect.DeepEqual(certsAgain, certs) {
				t.Errorf("from the cache comes something else:\n %+v\n %+v", again, got)
			}
			if s := a.Stats(); s.VerdictHits == 0 {
				t.Error("the second look was not answered from the cache")
			}
		})
	}
}

// Each path that is claimed must be one that crypto/x509 takes when it is asked at that time with those certificates.
func TestPathsAgreeWithCryptoX509(t *testing.T) {
	r, other := root(t, "Root"), root(t, "Other Root")
	i := inter(t, "Inter", r)
	x := cross(t, i, other, until(noon.AddDate(0, 0, 30)))
	rx := cross(t, r, other)
	l := leaf(t, "www.example.com", i)
	a := analyser(t, trusting(t, r, other))
	got, _ := look(t, a, "www.example.com", l, i, x, rx)
	if len(got.Paths) != 3 {
		t.Fatalf("%d paths, want 3", len(got.Paths))
	}
	byPrint := map[string]*x509.Certificate{}
	for _, h := range []*holder{r, other, i, x, rx, l} {
		byPrint[fingerprintOf(h.cert.Raw)] = h.cert
	}
	for _, p := range got.Paths {
		for _, at := range []time.Time{p.NotBefore, p.NotAfter} {
			o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at, DNSName: "www.example.com"}
			o.Roots.AddCert(byPrint[p.Certs[len(p.Certs)-1]])
			for _, fp := range p.Certs[1 : len(p.Certs)-1] {
				o.Intermediates.AddCert(byPrint[fp])
			}
			if _, err := l.cert.Verify(o); err != nil {
				t.Errorf("path %v at %v: %v", p.Certs, at, err)
			}
			o.CurrentTime = p.NotAfter.Add(time.Second)
			if _, err := l.cert.Verify(o); err == nil {
				t.Errorf("path %v is taken after its end", p.Certs)
			}
		}
	}
}

func TestHosts(t *testing.T) {
	r := root(t, "Root")
	l := leaf(t, "www.example.com", r, func(c *x509.Certificate) {
		c.DNSNames = []string{"*.example.com", "xn--bcher-kva.example", "www.example.com"}
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 7).To4(), net.ParseIP("2001:db8::7")}
	})
	a := analyser(t, trusting(t, r))
	for host, want := range map[string]bool{
		"www.example.com": true, "a.example.com": true, "a.b.example.com": false, "example.com": false, "xn--bcher-kva.example": true,
		"192.0.2.7": true, "192.0.2.8": false, "2001:db8::7": true, "2001:db8::8": false, "": false,
	} {
		got, certs := look(t, a, host, l)
		if got.NameMatches != want {
			t.Errorf("%q: name matches %t, want %t", host, got.NameMatches, want)
		}
		if want := []string{"*.example.com", "xn--bcher-kva.example", "www.example.com", "192.0.2.7", "2001:db8::7"}; !slices.Equal(certs[0].Names, want) {
			t.Errorf("names %q, want %q", certs[0].Names, want)
		}
	}
}

func TestWhatCannotBeParsed(t *testing.T) {
	r := root(t, "Root")
	i := inter(t, "Inter", r)
	l := leaf(t, "www.example.com", i)
	a := analyser(t, trusting(t, r))

	// A certificate on a curve that crypto/x509 does not know parses up to its key.
	odd := slices.Clone(l.cert.Raw)
	curve := []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	at := bytes.Index(odd, curve)
	odd[at+9] = 0x7f
	chain, certs := a.Analyse(context.Background(), "www.example.com", loopback, [][]byte{odd, i.cert.Raw}, 2, nil)
	want := assure.Chain{Certs: []string{fingerprintOf(odd), fingerprintOf(i.cert.Raw)}, Extra: 2, Unparsed: chain.Unparsed}
	if !reflect.DeepEqual(chain, want) || !strings.Contains(chain.Unparsed, "curve") {
		t.Errorf("chain %+v", chain)
	}
	if c := certs[0]; c.Subject != "CN=www.example.com" || c.Issuer != "CN=Inter" || !c.NotAfter.Equal(l.cert.NotAfter) || c.Serial != l.cert.SerialNumber.Text(16) {
		t.Errorf("what could be learnt: %+v", c)
	}
	if certs[1].Subject != "CN=Inter" || certs[1].Key != "ECDSA P-256" {
		t.Errorf("the intermediate: %+v", certs[1])
	}
	if again, c2 := a.Analyse(context.Background(), "www.example.com", loopback, [][]byte{odd, i.cert.Raw}, 2, nil); !reflect.DeepEqual(again, chain) || !reflect.DeepEqual(c2, certs) {
		t.Error("from the cache comes something else")
	}

	garbage := []byte("no certificate at all")
	chain, certs = a.Analyse(context.Background(), "www.example.com", loopback, [][]byte{garbage}, 0, nil)
	if chain.Unparsed == "" || len(certs) != 1 || certs[0].Fingerprint != chain.Certs[0] {
		t.Errorf("garbage: %+v %+v", chain, certs)
	}
	chain, _ = a.Analyse(context.Background(), "www.example.com", loopback, nil, 0, nil)
	if chain.Unparsed == "" {
		t.Error("nothing served, and nothing said of it")
	}
	chain, _ = a.Analyse(context.Background(), "www.example.com", loopback, [][]byte{l.cert.Raw, garbage, i.cert.Raw}, 0, nil)
	if len(chain.Paths) != 1 || !slices.Equal(chain.Unused, []string{fingerprintOf(garbage)}) {
		t.Errorf("garbage among the intermediates: %+v", chain)
	}
	chain, _ = a.Analyse(context.Background(), "www.example.com", loopback, [][]byte{l.cert.Raw, garbage}, 0, nil)
	if chain.MissingIssuer != "CN=Inter" || !strings.Contains(chain.PathError, "certificate 2 of the list cannot be read") {
		t.Errorf("garbage in the place of the intermediate: %+v", chain)
	}
}

// Whatever is served, an analysis stays cheap: many certificates of one name and key, all signing each other, are the
// worst case for a path builder.
func TestHostileChainsStayCheap(t *testing.T) {
	r := root(t, "Root")
	one := keyP256(t)
	self := &holder{caTemplate("Maze"), one}
	var maze []*holder
	for n := range 200 {
		key := one
		if n%2 == 0 {
			key = keyP256(t)
		}
		maze = append(maze, sign(t, caTemplate("Maze"), key, self))
	}
	l := leaf(t, "www.example.com", self)
	a := analyser(t, trusting(t, r))
	chain, certs := look(t, a, "www.example.com", append([]*holder{l}, maze...)...)
	if len(chain.Certs) != keptCerts || chain.Extra != 201-keptCerts || len(certs) > keptCerts {
		t.Errorf("kept %d, extra %d", len(chain.Certs), chain.Extra)
	}
	if len(chain.Paths) != 0 || chain.MissingIssuer == "" {
		t.Errorf("chain %+v", chain)
	}

	// Cliques of different keys: every one signs every other.
	keys := make([]*holder, 5)
	for n := range keys {
		keys[n] = root(t, "Clique")
	}
	var pool []*x509.Certificate
	for _, issuer := range keys {
		for _, subject := range keys {
			pool = append(pool, cross(t, subject, issuer).cert)
		}
	}
	b := newPathBuilder(trusting(t, r), pool, nil)
	b.build(leaf(t, "www.example.com", keys[0]).cert)
	if len(b.verified) > maxSignatureChecks || b.steps > maxPathSteps {
		t.Errorf("%d checks, %d steps", len(b.verified), b.steps)
	}
	trusted := newPathBuilder(trusting(t, keys...), pool, nil)
	trusted.build(leaf(t, "www.example.com", keys[0]).cert)
	if len(trusted.routes) > maxPaths || len(trusted.routes) == 0 {
		t.Errorf("%d paths", len(trusted.routes))
	}
}

func TestPublicTrust(t *testing.T) {
	m := MozillaTrust()
	if m.Len() < 100 || m.skipped != 0 {
		t.Fatalf("%s", m)
	}
	// A root that is served alone is its own path, so that public trust can be seen without a public leaf.
	public := m.anchors[0].cert
	own := root(t, "Own Root")
	for _, tc := range []struct {
		name  string
		trust *TrustStore
		cert  *x509.Certificate
		want  bool
	}{
		{"Mozilla's root, Mozilla's store", m, public, true},
		{"Mozilla's root in a store of one's own", trusting(t, &holder{cert: public}), public, true},
		{"one's own root", trusting(t, own), own.cert, false},
	} {
		a := analyser(t, tc.trust, func(o *AnalyserOptions) { o.NoLint = true })
		chain, _ := a.Analyse(context.Background(), "example.com", netip.Addr{}, [][]byte{tc.cert.Raw}, 0, nil)
		if chain.PublicTrust != tc.want || len(chain.Paths) == 0 {
			t.Errorf("%s: public trust %t, %d paths", tc.name, chain.PublicTrust, len(chain.Paths))
		}
	}
}

// A limit that the list's keeper set on a root counts.
func TestConstraintOfARoot(t *testing.T) {
	r := root(t, "Limited Root")
	s := newTrustStore("limited")
	s.add(r.cert, func(chain []*x509.Certificate) error {
		if chain[0].NotBefore.After(noon.AddDate(0, 0, -5)) {
			return errOutOfDate
		}
		return nil
	})
	s.seal()
	if free := trusting(t, r); free.Version() == s.Version() {
		t.Error("a limit does not change the version")
	}
	a := analyser(t, s)
	before, _ := look(t, a, "www.example.com", leaf(t, "www.example.com", r))
	after, _ := look(t, a, "www.example.com", leaf(t, "www.example.com", r, from(noon)))
	if len(before.Paths) != 1 || len(after.Paths) != 0 || after.PathError == "" {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
}
