package assure_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/notafter/notafter/internal/assure"
)

// The day on which these tests happen.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func leafCert(fp string, from, to time.Duration) Cert {
	return Cert{Fingerprint: fp, Subject: "CN=www.example.com", Issuer: "CN=Inter", Names: []string{"www.example.com"}, NotBefore: now.Add(from), NotAfter: now.Add(to), Key: "ECDSA P-256", Signature: "ECDSA-SHA256"}
}

// healthy is a look at one address that serves a leaf of 90 days, 30 days old, under an intermediate that outlives it.
func healthy() Served {
	leaf := leafCert("leaf", -30*day, 60*day)
	inter := Cert{Fingerprint: "inter", Subject: "CN=Inter", NotBefore: now.Add(-400 * day), NotAfter: now.Add(900 * day)}
	return Served{
		Certs: []Cert{leaf, inter, {Fingerprint: "root", Subject: "CN=Root"}},
		Chains: []Chain{{
			Certs: []string{"leaf", "inter"}, NameMatches: true, ServerAuth: true,
			Paths: []Path{{Certs: []string{"leaf", "inter", "root"}, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, LimitedBy: "leaf"}},
		}},
		Sightings: []Sighting{{Address: "192.0.2.1:443", Chain: 0, TLS: "1.3"}},
	}
}

func withLeaf(l Cert) Served {
	s := healthy()
	s.Certs[0] = l
	s.Chains[0].Certs[0] = l.Fingerprint
	s.Chains[0].Paths[0].Certs[0] = l.Fingerprint
	s.Chains[0].Paths[0].NotBefore, s.Chains[0].Paths[0].NotAfter, s.Chains[0].Paths[0].LimitedBy = l.NotBefore, l.NotAfter, l.Fingerprint
	return s
}

func two(second func(*Served)) Served {
	s := healthy()
	s.Sightings = append(s.Sightings, Sighting{Address: "192.0.2.2:443", Chain: 0, TLS: "1.3"})
	second(&s)
	return s
}

func claim() Claim {
	return Claim{
		ID: NewClaimID(Serving, "www", "www.example.com"), Link: Serving, Certificate: "www", Subject: "www.example.com",
		Route: "sre", Declared: now.Add(-100 * day), Every: 15 * time.Minute,
	}
}

func seen(f Fact) *Evidence {
	return &Evidence{Fact: f, Observer: "probe@test", FirstSeen: now.Add(-day), LastSeen: now, Count: 96}
}

func TestServing(t *testing.T) {
	type want struct {
		verdict  Verdict
		findings string // "reason/stage", joined by spaces
	}
	cases := map[string]struct {
		fact   Served
		change func(*Case, *Setting)
		want   want
	}{
		"a young certificate with a good chain is upheld, without a word": {healthy(), nil, want{Upheld, ""}},
		"at two thirds of its life a certificate is due, not late":        {withLeaf(leafCert("l", -60*day, 30*day)), nil, want{Upheld, ""}},
		"past two thirds and three hundredths it is late, a ticket":       {withLeaf(leafCert("l", -63*day, 27*day)), nil, want{Broken, "expiring/ticket"}},
		"with a tenth of its life left it pages":                          {withLeaf(leafCert("l", -81*day-time.Hour, 9*day-time.Hour)), nil, want{Broken, "expiring/page"}},
		"a six-day certificate is judged by the same shares":              {withLeaf(leafCert("l", -100*time.Hour, 60*time.Hour)), nil, want{Upheld, ""}},
		"a six-day certificate late by a few hours is a ticket":           {withLeaf(leafCert("l", -115*time.Hour, 45*time.Hour)), nil, want{Broken, "expiring/ticket"}},
		"a six-day certificate pages when a tenth is left":                {withLeaf(leafCert("l", -145*time.Hour, 15*time.Hour)), nil, want{Broken, "expiring/page"}},
		"a team that needs three days is paged three days before": {
			withLeaf(leafCert("l", -18*day, 2*day)),
			func(c *Case, _ *Setting) { c.Claim.TimeToRepair = 3 * day },
			want{Broken, "expiring/page"},
		},
		"a certificate shorter than the time to repair does not page while young": {withLeaf(leafCert("l", -time.Minute, 9*time.Minute)), nil, want{Upheld, ""}},
		"expired by a second": {withLeaf(leafCert("l", -90*day, -time.Second)), nil, want{Broken, "expired/outage"}},
		"the last second is still valid (RFC 5280: both ends count)": {withLeaf(leafCert("l", -90*day, 0)), nil, want{Broken, "expiring/page"}},
		"not yet valid":                  {withLeaf(leafCert("l", time.Hour, 90*day)), nil, want{Broken, "not_yet_valid/outage"}},
		"judged for a day in the future": {healthy(), func(c *Case, s *Setting) { s.Now = now.Add(70 * day); c.Evidence.LastSeen = s.Now }, want{Broken, "expired/outage"}},
		"self-signed is not also called untrusted": {func() Served {
			s := healthy()
			s.Chains[0].SelfSigned, s.Chains[0].Paths = true, nil
			return s
		}(), nil, want{Broken, "self_signed/outage"}},
		"an unknown root": {func() Served {
			s := healthy()
			s.Chains[0].Paths, s.Chains[0].UntrustedRoot = nil, true
			return s
		}(), nil, want{Broken, "untrusted_issuer/outage"}},
		"a missing intermediate is named as such": {func() Served {
			s := healthy()
			s.Chains[0].Completed, s.Chains[0].Paths, s.Chains[0].MissingIssuer = s.Chains[0].Paths, nil, "CN=Inter"
			return s
		}(), nil, want{Broken, "chain_incomplete/outage"}},
		"wrong name and expired are both said": {func() Served {
			s := withLeaf(leafCert("l", -90*day, -day))
			s.Chains[0].NameMatches = false
			return s
		}(), nil, want{Broken, "expired/outage name_mismatch/outage"}},
		"an intermediate that expired while the leaf lives": {func() Served {
			s := healthy()
			s.Chains[0].Paths[0].NotAfter, s.Chains[0].Paths[0].LimitedBy = now.Add(-time.Hour), "inter"
			return s
		}(), nil, want{Broken, "chain_expired/outage"}},
		"an expired cross-sign beside a good path is nothing": {func() Served {
			s := healthy()
			s.Chains[0].Paths = append(s.Chains[0].Paths, Path{Certs: []string{"leaf", "cross", "old"}, NotBefore: now.Add(-900 * day), NotAfter: now.Add(-time.Hour), LimitedBy: "cross"})
			return s
		}(), nil, want{Upheld, ""}},
		"an intermediate that ends before the next renewal is a ticket": {func() Served {
			s := healthy()
			s.Chains[0].Paths[0].NotAfter, s.Chains[0].Paths[0].LimitedBy = now.Add(20*day), "inter"
			return s
		}(), nil, want{Broken, "chain_expiring/ticket"}},
		"an intermediate that ends after the next renewal is only worth knowing": {func() Served {
			s := healthy()
			s.Chains[0].Paths[0].NotAfter, s.Chains[0].Paths[0].LimitedBy = now.Add(50*day), "inter"
			return s
		}(), nil, want{Upheld, "chain_expiring/none"}},
		"an intermediate about to end pages": {func() Served {
			s := healthy()
			s.Chains[0].Paths[0].NotAfter, s.Chains[0].Paths[0].LimitedBy = now.Add(5*day), "inter"
			return s
		}(), nil, want{Broken, "chain_expiring/page"}},
		"revoked": {func() Served {
			s := healthy()
			s.Chains[0].Revocation = []Revocation{{Cert: "leaf", Via: "ocsp", Status: RevocationUnknown}, {Cert: "leaf", Via: "crl", Status: RevocationRevoked, RevokedAt: now.Add(-time.Hour), Reason: "keyCompromise"}}
			return s
		}(), nil, want{Broken, "revoked/outage"}},
		"one good answer is enough": {func() Served {
			s := healthy()
			s.Chains[0].Revocation = []Revocation{{Cert: "leaf", Via: "ocsp", Status: RevocationUnknown}, {Cert: "leaf", Via: "crl", Status: RevocationGood}}
			return s
		}(), nil, want{Upheld, ""}},
		"no answer at all is unknown": {func() Served {
			s := healthy()
			s.Chains[0].Revocation = []Revocation{{Cert: "leaf", Via: "crl", URL: "http://crl.example/x", Status: RevocationUnknown}}
			return s
		}(), nil, want{Unknown, "revocation_unknown/ticket"}},
		"SHA-1":       {func() Served { s := healthy(); s.Chains[0].WeakSignature = "SHA1-RSA"; return s }(), nil, want{Broken, "weak_signature/outage"}},
		"RSA 1024":    {func() Served { s := healthy(); s.Chains[0].WeakKey = "RSA 1024"; return s }(), nil, want{Broken, "weak_key/ticket"}},
		"client only": {func() Served { s := healthy(); s.Chains[0].ServerAuth = false; return s }(), nil, want{Broken, "wrong_purpose/outage"}},
		"201 days, issued in November 2026, public": {func() Served {
			s := withLeaf(leafCert("l", -10*day, 191*day))
			s.Chains[0].PublicTrust = true
			return s
		}(), nil, want{Broken, "lifetime_too_long/ticket"}},
		"200 days, counting both ends, is allowed": {func() Served {
			s := withLeaf(leafCert("l", -10*day, 190*day-time.Second))
			s.Chains[0].PublicTrust = true
			return s
		}(), nil, want{Upheld, ""}},
		"a private authority may issue for ten years": {withLeaf(leafCert("l", -10*day, 3650*day)), nil, want{Upheld, ""}},
		"one of two addresses serves an older certificate": {two(func(s *Served) {
			s.Certs = append(s.Certs, leafCert("old", -50*day, 40*day))
			c := s.Chains[0]
			c.Certs = []string{"old", "inter"}
			c.Paths = []Path{{Certs: []string{"old", "inter", "root"}, NotBefore: now.Add(-50 * day), NotAfter: now.Add(40 * day), LimitedBy: "old"}}
			s.Chains = append(s.Chains, c)
			s.Sightings[1].Chain = 1
		}), nil, want{Broken, "served_differs/ticket"}},
		"an address that goes back and forth is one stable finding": {healthy(), func(c *Case, _ *Setting) {
			c.Evidence.Alternate, c.Evidence.Returned = withLeaf(leafCert("old", -50*day, 40*day)), now.Add(-time.Minute)
		}, want{Broken, "served_differs/ticket"}},
		"the certificate lacks a name that was declared": {healthy(), func(c *Case, _ *Setting) {
			c.Names = []string{"www.example.com", "shop.example.com"}
		}, want{Broken, "names_missing/ticket"}},
		"a wildcard stands for the declared name": {func() Served {
			l := leafCert("l", -30*day, 60*day)
			l.Names = []string{"*.example.com"}
			return withLeaf(l)
		}(), func(c *Case, _ *Setting) { c.Names = []string{"WWW.example.com", "*.example.com"} }, want{Upheld, ""}},
		"the issued certificate cannot be read": {healthy(), func(c *Case, _ *Setting) {
			c.IssuedProblem = "open /etc/x.pem: permission denied"
		}, want{Unknown, "blind/ticket"}},
		"what was issued is not what is served": {healthy(), func(c *Case, _ *Setting) {
			n := leafCert("new", -time.Hour, 90*day)
			c.Issued = &n
		}, want{Broken, "served_stale/ticket"}},
		"the RSA certificate beside a good ECDSA one has expired": {func() Served {
			s := healthy()
			s.Certs = append(s.Certs, leafCert("rsa", -90*day, -day))
			c := s.Chains[0]
			c.Certs, c.Paths = []string{"rsa", "inter"}, []Path{{Certs: []string{"rsa", "inter", "root"}, NotBefore: now.Add(-90 * day), NotAfter: now.Add(-day), LimitedBy: "rsa"}}
			s.Chains = append(s.Chains, c)
			s.Sightings = append(s.Sightings, Sighting{Address: "192.0.2.1:443", Offered: "rsa", Chain: 1})
			return s
		}(), nil, want{Broken, "expired/outage"}},
		"a server without a second certificate is not at fault": {func() Served {
			s := healthy()
			s.Sightings = append(s.Sightings, Sighting{Address: "192.0.2.1:443", Offered: "rsa", Chain: -1, Failure: Alert, At: AtHandshake})
			return s
		}(), nil, want{Upheld, ""}},
		"another certificate without a server name is only a fact": {func() Served {
			s := healthy()
			s.Certs = append(s.Certs, leafCert("default", -900*day, -800*day))
			s.Chains = append(s.Chains, Chain{Certs: []string{"default"}})
			s.Sightings = append(s.Sightings, Sighting{Address: "192.0.2.1:443", NoSNI: true, Chain: 1})
			return s
		}(), nil, want{Upheld, ""}},
		"a server that wants a client certificate has shown its own": {func() Served {
			s := healthy()
			s.Sightings[0].ClientCert, s.Sightings[0].Failure, s.Sightings[0].At = true, Alert, AtHandshake
			return s
		}(), nil, want{Upheld, ""}},
		"a server that breaks off after its certificate refuses clients": {func() Served {
			s := healthy()
			s.Sightings[0].Failure, s.Sightings[0].At = Reset, AtHandshake
			return s
		}(), nil, want{Broken, "handshake_failed/outage"}},
		"nothing listens": {Served{Sightings: []Sighting{{Address: "192.0.2.1:443", Chain: -1, Failure: Refused, At: AtConnect}}}, nil, want{Unknown, "unreachable/ticket"}},
		"nothing listens, and what was last seen ends tonight": {
			Served{Sightings: []Sighting{{Address: "192.0.2.1:443", Chain: -1, Failure: Refused, At: AtConnect}}},
			func(c *Case, _ *Setting) { c.ValidUntil = now.Add(6 * time.Hour) },
			want{Unknown, "unreachable/page"},
		},
		"a failure that may pass is not told at first": {
			Served{Sightings: []Sighting{{Address: "192.0.2.1:443", Chain: -1, Failure: Refused, At: AtConnect}}},
			func(c *Case, s *Setting) { s.Policy.Confirm = 2 * day },
			want{Unknown, "unreachable/none"},
		},
		"no route to IPv6 is said, and does not hide what IPv4 shows": {two(func(s *Served) {
			s.Sightings[1] = Sighting{Address: "[2001:db8::1]:443", Chain: -1, Failure: NoRoute, At: AtConnect}
		}), nil, want{Upheld, "unreachable/none"}},
		"garbage":    {Served{Sightings: []Sighting{{Address: "192.0.2.1:443", Chain: -1, Failure: NotTLS, At: AtHandshake}}}, nil, want{Broken, "handshake_failed/outage"}},
		"NXDOMAIN":   {Served{DNS: DNS{Failure: DNSNXDomain}}, nil, want{Broken, "dns_failed/ticket"}},
		"SERVFAIL":   {Served{DNS: DNS{Failure: DNSServfail}}, nil, want{Unknown, "dns_failed/ticket"}},
		"no address": {Served{DNS: DNS{Failure: DNSNoAddress}}, nil, want{Broken, "no_address/ticket"}},
		"when notafter is cut off, an unreachable endpoint is our fault": {
			Served{DNS: DNS{Failure: DNSTimeout}},
			func(_ *Case, s *Setting) { s.Blind = "no host answers" },
			want{Unknown, "blind/page"},
		},
		"a look that brought nothing is missing evidence": {Served{}, nil, want{Unknown, "evidence_missing/page"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, s := Case{Claim: claim(), Evidence: seen(tc.fact)}, Setting{Now: now}
			if tc.change != nil {
				tc.change(&c, &s)
			}
			j := Judge(c, s)
			var got []string
			for _, f := range j.Findings {
				got = append(got, string(f.Reason)+"/"+f.Stage.String())
				if f.Summary == "" || f.Impact == "" || f.Action == "" || f.Basis == "" || f.Cause == "" || f.Since.IsZero() {
					t.Errorf("%s leaves something unsaid: %+v", f.Reason, f)
				}
			}
			slices.Sort(got)
			if j.Verdict != tc.want.verdict || strings.Join(got, " ") != tc.want.findings {
				t.Errorf("got %s %q, want %s %q", j.Verdict, strings.Join(got, " "), tc.want.verdict, tc.want.findings)
			}
		})
	}
}

func TestWithoutEvidence(t *testing.T) {
	cases := map[string]struct {
		declared time.Duration
		evidence *Evidence
		known    time.Time
		want     string
	}{
		"just declared: unknown, nobody is told":                  {-time.Minute, nil, time.Time{}, "unknown evidence_missing/none"},
		"never seen for an hour: a ticket":                        {-time.Hour, nil, time.Time{}, "unknown evidence_missing/ticket"},
		"never seen for longer than it takes to repair: a page":   {-day, nil, time.Time{}, "unknown evidence_missing/page"},
		"green decays: seen well two hours ago is unknown":        {-9 * day, &Evidence{Fact: healthy(), FirstSeen: now.Add(-day), LastSeen: now.Add(-2 * time.Hour)}, time.Time{}, "unknown evidence_stale/ticket"},
		"stale and about to expire by what was last seen: a page": {-9 * day, &Evidence{Fact: healthy(), FirstSeen: now.Add(-day), LastSeen: now.Add(-2 * time.Hour)}, now.Add(5 * time.Hour), "unknown evidence_stale/page"},
		"we tried and could not see":                              {-9 * day, seen(Blind{Detail: "resolver down"}), time.Time{}, "unknown blind/page"},
		"evidence of another kind is none":                        {-9 * day, seen(Heard{OK: true}), time.Time{}, "unknown evidence_missing/page"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := claim()
			c.Declared = now.Add(tc.declared)
			j := Judge(Case{Claim: c, Evidence: tc.evidence, ValidUntil: tc.known}, Setting{Now: now})
			got := string(j.Verdict)
			for _, f := range j.Findings {
				got += " " + string(f.Reason) + "/" + f.Stage.String()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if j.Complete {
				t.Error("counts as completely seen, so it could close an incident")
			}
			if !tc.known.IsZero() && !j.ValidUntil.Equal(tc.known) {
				t.Errorf("forgot the end that was last seen: %v", j.ValidUntil)
			}
		})
	}
}

func TestOneOfTwoAddressesIsNamed(t *testing.T) {
	s := two(func(s *Served) {
		s.Certs = append(s.Certs, leafCert("old", -90*day, -day))
		c := s.Chains[0]
		c.Certs, c.Paths = []string{"old", "inter"}, []Path{{Certs: []string{"old", "inter", "root"}, NotBefore: now.Add(-90 * day), NotAfter: now.Add(-day), LimitedBy: "old"}}
		s.Chains = append(s.Chains, c)
		s.Sightings[1].Chain = 1
	})
	j := Judge(Case{Claim: claim(), Evidence: seen(s)}, Setting{Now: now})
	if j.Findings[0].Reason != Expired || j.Findings[0].Address != "192.0.2.2:443" {
		t.Errorf("worst finding is %s at %q, want expired at 192.0.2.2:443", j.Findings[0].Reason, j.Findings[0].Address)
	}
	if want := now.Add(-day); !j.ValidUntil.Equal(want) {
		t.Errorf("valid until %v, want %v, the end of the address that refuses first", j.ValidUntil, want)
	}
	if d, ok := j.Runway(now); !ok || d != 0 {
		t.Errorf("runway %v, %v; want 0, known", d, ok)
	}
}

func TestAnOutageLeavesNoRunway(t *testing.T) {
	revoked := healthy()
	revoked.Chains[0].Revocation = []Revocation{{Cert: revoked.Chains[0].Certs[0], Via: "crl", Status: RevocationRevoked, RevokedAt: now.Add(-time.Hour)}}
	cases := map[string]struct {
		fact  Served
		since time.Time
	}{
		"revoked": {revoked, now.Add(-time.Hour)},
		"no handshake, and no certificate was ever seen": {
			Served{Sightings: []Sighting{{Address: "192.0.2.1:443", Chain: -1, Failure: NotTLS, At: AtHandshake}}}, seen(healthy()).FirstSeen,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			j := Judge(Case{Claim: claim(), Evidence: seen(tc.fact)}, Setting{Now: now})
			if !j.ValidUntil.Equal(tc.since) {
				t.Errorf("clients are refused since %v, want since %v", j.ValidUntil, tc.since)
			}
			if d, ok := j.Runway(now); !ok || d != 0 {
				t.Errorf("runway %v, %v; want 0, known", d, ok)
			}
		})
	}
}

func TestDetailsAreSentencesThatKeepNamesAsTheyAre(t *testing.T) {
	for detail, want := range map[string]string{
		"gone.example does not exist": " gone.example does not exist.", "192.0.2.53:53 gave no answer.": " 192.0.2.53:53 gave no answer.", "no answer in time": " No answer in time.",
	} {
		j := Judge(Case{Claim: claim(), Evidence: seen(Served{DNS: DNS{Failure: DNSNXDomain, Detail: detail}})}, Setting{Now: now})
		if got := j.Findings[0].Basis; !strings.HasSuffix(got, want) {
			t.Errorf("the evidence reads %q, want it to end in %q", got, want)
		}
	}
}

func TestAStaleCertificateThatExpiredIsNoticed(t *testing.T) {
	for end, want := range map[time.Duration]string{30 * day: "Nobody yet.", -time.Hour: "Every client of it has been refused since"} {
		s := healthy()
		leaf := leafCert("old", -60*day, end)
		s.Certs = append(s.Certs, leaf)
		s.Chains[0].Certs = []string{"old", "inter"}
		fresh := leafCert("new", -day, 89*day)
		j := Judge(Case{Claim: claim(), Evidence: seen(s), Issued: &fresh}, Setting{Now: now})
		i := slices.IndexFunc(j.Findings, func(f Finding) bool { return f.Reason == ServedStale })
		if i < 0 || !strings.HasPrefix(j.Findings[i].Impact, want) {
			t.Errorf("with an end %s away it is not said that %q: %+v", end, want, j.Findings)
		}
	}
}

func TestSinceSurvivesNewEvidence(t *testing.T) {
	c := Case{Claim: claim(), Evidence: seen(Served{Sightings: []Sighting{{Address: "192.0.2.1:443", Chain: -1, Failure: Refused, At: AtConnect}}})}
	s := Setting{Now: now, Policy: Policy{Confirm: time.Hour}}
	c.Evidence.FirstSeen = now
	first := Judge(c, s)
	if first.Findings[0].Stage != StageNone {
		t.Fatalf("told at once: %s", first.Findings[0].Stage)
	}
	// Two hours later it fails in another way: a new run of evidence, but the same trouble.
	c.Prior = first.Findings
	s.Now = now.Add(2 * time.Hour)
	c.Evidence = &Evidence{Fact: Served{Sightings: []Sighting{{Address: "192.0.2.1:443", Chain: -1, Failure: Timeout, At: AtConnect}}}, FirstSeen: s.Now, LastSeen: s.Now, Count: 1}
	second := Judge(c, s)
	if !second.Findings[0].Since.Equal(now) {
		t.Errorf("since %v, want %v", second.Findings[0].Since, now)
	}
	if second.Findings[0].Stage != StageTicket {
		t.Errorf("after two hours the stage is %s, want ticket", second.Findings[0].Stage)
	}
}

func TestMonitorAndPeople(t *testing.T) {
	mon := func(link Link, subject string) Claim {
		return Claim{ID: NewClaimID(link, "", subject), Link: link, Subject: subject, Declared: now.Add(-day), Every: time.Minute}
	}
	expired := withLeaf(leafCert("l", -90*day, -day))
	cases := map[string]struct {
		claim Claim
		fact  Fact
		want  string
	}{
		"a patrol on time that sees":            {mon(Monitor, SubjectPatrol), Sight{Expected: 9, Observed: 9, Tried: 9, Reached: 8}, "upheld"},
		"a patrol that watches nothing":         {mon(Monitor, SubjectPatrol), Sight{}, "broken evidence_missing/page"},
		"a patrol that reaches nothing":         {mon(Monitor, SubjectPatrol), Sight{Expected: 9, Observed: 9, Tried: 9}, "broken blind/page"},
		"a patrol in its first round":           {mon(Monitor, SubjectPatrol), Sight{Expected: 9, Observed: 3, Tried: 3, Reached: 3}, "unknown evidence_missing/none"},
		"a patrol whose notices do not leave":   {mon(Monitor, SubjectPatrol), Sight{Expected: 9, Observed: 9, Backlog: 104}, "broken channel_failing/ticket"},
		"a patrol that is late":                 {mon(Monitor, SubjectPatrol), Sight{Expected: 9, Observed: 9, Late: Seconds(time.Hour)}, "broken patrol_late/page"},
		"the control is seen to be expired":     {mon(Monitor, SubjectControl), expired, "upheld"},
		"the control looks healthy":             {mon(Monitor, SubjectControl), healthy(), "broken control_undetected/page"},
		"the control could not be reached":      {mon(Monitor, SubjectControl), Served{Sightings: []Sighting{{Address: "127.0.0.1:1", Chain: -1, Failure: Refused, At: AtConnect}}}, "broken control_undetected/page"},
		"the heartbeat was heard":               {mon(Monitor, SubjectHeartbeat), Heard{OK: true}, "upheld"},
		"the heartbeat is not taken for a day":  {mon(Monitor, SubjectHeartbeat), Heard{Detail: "500"}, "broken heartbeat_unseen/page"},
		"the heartbeat is withheld":             {mon(Monitor, SubjectHeartbeat), Heard{Held: "control undetected"}, "broken heartbeat_unseen/ticket"},
		"a channel that takes messages":         {mon(People, "slack"), Delivered{Channel: "slack", Class: Accepted}, "upheld"},
		"a channel whose token was revoked":     {mon(People, "slack"), Delivered{Channel: "slack", Class: Denied}, "broken channel_failing/page"},
		"a channel that is down for the moment": {mon(People, "slack"), Delivered{Channel: "slack", Class: Temporary}, "broken channel_failing/ticket"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			j := Judge(Case{Claim: tc.claim, Evidence: seen(tc.fact)}, Setting{Now: now})
			got := string(j.Verdict)
			for _, f := range j.Findings {
				got += " " + string(f.Reason) + "/" + f.Stage.String()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHostileTextIsHarmless(t *testing.T) {
	evil := "\x1b[2J\u202e" + strings.Repeat("A", 10_000) + "\r\nBcc: all"
	s := withLeaf(leafCert("l", -90*day, -day))
	s.Certs[0].Names, s.Certs[0].Subject, s.Chains[0].NameMatches, s.Chains[0].MissingIssuer, s.Chains[0].Paths = []string{evil}, evil, false, evil, nil
	for _, f := range Judge(Case{Claim: claim(), Evidence: seen(s)}, Setting{Now: now}).Findings {
		for _, text := range []string{f.Summary, f.Impact, f.Action, f.Basis} {
			if strings.ContainsAny(text, "\x1b\r\n\u202e") || len(text) > 2000 {
				t.Errorf("%s carries hostile text: %.80q", f.Reason, text)
			}
		}
	}
}
