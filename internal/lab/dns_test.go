package lab_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/lab"
)

func startDNS(t *testing.T) *lab.DNS {
	t.Helper()
	d, err := lab.StartDNS(lab.DNSOptions{Slow: 150 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	if err := d.AddZone("lab.test"); err != nil {
		t.Fatal(err)
	}
	if err := d.Add("www.lab.test A 127.0.0.1", "www.lab.test. AAAA ::1", "alias.lab.test CNAME www.lab.test.", "dangling.lab.test CNAME nowhere.lab.test.",
		"away.lab.test CNAME www.example.com.", "*.wild.lab.test A 127.0.0.2", "lab.test CAA 0 issue \"ca.test\"", "text.lab.test TXT \"hello\"",
		"deep.empty.lab.test A 127.0.0.3", "bücher.lab.test A 127.0.0.4", "lab.test NS ns.lab.test."); err != nil {
		t.Fatal(err)
	}
	return d
}

func query(d *lab.DNS, network, name string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	c := dns.Client{Net: network, Timeout: 300 * time.Millisecond}
	in, _, err := c.Exchange(m, d.Addr())
	return in, err
}

func TestDNSAnswers(t *testing.T) {
	t.Parallel()
	d := startDNS(t)
	for _, c := range []struct {
		name    string
		kind    uint16
		rcode   int
		answers int
		soa     bool
	}{
		{"www.lab.test", dns.TypeA, dns.RcodeSuccess, 1, false},
		{"WWW.Lab.Test", dns.TypeAAAA, dns.RcodeSuccess, 1, false},
		{"www.lab.test", dns.TypeTXT, dns.RcodeSuccess, 0, true},
		{"alias.lab.test", dns.TypeA, dns.RcodeSuccess, 2, false},
		{"dangling.lab.test", dns.TypeA, dns.RcodeNameError, 1, true},
		{"away.lab.test", dns.TypeA, dns.RcodeSuccess, 1, false},
		{"any.wild.lab.test", dns.TypeA, dns.RcodeSuccess, 1, false},
		{"lab.test", dns.TypeCAA, dns.RcodeSuccess, 1, false},
		{"lab.test", dns.TypeSOA, dns.RcodeSuccess, 1, false},
		{"lab.test", dns.TypeNS, dns.RcodeSuccess, 1, false},
		{"text.lab.test", dns.TypeTXT, dns.RcodeSuccess, 1, false},
		{"empty.lab.test", dns.TypeA, dns.RcodeSuccess, 0, true},
		{"xn--bcher-kva.lab.test", dns.TypeA, dns.RcodeSuccess, 1, false},
		{"nothing.lab.test", dns.TypeA, dns.RcodeNameError, 0, true},
		{"www.example.com", dns.TypeA, dns.RcodeRefused, 0, false},
	} {
		for _, network := range []string{"udp", "tcp"} {
			in, err := query(d, network, c.name, c.kind)
			if err != nil {
				t.Errorf("%s over %s: %v", c.name, network, err)
				continue
			}
			soa := len(in.Ns) == 1 && in.Ns[0].Header().Rrtype == dns.TypeSOA
			if in.Rcode != c.rcode || len(in.Answer) != c.answers || soa != c.soa || in.Authoritative != (c.rcode != dns.RcodeRefused) {
				t.Errorf("%s %s over %s: %v", c.name, dns.TypeToString[c.kind], network, in)
			}
		}
	}
	if n := d.Queries("text.lab.test", 0); n != 2 {
		t.Errorf("%d questions were counted, and 2 asked", n)
	}
}

func TestDNSChangesAtRunTime(t *testing.T) {
	t.Parallel()
	d := startDNS(t)
	if err := d.SetAddresses("www.lab.test", "127.0.0.9"); err != nil {
		t.Fatal(err)
	}
	in, err := query(d, "udp", "www.lab.test", dns.TypeA)
	if err != nil || len(in.Answer) != 1 || !in.Answer[0].(*dns.A).A.Equal(net.IPv4(127, 0, 0, 9)) {
		t.Errorf("%v, %v", in, err)
	}
	if in, err := query(d, "udp", "www.lab.test", dns.TypeAAAA); err != nil || len(in.Answer) != 0 {
		t.Errorf("the IPv6 address is still there: %v, %v", in, err)
	}
	if err := d.Add("no type"); err == nil {
		t.Error("a record without data was taken")
	}
	if err := d.SetAddresses("www.lab.test", "localhost"); err == nil {
		t.Error("a name was taken for an address")
	}
}

func TestDNSFaults(t *testing.T) {
	t.Parallel()
	d := startDNS(t)
	for _, c := range []struct {
		fault lab.DNSFault
		check func(in *dns.Msg, err error) bool
	}{
		{lab.DNSNXDomain, func(in *dns.Msg, err error) bool { return err == nil && in.Rcode == dns.RcodeNameError }},
		{lab.DNSServfail, func(in *dns.Msg, err error) bool { return err == nil && in.Rcode == dns.RcodeServerFailure }},
		{lab.DNSRefused, func(in *dns.Msg, err error) bool { return err == nil && in.Rcode == dns.RcodeRefused }},
		{lab.DNSSilent, func(_ *dns.Msg, err error) bool {
			var timeout net.Error
			return errors.As(err, &timeout) && timeout.Timeout()
		}},
		{lab.DNSLame, func(in *dns.Msg, err error) bool { return err == nil && !in.Authoritative && len(in.Answer) == 0 }},
		{lab.DNSTruncated, func(in *dns.Msg, err error) bool { return err == nil && in.Truncated && len(in.Answer) == 0 }},
		{lab.DNSLoop, func(in *dns.Msg, err error) bool { return err == nil && len(in.Answer) == 2 }},
		{lab.DNSWrong, func(in *dns.Msg, err error) bool { return err == nil && in.Question[0].Name != "www.lab.test." }},
		{lab.DNSGarbage, func(_ *dns.Msg, err error) bool { return err != nil }},
		{lab.DNSSlow, func(in *dns.Msg, err error) bool { return err == nil && len(in.Answer) == 1 }},
		{lab.DNSNone, func(in *dns.Msg, err error) bool { return err == nil && len(in.Answer) == 1 }},
	} {
		if err := d.Fail("www.lab.test", 0, c.fault); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if in, err := query(d, "udp", "www.lab.test", dns.TypeA); !c.check(in, err) {
			t.Errorf("%q: %v, %v", c.fault, in, err)
		}
		if c.fault == lab.DNSSlow && time.Since(begun) < 150*time.Millisecond {
			t.Error("the slow answer was quick")
		}
	}
	_ = d.Fail("www.lab.test", 0, lab.DNSTruncated)
	if in, err := query(d, "tcp", "www.lab.test", dns.TypeA); err != nil || len(in.Answer) != 1 {
		t.Errorf("truncated, over TCP: %v, %v", in, err)
	}
	_ = d.Fail("www.lab.test", 0, lab.DNSUDPOnly)
	if _, err := query(d, "tcp", "www.lab.test", dns.TypeA); err == nil {
		t.Error("TCP answers where it should hang up")
	}
	_ = d.Fail("www.lab.test", 0, lab.DNSNone)
	_ = d.Fail("www.lab.test", dns.TypeAAAA, lab.DNSServfail)
	if in, err := query(d, "udp", "www.lab.test", dns.TypeA); err != nil || in.Rcode != dns.RcodeSuccess {
		t.Errorf("a fault of AAAA spoils A: %v, %v", in, err)
	}
}

// What is in none of its zones is asked of whoever knows it, over the same transport; the zones stay its own.
func TestDNSForwards(t *testing.T) {
	t.Parallel()
	d, other := startDNS(t), startDNS(t)
	if err := other.AddZone("example.com"); err != nil {
		t.Fatal(err)
	}
	if err := other.Add("www.example.com A 127.0.0.9", "www.lab.test A 127.0.0.8"); err != nil {
		t.Fatal(err)
	}
	if err := d.Forward("nowhere"); err == nil {
		t.Error("it forwards to what is no address")
	}
	if err := d.Forward(other.Addr()); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		in, err := query(d, network, "www.example.com", dns.TypeA)
		if err != nil || in.Rcode != dns.RcodeSuccess || len(in.Answer) != 1 {
			t.Errorf("over %s: %v, %v", network, in, err)
		}
		in, err = query(d, network, "www.lab.test", dns.TypeA)
		if err != nil || len(in.Answer) != 1 {
			t.Errorf("its own name over %s: %v, %v", network, in, err)
		}
	}
	other.Stop()
	if in, err := query(d, "tcp", "www.example.com", dns.TypeA); err != nil || in.Rcode != dns.RcodeServerFailure {
		t.Errorf("from nobody: %v, %v", in, err)
	}
}
