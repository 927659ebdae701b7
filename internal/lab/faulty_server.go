package lab

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// addresses: more than one of them, or none that answers.
func (b *builder) addresses() {
	both := []string{"127.0.0.1", "127.0.0.2"}
	pair := func(name string, at func(host string) map[string][]*Leaf, reasons ...assure.Reason) {
		host := b.host()
		s := b.serve(ServiceOptions{Addresses: both, ByAddress: at(host)})
		b.point(host, both...)
		if b.err == nil {
			b.add(name, s.Target(host), reasons...)
		}
	}
	pair("Two addresses serve the same certificate.", func(h string) map[string][]*Leaf {
		l := b.goodLeaf(h)
		return map[string][]*Leaf{both[0]: l, both[1]: l}
	})
	pair("Two addresses serve different certificates.", func(h string) map[string][]*Leaf {
		return map[string][]*Leaf{both[0]: b.goodLeaf(h), both[1]: b.goodLeaf(h)}
	}, assure.ServedDiffers)
	pair("One of two addresses still serves the certificate before, which has expired.", func(h string) map[string][]*Leaf {
		return map[string][]*Leaf{both[0]: b.goodLeaf(h), both[1]: {b.leaf(b.CA.Issuing, LeafOptions{Names: []string{h}, NotBefore: b.day(-95)})}}
	}, assure.Expired, assure.ServedDiffers)

	half := b.host()
	one := b.serve(ServiceOptions{Leaves: b.goodLeaf(half)})
	b.point(half, both...)
	down := b.host()
	dead := b.serve(ServiceOptions{Leaves: b.goodLeaf(down)})
	b.point(down, "127.0.0.1")
	gone := b.host()
	h3 := b.serve(ServiceOptions{Proto: "h3", Leaves: b.goodLeaf(gone)})
	b.point(gone, "127.0.0.1")
	if b.err != nil {
		return
	}
	b.add("One of two addresses refuses the connection.", one.Target(half), assure.Unreachable)
	dead.Pause()
	b.add("The connection is refused.", dead.Target(down), assure.Unreachable)
	h3.Stop()
	b.add("Nothing listens for QUIC.", h3.Target(gone), assure.Unreachable).Slow = true
	if !b.v6 {
		return
	}
	six := b.host()
	s := b.serve(ServiceOptions{Addresses: []string{"::1"}, Leaves: b.goodLeaf(six)})
	b.point(six, "::1")
	dual := b.host()
	d := b.serve(ServiceOptions{Addresses: []string{"127.0.0.1", "::1"}, ByAddress: map[string][]*Leaf{
		"127.0.0.1": b.goodLeaf(dual), "::1": {b.leaf(b.CA.Issuing, LeafOptions{Names: []string{dual}, NotBefore: b.day(-95)})},
	}})
	b.point(dual, "127.0.0.1", "::1")
	literal := b.serve(ServiceOptions{Addresses: []string{"::1"}, Leaves: b.goodLeaf("::1")})
	if b.err != nil {
		return
	}
	b.add("The name has only an IPv6 address.", s.Target(six))
	b.add("The IPv6 address serves an expired certificate, the IPv4 address a good one.", d.Target(dual), assure.Expired, assure.ServedDiffers)
	b.add("The target is an IPv6 address, and the certificate holds it.", literal.Target("::1"))
}

// versions: TLS versions and client certificates.
func (b *builder) versions() {
	for _, v := range []struct {
		name    string
		version uint16
	}{{"1.0", tls.VersionTLS10}, {"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}} {
		o := ServiceOptions{MinTLS: v.version, MaxTLS: v.version}
		b.case1("The server speaks only TLS "+v.name+".", b.goodLeaf, o)
		b.case1("The server speaks only TLS "+v.name+", with an expired certificate.", b.issued(LeafOptions{NotBefore: b.day(-95)}), o, assure.Expired)
		if v.version == tls.VersionTLS10 {
			continue
		}
		o.ClientCert = true
		b.case1("The server wants a client certificate, over TLS "+v.name+".", b.goodLeaf, o)
		b.case1("The server wants a client certificate, over TLS "+v.name+", and its own has expired.", b.issued(LeafOptions{NotBefore: b.day(-95)}), o, assure.Expired)
	}
	b.case1("A web server speaks HTTP over TLS.", b.goodLeaf, ServiceOptions{Proto: "https"})
}

// upgrades: the protocols that begin in clear text, and QUIC.
func (b *builder) upgrades() {
	protos := []string{"smtp", "imap", "pop3", "ftp", "ldap", "postgres", "mysql"}
	for _, p := range protos {
		b.case1(p+": TLS follows, and nothing is wrong.", b.goodLeaf, ServiceOptions{Proto: p})
		b.case1(p+": TLS follows, with an expired certificate.", b.issued(LeafOptions{NotBefore: b.day(-95)}), ServiceOptions{Proto: p}, assure.Expired)
		for _, f := range []struct {
			what  string
			fault UpgradeFault
			slow  bool
		}{
			{"TLS is not offered", UpgradeNotOffered, false},
			{"TLS is refused", UpgradeRefused, false},
			{"the server is too busy", UpgradeBusy, false},
			{"the server's words never end", UpgradeEndless, false},
			{"one of the server's words is far too long", UpgradeOversize, false},
			{"clear text follows where TLS should begin", UpgradeInjected, false},
			{"what answers is garbage", UpgradeGarbage, false},
			{"the server says nothing", UpgradeSilent, true},
			{"the server says one byte at a time", UpgradeSlow, true},
			{"the server hangs up instead of beginning TLS", UpgradeCut, false},
		} {
			if f.fault == UpgradeSlow && (p == "ldap" || p == "postgres" || p == "pop3") {
				continue // too few bytes to run out of time
			}
			if f.fault == UpgradeInjected && p == "mysql" {
				continue // the greeting is the only thing the server says; see the entries of the handshake
			}
			b.case1(p+": "+f.what+".", b.goodLeaf, ServiceOptions{Proto: p, Upgrade: f.fault}, assure.HandshakeFailed).Slow = f.slow
		}
	}
	b.case1("smtp: the certificate behind it is for another name.", b.issued(LeafOptions{Names: []string{"other." + Domain}}), ServiceOptions{Proto: "smtp"}, assure.NameMismatch)
	b.case1("smtp: what listens there speaks TLS from the first byte.", b.goodLeaf, ServiceOptions{}, assure.HandshakeFailed)
	last := len(b.Entries) - 1
	b.Entries[last].Target, b.Entries[last].Slow = "smtp://"+b.Entries[last].Target, true
	b.case1("What listens there is a mail server that waits to be asked for TLS.", nil, ServiceOptions{Script: Banner("220 mail.lab.test ESMTP")}, assure.HandshakeFailed)

	b.case1("h3: nothing is wrong.", b.goodLeaf, ServiceOptions{Proto: "h3"})
	b.case1("h3: the certificate has expired.", b.issued(LeafOptions{NotBefore: b.day(-95)}), ServiceOptions{Proto: "h3"}, assure.Expired)
	b.case1("h3: the certificate is for another name.", b.issued(LeafOptions{Names: []string{"other." + Domain}}), ServiceOptions{Proto: "h3"}, assure.NameMismatch)
	b.case1("h3: what answers is garbage.", nil, ServiceOptions{Proto: "h3", Upgrade: UpgradeGarbage}, assure.HandshakeFailed).Slow = true
	b.case1("h3: nothing answers.", nil, ServiceOptions{Proto: "h3", Upgrade: UpgradeSilent}, assure.Unreachable).Slow = true
}

// hostile: servers that break off, flood, or say what is not TLS.
func (b *builder) hostile() {
	v12, v13 := ServiceOptions{MaxTLS: tls.VersionTLS12}, ServiceOptions{MinTLS: tls.VersionTLS13}
	with := func(o ServiceOptions, t Tamper) ServiceOptions { o.Tamper = t; return o }
	script := func(s Script) ServiceOptions { return ServiceOptions{Script: s} }
	failed := func(name string, o ServiceOptions) *Entry {
		return b.case1(name, b.goodLeaf, o, assure.HandshakeFailed)
	}

	failed("The server says nothing.", script(Silence())).Slow = true
	failed("The server hangs up at once.", script(HangUp()))
	failed("What answers is garbage.", script(Noise()))
	failed("What answers is HTTP in clear text.", script(PlainHTTP()))
	failed("The server answers with the alert handshake_failure.", script(Alert(40)))
	failed("The server answers with the alert unrecognized_name.", script(Alert(112)))
	failed("The server sends empty records without end.", script(Records(EmptyRecord())))
	failed("The server sends ChangeCipherSpec records without end, instead of its hello.", script(Records(ChangeCipherSpecRecord())))
	failed("The server sends warnings without end.", script(Records(WarningRecord())))
	failed("The server asks for a new handshake without end, before the first.", script(Records(HelloRequestRecord())))
	failed("The server sends one byte at a time.", with(ServiceOptions{}, Slowly(b.pace))).Slow = true
	for _, n := range []int{0, 1, 5, 60, 127, 300, 600} {
		failed(fmt.Sprintf("The connection is reset after %d bytes, over TLS 1.2.", n), with(v12, ResetAfter(n)))
	}
	for _, n := range []int{1, 100, 133, 500} {
		failed(fmt.Sprintf("The connection is reset after %d bytes, over TLS 1.3.", n), with(v13, ResetAfter(n)))
	}
	failed("The server breaks off after its hello, over TLS 1.2.", with(v12, CloseAfter(1)))
	failed("The server breaks off after its hello, over TLS 1.3.", with(v13, CloseAfter(1)))
	failed("The server falls silent after its hello.", with(v13, HoldAfter(1))).Slow = true
	expired := b.issued(LeafOptions{NotBefore: b.day(-95)})
	b.case1("The server breaks off after an expired certificate, over TLS 1.2.", expired, with(v12, CloseAfter(2)), assure.Expired, assure.HandshakeFailed)
	b.case1("The server breaks off after an expired certificate, over TLS 1.3.", expired, with(v13, CloseAfter(4)), assure.Expired, assure.HandshakeFailed)
	failed("The server sends ChangeCipherSpec records without end after its hello.", with(v13, RepeatAfter(1, ChangeCipherSpecRecord())))
	v12.Flood, v13.Flood = EndlessRenegotiation(), EndlessTickets()
	b.case1("The server asks for a new handshake without end, after the first.", b.goodLeaf, v12)
	b.case1("The server sends session tickets without end.", b.goodLeaf, v13)

	host := b.host()
	if l := b.good(host); b.err == nil {
		s := b.serve(ServiceOptions{Script: HugeCertificates(l)})
		b.point(host, "127.0.0.1")
		if b.err == nil {
			b.add("The server sends 16 MB of certificates.", s.Target(host), assure.HandshakeFailed)
		}
	}
	b.case1("The chain is 200 certificates long, of which two matter.", func(h string) []*Leaf {
		behind := []*x509.Certificate{b.CA.Issuing.Cert}
		for len(behind) < 199 {
			n := b.leaf(b.CA.Issuing, LeafOptions{Names: []string{fmt.Sprintf("n%d.%s", len(behind), Domain)}})
			if b.err != nil {
				return nil
			}
			behind = append(behind, n.Cert)
		}
		return []*Leaf{b.good(h).Serving(behind...)}
	}, ServiceOptions{})
}

// resolution: the way from a name to an address.
func (b *builder) resolution() {
	host := func(sub string) string { return sub + ".dns." + Domain }
	s := b.serve(ServiceOptions{Leaves: []*Leaf{b.good("*.dns."+Domain, "aliased."+Domain)}})
	if b.err != nil {
		return
	}
	fault := func(name, sub string, kind uint16, f DNSFault, reasons ...assure.Reason) *Entry {
		b.point(host(sub), "127.0.0.1")
		b.try(b.DNS.Fail(host(sub), kind, f))
		return b.add(name, s.Target(host(sub)), reasons...)
	}
	fault("The name does not exist.", "nx", 0, DNSNXDomain, assure.DNSFailed).Verdict = assure.Broken
	fault("The name servers answer SERVFAIL.", "servfail", 0, DNSServfail, assure.DNSFailed)
	fault("The name servers refuse to answer.", "refused", 0, DNSRefused, assure.DNSFailed)
	fault("The name servers do not answer.", "silent", 0, DNSSilent, assure.DNSFailed).Slow = true
	fault("The name servers know nothing of the zone.", "lame", 0, DNSLame, assure.DNSFailed)
	fault("The name is an alias of itself.", "loop", 0, DNSLoop, assure.DNSFailed)
	fault("The name servers answer another question.", "wrong", 0, DNSWrong, assure.DNSFailed).Slow = true
	fault("The name servers answer with garbage.", "garbage", 0, DNSGarbage, assure.DNSFailed).Slow = true
	fault("Answers are cut short over UDP, and whole over TCP.", "truncated", 0, DNSTruncated)
	fault("Answers are cut short over UDP, and TCP hangs up.", "udponly", 0, DNSUDPOnly, assure.DNSFailed)
	fault("Answers come late.", "slow", 0, DNSSlow)
	fault("The IPv6 address cannot be asked for, but there is an IPv4 address.", "aaaa", dns.TypeAAAA, DNSServfail)
	b.try(b.DNS.Add(host("empty")+" TXT \"nothing here\"", host("alias")+" CNAME aliased."+Domain+".", host("dangling")+" CNAME gone."+Domain+"."))
	b.point("aliased."+Domain, "127.0.0.1")
	b.try(b.DNS.Add(host("half") + " TXT \"no A\""))
	b.try(b.DNS.Fail(host("half"), dns.TypeAAAA, DNSServfail))
	b.add("The name has no address.", s.Target(host("empty")), assure.NoAddress)
	b.add("The name is an alias of one that leads to the server.", s.Target(host("alias")))
	b.add("The name is an alias of one that does not exist.", s.Target(host("dangling")), assure.DNSFailed).Verdict = assure.Broken
	b.add("The name has no IPv4 address, and the IPv6 address cannot be asked for.", s.Target(host("half")), assure.DNSFailed)
}
