package lab

import (
	"crypto/x509"

	"github.com/notafter/notafter/internal/assure"
)

// times: the leaf's own dates, and those of the chain behind it.
func (b *builder) times() {
	b.case1("Nothing is wrong.", b.goodLeaf, ServiceOptions{})
	b.case1("Nothing is wrong with a certificate of six days.", b.issued(LeafOptions{NotBefore: b.day(-1), NotAfter: b.day(5)}), ServiceOptions{})
	b.case1("The certificate expired three days ago.", b.issued(LeafOptions{NotBefore: b.day(-93), NotAfter: b.day(-3)}), ServiceOptions{}, assure.Expired)
	b.case1("The certificate expired years ago.", b.issued(LeafOptions{NotBefore: b.day(-1090), NotAfter: b.day(-1000)}), ServiceOptions{}, assure.Expired)
	b.case1("The certificate is valid from tomorrow on.", b.issued(LeafOptions{NotBefore: b.day(1)}), ServiceOptions{}, assure.NotYetValid)
	b.case1("Renewal should have happened a week ago.", b.issued(LeafOptions{NotBefore: b.day(-70)}), ServiceOptions{}, assure.Expiring)
	b.case1("The certificate ends in five days.", b.issued(LeafOptions{NotBefore: b.day(-85)}), ServiceOptions{}, assure.Expiring).Severity = assure.Page
	b.case1("A certificate of six days ends in ten hours.", b.issued(LeafOptions{NotBefore: b.day(-5.6), NotAfter: b.day(0.4)}), ServiceOptions{}, assure.Expiring).Severity = assure.Page

	below := func(name string, until float64, leaf LeafOptions) func(string) []*Leaf {
		return func(host string) []*Leaf {
			a := b.authority(b.CA.Root, AuthorityOptions{Name: name, NotBefore: b.day(-400), NotAfter: b.day(until)})
			if b.err != nil {
				return nil
			}
			leaf.Names = []string{host}
			return []*Leaf{b.leaf(a, leaf)}
		}
	}
	b.case1("The intermediate expired yesterday.", below("Expired Intermediate", -1, LeafOptions{}), ServiceOptions{}, assure.ChainExpired)
	b.case1("The leaf and its intermediate have both expired.", below("Gone Intermediate", -5, LeafOptions{NotBefore: b.day(-93), NotAfter: b.day(-3)}),
		ServiceOptions{}, assure.Expired)
	b.case1("The intermediate ends in twenty days, before the next renewal.", below("Ending Intermediate", 20, LeafOptions{}), ServiceOptions{}, assure.ChainExpiring)
	b.case1("The intermediate ends in three days.", below("Last Days Intermediate", 3, LeafOptions{}), ServiceOptions{}, assure.ChainExpiring).Severity = assure.Page
	b.case1("The intermediate ends a little before the leaf, after the next renewal.", below("Brief Intermediate", 75, LeafOptions{}),
		ServiceOptions{}).Remarks = []assure.Reason{assure.ChainExpiring}

	host := b.host()
	served, newer := b.good(host), b.leaf(b.CA.Issuing, LeafOptions{Names: []string{host}, NotBefore: b.day(-1)})
	s := b.serve(ServiceOptions{Leaves: []*Leaf{served}})
	b.point(host, "127.0.0.1")
	if b.err == nil {
		b.add("A certificate was issued yesterday, but the one before it is still served.", s.Target(host), assure.ServedStale).Issued = newer.Issued()
		b.add("What was issued is what is served.", s.Target(host)).Issued = served.Issued()
	}
}

// trust: who vouches for the leaf.
func (b *builder) trust() {
	b.case1("The certificate is self-signed.", func(host string) []*Leaf {
		return []*Leaf{b.leaf(nil, LeafOptions{Names: []string{host}})}
	}, ServiceOptions{}, assure.SelfSigned)
	b.case1("The certificate is self-signed, expired, and for another name.", func(string) []*Leaf {
		return []*Leaf{b.leaf(nil, LeafOptions{Names: []string{"localhost"}, NotBefore: b.day(-400), NotAfter: b.day(-35)})}
	}, ServiceOptions{}, assure.Expired, assure.NameMismatch, assure.SelfSigned)

	own := b.authority(nil, AuthorityOptions{Name: "Somebody's Own Root", NotBefore: b.day(-400)})
	mid := b.authority(own, AuthorityOptions{Name: "Somebody's Own Intermediate", NotBefore: b.day(-300)})
	if b.err != nil {
		return
	}
	b.case1("The chain ends at a root that is served but not trusted.", func(host string) []*Leaf {
		return []*Leaf{b.leaf(mid, LeafOptions{Names: []string{host}}).Serving(mid.Cert, own.Cert)}
	}, ServiceOptions{}, assure.UntrustedIssuer)
	b.case1("The chain ends below a root that is neither served nor trusted.", func(host string) []*Leaf {
		return []*Leaf{b.leaf(own, LeafOptions{Names: []string{host}, Issuer: []string{}})}
	}, ServiceOptions{}, assure.UntrustedIssuer)

	hidden := b.authority(b.CA.Root, AuthorityOptions{Name: "Hidden Intermediate", NotBefore: b.day(-300)})
	b.case1("The intermediate is not served, but can be fetched.", func(host string) []*Leaf {
		return []*Leaf{b.leaf(hidden, LeafOptions{Names: []string{host}}).Serving()}
	}, ServiceOptions{}, assure.ChainIncomplete)
	lost := b.authority(b.CA.Root, AuthorityOptions{Name: "Lost Intermediate", NotBefore: b.day(-300)})
	b.case1("The intermediate is not served, and nobody says where it is.", func(host string) []*Leaf {
		return []*Leaf{b.leaf(lost, LeafOptions{Names: []string{host}, Issuer: []string{}}).Serving()}
	}, ServiceOptions{}, assure.UntrustedIssuer)
	b.case1("The chain is served in the wrong order, which clients cope with.", func(host string) []*Leaf {
		deep := b.authority(b.CA.Issuing, AuthorityOptions{Name: "Deep Intermediate", NotBefore: b.day(-300)})
		if b.err != nil {
			return nil
		}
		return []*Leaf{b.leaf(deep, LeafOptions{Names: []string{host}}).Serving(b.CA.Issuing.Cert, deep.Cert)}
	}, ServiceOptions{})
	b.case1("The root is served as well, which is useless and harmless.", func(host string) []*Leaf {
		return []*Leaf{b.good(host).Serving(b.CA.Issuing.Cert, b.CA.Root.Cert)}
	}, ServiceOptions{})
	b.case1("The intermediate may only issue for another domain.", func(host string) []*Leaf {
		a := b.authority(b.CA.Root, AuthorityOptions{Name: "Bound Intermediate", NotBefore: b.day(-300), PermittedDNS: []string{"example.com"}})
		return []*Leaf{b.leaf(a, LeafOptions{Names: []string{host}})}
	}, ServiceOptions{}, assure.UntrustedIssuer)
	b.case1("An authority that may have none below it has one below it.", func(host string) []*Leaf {
		none := 0
		a := b.authority(b.CA.Root, AuthorityOptions{Name: "Childless Intermediate", NotBefore: b.day(-300), MaxPathLen: &none})
		if b.err != nil {
			return nil
		}
		c := b.authority(a, AuthorityOptions{Name: "Child Intermediate", NotBefore: b.day(-200)})
		return []*Leaf{b.leaf(c, LeafOptions{Names: []string{host}})}
	}, ServiceOptions{}, assure.UntrustedIssuer)
}

// crossSigned: more than one path, of which some have expired.
func (b *builder) crossSigned(old *Authority) {
	cross := func(by, sub *Authority, until float64) *x509.Certificate {
		if b.err != nil {
			return nil
		}
		c, err := by.CrossSign(sub, AuthorityOptions{NotBefore: b.day(-900), NotAfter: b.day(until)})
		b.try(err)
		return c
	}
	b.case1("The cross-signed path has expired, but another one has not.", func(host string) []*Leaf {
		c := cross(old, b.CA.Issuing, -20)
		if b.err != nil {
			return nil
		}
		return []*Leaf{b.good(host).Serving(c, b.CA.Issuing.Cert)}
	}, ServiceOptions{})
	b.case1("The root is cross-signed by an older one, and that certificate has expired.", func(host string) []*Leaf {
		c := cross(old, b.CA.Root, -20)
		if b.err != nil {
			return nil
		}
		return []*Leaf{b.good(host).Serving(b.CA.Issuing.Cert, c)}
	}, ServiceOptions{})
	b.case1("The only path that is served is a cross-signed one that has expired.", func(host string) []*Leaf {
		far := b.authority(nil, AuthorityOptions{Name: "Distant Root", NotBefore: b.day(-900)})
		if b.err != nil {
			return nil
		}
		c := cross(old, far, -5)
		l := b.leaf(far, LeafOptions{Names: []string{host}})
		if b.err != nil {
			return nil
		}
		return []*Leaf{l.Serving(c)}
	}, ServiceOptions{}, assure.ChainExpired)
}

// weakness: keys, signatures, purposes and lifetimes.
func (b *builder) weakness() {
	b.case1("The key is RSA with 1024 bits.", b.issued(LeafOptions{Key: RSA1024}), ServiceOptions{}, assure.WeakKey)
	b.case1("The key is RSA with 2048 bits.", b.issued(LeafOptions{Key: RSA2048}), ServiceOptions{})
	b.case1("The key is ECDSA P-384.", b.issued(LeafOptions{Key: P384}), ServiceOptions{})
	b.case1("The key is Ed25519.", b.issued(LeafOptions{Key: Ed25519}), ServiceOptions{})
	b.case1("The certificate is signed with ECDSA and SHA-1.", b.issued(LeafOptions{Signature: x509.ECDSAWithSHA1}), ServiceOptions{}, assure.WeakSignature)
	rsa := b.authority(b.CA.Root, AuthorityOptions{Name: "RSA Intermediate", Key: RSA2048, NotBefore: b.day(-300)})
	b.case1("The certificate is signed with RSA and SHA-1.", func(host string) []*Leaf {
		return []*Leaf{b.leaf(rsa, LeafOptions{Names: []string{host}, Signature: x509.SHA1WithRSA})}
	}, ServiceOptions{}, assure.WeakSignature)
	b.case1("The intermediate is signed with SHA-1.", func(host string) []*Leaf {
		a := b.authority(b.CA.Root, AuthorityOptions{Name: "SHA-1 Intermediate", NotBefore: b.day(-300), Signature: x509.ECDSAWithSHA1})
		return []*Leaf{b.leaf(a, LeafOptions{Names: []string{host}})}
	}, ServiceOptions{}, assure.WeakSignature)
	b.case1("The intermediate's key is RSA with 1024 bits.", func(host string) []*Leaf {
		a := b.authority(b.CA.Root, AuthorityOptions{Name: "Small Intermediate", Key: RSA1024, NotBefore: b.day(-300)})
		return []*Leaf{b.leaf(a, LeafOptions{Names: []string{host}})}
	}, ServiceOptions{}, assure.WeakKey)
	b.case1("The certificate is for clients only.", b.issued(LeafOptions{Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), ServiceOptions{}, assure.WrongPurpose)
	b.case1("The certificate names no purpose, which allows all.", b.issued(LeafOptions{Usage: []x509.ExtKeyUsage{}}), ServiceOptions{})
	b.case1("The certificate is for servers and clients.", b.issued(LeafOptions{Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}), ServiceOptions{})
	b.case1("A publicly trusted certificate lives 400 days.", b.issued(LeafOptions{NotBefore: b.day(-30), NotAfter: b.day(370)}), ServiceOptions{}, assure.LifetimeTooLong).Public = true
	b.case1("A private certificate lives 400 days, as it may.", b.issued(LeafOptions{NotBefore: b.day(-30), NotAfter: b.day(370)}), ServiceOptions{})
	b.case1("The key is ECDSA, and an RSA certificate is served as well.", func(host string) []*Leaf {
		return []*Leaf{b.good(host), b.leaf(b.CA.Issuing, LeafOptions{Names: []string{host}, Key: RSA2048})}
	}, ServiceOptions{})
	b.case1("Of an ECDSA and an RSA certificate, the RSA one has expired.", func(host string) []*Leaf {
		return []*Leaf{b.good(host), b.leaf(b.CA.Issuing, LeafOptions{Names: []string{host}, Key: RSA2048, NotBefore: b.day(-95)})}
	}, ServiceOptions{}, assure.Expired)
	b.case1("Of an ECDSA and an RSA certificate, the ECDSA one has expired.", func(host string) []*Leaf {
		return []*Leaf{b.leaf(b.CA.Issuing, LeafOptions{Names: []string{host}, NotBefore: b.day(-95)}), b.leaf(b.CA.Issuing, LeafOptions{Names: []string{host}, Key: RSA2048})}
	}, ServiceOptions{}, assure.Expired)
}

// names: what the certificate is for.
func (b *builder) names() {
	b.case1("The certificate is for another name.", b.issued(LeafOptions{Names: []string{"other." + Domain}}), ServiceOptions{}, assure.NameMismatch)
	b.case1("The name stands only in the common name.", func(host string) []*Leaf {
		return []*Leaf{b.leaf(b.CA.Issuing, LeafOptions{Names: []string{}, CommonName: host})}
	}, ServiceOptions{}, assure.NameMismatch)
	b.case1("A wildcard covers the name.", b.issued(LeafOptions{Names: []string{"*." + Domain}}), ServiceOptions{})

	ip := b.serve(ServiceOptions{Leaves: []*Leaf{b.good("127.0.0.1", "::1")}})
	plain := b.serve(ServiceOptions{Leaves: []*Leaf{b.good("127.0.0.1." + Domain)}})
	wild := b.serve(ServiceOptions{Leaves: []*Leaf{b.good("*.wild." + Domain)}})
	idn := b.serve(ServiceOptions{Leaves: []*Leaf{b.good("bücher." + Domain)}})
	sni := b.serve(ServiceOptions{Leaves: []*Leaf{b.good("default." + Domain)}, BySNI: map[string][]*Leaf{
		"one." + Domain: {b.good("one." + Domain)},
		"two." + Domain: {b.leaf(b.CA.Issuing, LeafOptions{Names: []string{"two." + Domain}, NotBefore: b.day(-95)})},
	}})
	for _, h := range []string{"a.wild.", "a.b.wild.", "wild.", "bücher.", "one.", "two.", "three.", "default."} {
		b.point(h+Domain, "127.0.0.1")
	}
	if b.err != nil {
		return
	}
	b.add("The target is an IP address, and the certificate holds it.", ip.Target("127.0.0.1"))
	b.add("The target is an IP address, and the certificate holds only a name.", plain.Target("127.0.0.1"), assure.NameMismatch)
	b.add("A wildcard of a subdomain covers the name.", wild.Target("a.wild."+Domain))
	b.add("A wildcard does not cover two labels.", wild.Target("a.b.wild."+Domain), assure.NameMismatch)
	b.add("A wildcard does not cover the domain itself.", wild.Target("wild."+Domain), assure.NameMismatch)
	b.add("The name is internationalised.", idn.Target("bücher."+Domain))
	b.add("The name is internationalised, and written in its ASCII form.", idn.Target("xn--bcher-kva."+Domain))
	b.add("Of several names on one address, one has a certificate.", sni.Target("one."+Domain))
	b.add("Of several names on one address, one has an expired certificate.", sni.Target("two."+Domain), assure.Expired)
	b.add("Of several names on one address, one gets the default certificate.", sni.Target("three."+Domain), assure.NameMismatch)
	b.add("The default certificate is the right one.", sni.Target("default."+Domain))
	b.add("The address is pinned, and the name leads nowhere.", ip.Target("127.0.0.1")+"@127.0.0.1")
	b.add("The address is pinned, and the server name has no record.", sni.Target("unlisted."+Domain)+"@127.0.0.1", assure.NameMismatch)
}

// revocation: lists, responders and staples.
func (b *builder) revocation() {
	a := b.CA.Issuing
	leaf := func(o LeafOptions, revoke bool) func(string) []*Leaf {
		return func(host string) []*Leaf {
			o.Names = []string{host}
			l := b.leaf(a, o)
			if b.err == nil && revoke {
				a.Revoke(l.Cert, 1)
			}
			return []*Leaf{l}
		}
	}
	list := func(p Publication) LeafOptions { return LeafOptions{CRL: []string{a.CRLURL(p)}} }
	asked := func(p Publication) LeafOptions { return LeafOptions{CRL: []string{}, OCSP: []string{a.OCSPURL(p)}} }
	b.case1("The revocation list says that the key was compromised.", leaf(LeafOptions{}, true), ServiceOptions{}, assure.Revoked)
	b.case1("The OCSP responder says revoked.", leaf(asked(Sound), true), ServiceOptions{}, assure.Revoked)
	b.case1("The OCSP responder says good.", leaf(asked(Sound), false), ServiceOptions{})
	b.case1("A delegated OCSP responder says good.", leaf(asked(Delegated), false), ServiceOptions{})
	b.case1("A delegated OCSP responder says revoked.", leaf(asked(Delegated), true), ServiceOptions{}, assure.Revoked)
	b.case1("The certificate names no place to ask about revocation.", leaf(LeafOptions{CRL: []string{}}, false), ServiceOptions{})
	for _, c := range []struct {
		name string
		o    LeafOptions
	}{
		{"The revocation list is a day over its time.", list(Stale)},
		{"The revocation list is garbage.", list(Garbage)},
		{"The revocation list is signed by a key that is not the authority's.", list(WrongSigner)},
		{"The revocation list is not there.", list(Missing)},
		{"The revocation list never ends.", list(Huge)},
		{"The OCSP responder asks to be asked later.", asked(TryLater)},
		{"The OCSP answer is a day over its time.", asked(Stale)},
		{"The OCSP answer is garbage.", asked(Garbage)},
		{"The OCSP answer is signed by a key that is not the authority's.", asked(WrongSigner)},
		{"The OCSP responder does not know the certificate.", asked(NotKnown)},
		{"The OCSP responder is not there.", asked(Missing)},
	} {
		b.case1(c.name, leaf(c.o, false), ServiceOptions{}, assure.RevocationUnclear)
	}
	b.case1("The server of the revocation list never answers.", leaf(list(Hanging), false), ServiceOptions{}, assure.RevocationUnclear).Slow = true
	b.case1("The revocation list is good, and the OCSP responder is broken.", leaf(LeafOptions{OCSP: []string{a.OCSPURL(TryLater)}}, false), ServiceOptions{})
	b.case1("The revocation list is not there, and the OCSP responder says good.",
		leaf(LeafOptions{CRL: []string{a.CRLURL(Missing)}, OCSP: []string{a.OCSPURL(Sound)}}, false), ServiceOptions{})
	staple := func(p Publication, revoke bool) func(string) []*Leaf {
		return func(host string) []*Leaf {
			l := leaf(asked(Missing), revoke)(host)[0]
			if b.err != nil {
				return nil
			}
			der, err := a.Answer(l.Cert, p)
			b.try(err)
			return []*Leaf{l.Stapled(der)}
		}
	}
	b.case1("The stapled answer says good, and nothing else does.", staple(Sound, false), ServiceOptions{})
	b.case1("The stapled answer says revoked.", staple(Sound, true), ServiceOptions{}, assure.Revoked)
	b.case1("The stapled answer is over its time, and nothing else answers.", staple(Stale, false), ServiceOptions{}, assure.RevocationUnclear)
	b.case1("The stapled answer is garbage, and nothing else answers.", staple(Garbage, false), ServiceOptions{}, assure.RevocationUnclear)
}
