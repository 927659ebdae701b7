package dnscheck

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/zones"
)

const account = "https://ca.test/acct/7"

func ours(name string) assure.CAAQuestion {
	return assure.CAAQuestion{Name: name, Issuers: []string{"ca.test", "ca.example"}, Account: account, Method: "dns-01"}
}

func records(t testing.TB, lines ...string) []*dns.CAA {
	t.Helper()
	var out []*dns.CAA
	for _, line := range lines {
		rr, err := dns.NewRR("x.test. CAA " + line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, rr.(*dns.CAA))
	}
	return out
}

func TestCAARules(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		records  []string
		wildcard bool
		says     string // why not; empty when it may
	}{
		"our name allows":                                {[]string{`0 issue "ca.test"`}, false, ""},
		"our other name allows, in any case":             {[]string{`0 Issue "CA.Example"`}, false, ""},
		"one of several that names us allows":            {[]string{`0 issue "other.test"`, `0 issue " ca.test "`}, false, ""},
		"another's name forbids":                         {[]string{`0 issue "other.test"`}, false, "lets other.test issue, not ca.test or ca.example"},
		"a name that ours ends with forbids":             {[]string{`0 issue "test"`}, false, "lets test issue"},
		"an empty issuer lets nobody":                    {[]string{`0 issue ";"`}, false, "lets nobody issue"},
		"no value at all lets nobody":                    {[]string{`0 issue ""`}, false, "lets nobody issue"},
		"an empty issuer beside ours allows":             {[]string{`0 issue ";"`, `0 issue "ca.test"`}, false, ""},
		"iodef alone restricts nothing":                  {[]string{`0 iodef "mailto:a@b.test"`}, false, ""},
		"issuewild does not bind ordinary names":         {[]string{`0 issuewild ";"`}, false, ""},
		"issuewild binds wildcards":                      {[]string{`0 issue "ca.test"`, `0 issuewild ";"`}, true, "lets nobody issue (issuewild)"},
		"issuewild allows wildcards despite issue":       {[]string{`0 issue ";"`, `0 issuewild "ca.test"`}, true, ""},
		"issue binds wildcards without issuewild":        {[]string{`0 issue "other.test"`}, true, "lets other.test issue"},
		"an unknown tag is passed over":                  {[]string{`0 future "x"`, `0 issue "ca.test"`}, false, ""},
		"an unknown critical tag forbids":                {[]string{`128 future "x"`, `0 issue "ca.test"`}, false, `critical property "future"`},
		"a known critical tag is no matter":              {[]string{`128 issue "ca.test"`}, false, ""},
		"another reserved flag is no matter":             {[]string{`1 future "x"`, `0 issue "ca.test"`}, false, ""},
		"our account allows":                             {[]string{`0 issue "ca.test; accounturi=` + account + `"`}, false, ""},
		"another account forbids":                        {[]string{`0 issue "ca.test;accounturi=https://ca.test/acct/8"`}, false, "for the account https://ca.test/acct/8 only, which is not ours, " + account},
		"two accounts are met by none":                   {[]string{`0 issue "ca.test; accounturi=` + account + `; accounturi=` + account + `"`}, false, "more than one account"},
		"our account in a record of its own allows":      {[]string{`0 issue "ca.test; accounturi=https://ca.test/acct/8"`, `0 issue "ca.test; accounturi = ` + account + `"`}, false, ""},
		"our method allows":                              {[]string{`0 issue "ca.test; validationmethods=http-01,dns-01"`}, false, ""},
		"another method forbids":                         {[]string{`0 issue "ca.test; validationmethods=http-01"`}, false, "by http-01 only, not by dns-01"},
		"an empty list of methods forbids":               {[]string{`0 issue "ca.test; validationmethods="`}, false, "only, not by dns-01"},
		"account and method must both fit":               {[]string{`0 issue "ca.test; accounturi=` + account + `; validationmethods=tls-alpn-01"`}, false, "by tls-alpn-01 only"},
		"an unknown parameter is passed over":            {[]string{`0 issue "ca.test; policy=ev"`}, false, ""},
		"a value that is no domain lets nobody":          {[]string{`0 issue "ca test"`}, false, "is no domain name"},
		"parameters without a value let nobody":          {[]string{`0 issue "ca.test; policy"`}, false, "is no parameter"},
		"a final semicolon after parameters lets nobody": {[]string{`0 issue "ca.test; policy=ev;"`}, false, "is no parameter"},
		"a space inside a value lets nobody":             {[]string{`0 issue "ca.test; policy=e v"`}, false, "may not"},
		"a hyphen at the end of a label lets nobody":     {[]string{`0 issue "ca-.test"`}, false, "is no domain name"},
	} {
		t.Run(sentence, func(t *testing.T) {
			q := ours("x.test")
			q.Wildcard = c.wildcard
			got := judge("x.test.", records(t, c.records...), q)
			if c.says == "" {
				if got != nil {
					t.Errorf("forbidden: %v", got)
				}
				return
			}
			want(t, asError(got), assure.CAAForbids, assure.TroubleForbidden, "CAA of x.test ", c.says)
		})
	}
	q := ours("x.test")
	q.Account = ""
	want(t, asError(judge("x.test.", records(t, `0 issue "ca.test; accounturi=`+account+`"`), q)), assure.CAAForbids, assure.TroubleForbidden, "ours is not registered yet")
	q = ours("x.test")
	q.Issuers = nil
	want(t, asError(judge("x.test.", records(t, `0 issue "ca.test"`), q)), assure.CAAForbids, assure.TroubleTransient, "cannot be told")
	want(t, asError(judge("x.test.", records(t, `0 issue ";"`), q)), assure.CAAForbids, assure.TroubleForbidden, "nobody")
}

func TestCAAIsLookedUpAsTheAuthorityDoes(t *testing.T) {
	t.Parallel()
	l, c := world(t, impatient)
	must(t, l.AddZone("other.test"))
	must(t, l.AddZone("child.example.test", "ns1.example.test", "ns2.example.test", "ns3.example.test"))
	ask := func(name string) error { return c.CAA(deadline(t), ours(name)) }
	set := func(zone, name string, data ...string) { t.Helper(); must(t, l.Set(zone, name, dns.TypeCAA, data...)) }

	must(t, ask("a.b.example.test")) // there is none anywhere
	set("example.test", "example.test", `0 issue "other.test"`)
	want(t, ask("a.b.example.test"), assure.CAAForbids, assure.TroubleForbidden, "CAA of example.test lets other.test issue")
	want(t, ask("*.child.example.test"), assure.CAAForbids, assure.TroubleForbidden, "CAA of example.test") // over a zone cut
	set("example.test", "b.example.test", `0 issue "ca.test"`)
	must(t, ask("a.b.example.test")) // the first from below counts
	set("child.example.test", "child.example.test", `0 issue "ca.test"`)
	must(t, ask("x.child.example.test"))

	// Aliases are followed at each level, and climbing goes on from the name, not from where its alias leads.
	set("other.test", "target.other.test", `0 issue ";"`)
	must(t, l.Set("example.test", "alias.example.test", dns.TypeCNAME, "target.other.test."))
	want(t, ask("x.alias.example.test"), assure.CAAForbids, assure.TroubleForbidden, "CAA of alias.example.test lets nobody issue", "by the alias target.other.test")
	set("other.test", "other.test", `0 issue "ca.test"`)
	must(t, l.Set("example.test", "bare.example.test", dns.TypeCNAME, "nothing.other.test."))
	want(t, ask("bare.example.test"), assure.CAAForbids, assure.TroubleForbidden, "CAA of example.test lets other.test issue")
	must(t, l.Set("example.test", "loop.example.test", dns.TypeCNAME, "loop.example.test."))
	if ask("loop.example.test") == nil {
		t.Error("a circle of aliases allows")
	}

	// What was added after the first issuance counts at once, even on one server only.
	set("example.test", "b.example.test", `0 issue "ca.test"`, `128 tbs "unknown"`)
	want(t, ask("b.example.test"), assure.CAAForbids, assure.TroubleForbidden, "critical")
	must(t, l.Hold("ns3.example.test"))
	set("example.test", "b.example.test", `0 issue "ca.test"`)
	want(t, ask("b.example.test"), assure.CAAForbids, assure.TroubleForbidden, "critical", "so says ns3.example.test")
	must(t, l.Release("ns3.example.test"))
	must(t, ask("b.example.test"))

	// A failure forbids, but may pass. One server that fails does not, when others answer.
	must(t, l.Fault("ns2.example.test", "", zones.Servfail))
	must(t, ask("b.example.test"))
	must(t, l.Fault("ns1.example.test", "", zones.Servfail))
	must(t, l.Fault("ns3.example.test", "", zones.Silent))
	want(t, ask("b.example.test"), assure.CAAForbids, assure.TroubleTransient, "cannot be looked up", "ns1.example.test", "SERVFAIL", "does not answer")
	if r := assure.TroubleOf(ask("b.example.test"), "").Remedy; !strings.Contains(r, "servers") {
		t.Errorf("the remedy for servers that fail is %q", r)
	}
}

func FuzzCAA(f *testing.F) {
	for _, s := range []string{"ca.test", ";", "", "ca.test; accounturi=https://x/1", " ca.test ;validationmethods=dns-01 ", "ca.test;;", "ca.test; a=b; c=d", "\x00", "ca.test; =", strings.Repeat("a.", 200)} {
		f.Add(s, "issue", uint8(0))
	}
	f.Add("x", "future", uint8(128))
	f.Fuzz(func(t *testing.T, value, tag string, flag uint8) {
		i, err := parseIssuer(value)
		if err != nil && i.domain != "" {
			t.Errorf("%q: %v and %+v", value, err, i)
		}
		if err == nil {
			text := i.domain
			for n, p := range i.params {
				text += fmt.Sprintf("%s %s=%s", map[bool]string{true: ";", false: " ;"}[n == 0], p.tag, p.value)
			}
			if again, err := parseIssuer(text); err != nil || fmt.Sprint(again) != fmt.Sprint(i) {
				t.Errorf("%q: read as %+v, written as %q, read again as %+v (%v)", value, i, text, again, err)
			}
		}
		set := []*dns.CAA{{Flag: flag, Tag: tag, Value: value}}
		t1 := judge("x.test.", set, ours("x.test"))
		if t1 == nil && strings.EqualFold(tag, "issue") && (err != nil || i.domain != "ca.test" && i.domain != "ca.example") {
			t.Errorf("%q allows", value)
		}
		if t1 != nil && len(t1.Detail) > 5*clipAt {
			t.Errorf("the detail is %d bytes long", len(t1.Detail))
		}
	})
}

// FuzzAnswer feeds hostile messages to everything that reads an answer.
func FuzzAnswer(f *testing.F) {
	for _, lines := range [][]string{
		{"x.example.test. 5 IN TXT \"a\" \"b\""},
		{"x.example.test. CNAME y.example.test.", "y.example.test. CNAME x.example.test."},
		{"example.test. NS ns1.example.test.", "ns1.example.test. A 127.0.0.1", "example.test. SOA a. b. 1 2 3 4 5"},
		{"x.example.test. CAA 0 issue \"ca.test\""},
	} {
		m := new(dns.Msg).SetQuestion("x.example.test.", dns.TypeTXT)
		m.Response = true
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer, m.Ns, m.Extra = append(m.Answer, rr), append(m.Ns, rr), append(m.Extra, rr)
		}
		m.SetEdns0(1232, false)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		const name = "x.example.test."
		_, _ = repeats(m, query{name: name, kind: dns.TypeTXT}), extended(m)
		last := lastOf(m, name)
		_, _, _, _ = texts(m, last), aliasOf(m, name), soaOwner(m, name), serialOf(m, "example.test.")
		if hosts := nsHosts(m.Ns, "example.test."); len(hosts) > maxHosts {
			t.Errorf("%d hosts", len(hosts))
		}
		if next := referral(m, "test.", name); next != "" && (!dns.IsSubDomain("test.", next) || !dns.IsSubDomain(next, name)) {
			t.Errorf("referred to %q", next)
		}
		_, _ = addresses(m.Extra, ""), remembers(m)
		if set := caaRecords(m, last); len(set) > 0 {
			_, _ = judge(last, set, ours("x.example.test")), same(set, set)
		}
		_, _ = authority(m, "test.", name), answersFor(m, "example.test.")
	})
}
