package dnswriter

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/zones"
)

const (
	rfcSecret = "bm90IGEgc2VjcmV0IGF0IGFsbCwganVzdCBhIHRlc3Q="
	rfcName   = "_acme-challenge.www.example.test"
)

// rfcLab is a zone whose primary takes updates by the key notafter-key.
func rfcLab(t testing.TB) *zones.Lab {
	t.Helper()
	l, err := zones.Start(zones.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	rfcMust(t, l.AddZone("test"))
	rfcMust(t, l.AddZone("example.test"))
	rfcMust(t, l.SetKey("notafter-key", "hmac-sha256", rfcSecret))
	rfcMust(t, l.Allow("notafter-key", "*.example.test"))
	return l
}

func rfcWriter(t testing.TB, l *zones.Lab, change ...func(*RFC2136Options)) *RFC2136 {
	t.Helper()
	o := RFC2136Options{
		Servers: l.Addresses("ns1.example.test"), Zone: "example.test", KeyName: "notafter-key", Algorithm: "hmac-sha256", Secret: rfcSecret,
		Timeout: 5 * time.Second,
	}
	for _, f := range change {
		f(&o)
	}
	w, err := NewRFC2136(o)
	rfcMust(t, err)
	return w
}

func rfcMust(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func rfcContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func rfcWant(t testing.TB, err error, reason assure.Reason, class assure.TroubleClass, happened bool, words string) {
	t.Helper()
	var got *assure.Trouble
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want trouble %s (%s)", err, reason, class)
	}
	if got.Reason != reason || got.Class != class || got.Happened != happened || !strings.Contains(got.Error(), words) {
		t.Errorf("got %s (%s, happened %v): %v, want %s (%s, %v): %s", got.Reason, got.Class, got.Happened, got, reason, class, happened, words)
	}
	if got.Identity == "" || got.Action != "update TXT" || strings.Contains(fmt.Sprintf("%+v", *got), rfcSecret) {
		t.Errorf("got %+v", *got)
	}
}

func rfcHolds(t testing.TB, l *zones.Lab, name string, want ...string) {
	t.Helper()
	got, err := l.Values("", "example.test", name, dns.TypeTXT)
	rfcMust(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", name, got, want)
	}
}

func TestRFC2136WritesOneValueBesideOthers(t *testing.T) {
	t.Parallel()
	l := rfcLab(t)
	rfcMust(t, l.SetTXT("example.test", rfcName, []string{"somebody else's"}))
	ctx := rfcContext(t)
	for _, zone := range []string{"example.test", ""} {
		w := rfcWriter(t, l, func(o *RFC2136Options) { o.Zone = zone })
		rfcMust(t, w.Present(ctx, rfcName, "apex"))
		rfcMust(t, w.Present(ctx, rfcName, "wildcard"))
		rfcMust(t, w.Present(ctx, rfcName, "wildcard"))
		rfcHolds(t, l, rfcName, "apex", "somebody else's", "wildcard")
		rfcMust(t, w.Withdraw(ctx, rfcName, "apex"))
		rfcMust(t, w.Withdraw(ctx, rfcName, "apex"))
		rfcHolds(t, l, rfcName, "somebody else's", "wildcard")
		rfcMust(t, w.Withdraw(ctx, rfcName, "wildcard"))
		rfcMust(t, w.Withdraw(ctx, "_acme-challenge.never.example.test", "x"))
		rfcHolds(t, l, rfcName, "somebody else's")
	}
	w := rfcWriter(t, l)
	long := strings.Repeat("a\\\"b;c ", 60)
	rfcMust(t, w.Present(ctx, rfcName, long))
	if !w.readBack(ctx, rfcName+".", long, true) {
		t.Error("a long value with special characters is not read back")
	}
	rfcMust(t, w.Withdraw(ctx, rfcName, long))
	rfcHolds(t, l, rfcName, "somebody else's")
	if w.Who() != "notafter-key" {
		t.Errorf("who is %q", w.Who())
	}
}

func TestRFC2136ConcurrentWritersKeepEachOthersValues(t *testing.T) {
	t.Parallel()
	l := rfcLab(t)
	one, two := rfcWriter(t, l), rfcWriter(t, l)
	ctx := rfcContext(t)
	var all sync.WaitGroup
	for i := range 20 {
		for k, w := range []*RFC2136{one, two} {
			all.Go(func() {
				value := fmt.Sprintf("%c%02d", 'a'+k, i)
				if err := w.Present(ctx, rfcName, value); err != nil {
					t.Error(err)
				}
				if i >= 2 {
					if err := w.Withdraw(ctx, rfcName, value); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	rfcHolds(t, l, rfcName, "a00", "a01", "b00", "b01")
}

func TestRFC2136TellsRefusalsApart(t *testing.T) {
	t.Parallel()
	l := rfcLab(t)
	ctx := rfcContext(t)
	w := rfcWriter(t, l)
	at := "example.test@" + l.Addresses("ns1.example.test")[0]

	rfcMust(t, w.Present(ctx, rfcName, "before"))
	rfcMust(t, l.Allow("notafter-key")) // at run time, with a value in the zone
	rfcWant(t, w.Present(ctx, rfcName, "v"), assure.DNSWriteDenied, assure.TroubleDenied, false, "REFUSED) (notafter-key, update TXT at "+at)
	rfcWant(t, w.Withdraw(ctx, rfcName, "before"), assure.DNSWriteDenied, assure.TroubleDenied, false, "REFUSED")
	rfcMust(t, l.Allow("notafter-key", "other.example.test"))
	rfcWant(t, w.Present(ctx, rfcName, "v"), assure.DNSWriteDenied, assure.TroubleDenied, false, "REFUSED")
	rfcMust(t, l.Allow("notafter-key", "*.example.test"))
	rfcMust(t, w.Withdraw(ctx, rfcName, "before"))

	rfcMust(t, l.Skew("ns1.example.test", -time.Hour))
	rfcWant(t, w.Present(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleExpired, false, "(BADTIME): ours is 1h0m")
	rfcMust(t, l.Skew("ns1.example.test", 0))
	late := rfcWriter(t, l, func(o *RFC2136Options) { o.Now = func() time.Time { return time.Now().Add(-10 * time.Minute) } })
	rfcWant(t, late.Present(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleExpired, false, "s behind")

	wrong := rfcWriter(t, l, func(o *RFC2136Options) { o.Secret = base64.StdEncoding.EncodeToString([]byte("another")) })
	rfcWant(t, wrong.Present(ctx, rfcName, "v"), assure.DNSWriteDenied, assure.TroubleExpired, false, "BADSIG")
	other := rfcWriter(t, l, func(o *RFC2136Options) { o.Algorithm = "hmac-sha512" })
	rfcWant(t, other.Present(ctx, rfcName, "v"), assure.DNSWriteDenied, assure.TroubleExpired, false, "BADKEY")
	l.RemoveKey("notafter-key")
	rfcWant(t, w.Present(ctx, rfcName, "v"), assure.DNSWriteDenied, assure.TroubleExpired, false, "BADKEY")
	rfcMust(t, l.SetKey("notafter-key", "hmac-sha512", rfcSecret))
	rfcMust(t, l.Allow("notafter-key", "*.example.test"))
	rfcMust(t, other.Present(ctx, rfcName, "sha512"))
	rfcMust(t, other.Withdraw(ctx, rfcName, "sha512"))
	rfcMust(t, l.SetKey("notafter-key", "hmac-sha256", rfcSecret))
	keyless := rfcWriter(t, l, func(o *RFC2136Options) { o.KeyName, o.Algorithm, o.Secret = "", "", "" })
	rfcWant(t, keyless.Present(ctx, rfcName, "v"), assure.DNSWriteDenied, assure.TroubleDenied, false, "(no key, update TXT")

	secondary := rfcWriter(t, l, func(o *RFC2136Options) { o.Servers = l.Addresses("ns2.example.test") })
	rfcWant(t, secondary.Present(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleMissing, false, "NOTAUTH")
	for _, zone := range []string{"gone.test", ""} {
		gone := rfcWriter(t, l, func(o *RFC2136Options) { o.Zone = zone })
		rfcWant(t, gone.Present(ctx, "_acme-challenge.gone.test", "v"), assure.DNSWriteFailed, assure.TroubleMissing, false, "gone.test")
		rfcMust(t, gone.Withdraw(ctx, "_acme-challenge.gone.test", "v"))
	}
	rfcWant(t, w.Present(ctx, "_acme-challenge.example.org", "v"), assure.DNSWriteFailed, assure.TroubleMissing, false, "not in the zone example.test")
	if err := w.Present(ctx, "_acme-challenge.example.org", "v"); !strings.Contains(assure.TroubleOf(err, "").Remedy, "dns.rfc2136.zone") {
		t.Errorf("the setting that is wrong is not named: %v", err)
	}
	rfcWant(t, w.Present(ctx, "a..b", "v"), assure.DNSWriteFailed, assure.TroubleInvalid, false, "cannot be written")

	// A server that is no primary but shows the value has not withdrawn it.
	rfcMust(t, w.Present(ctx, rfcName, "v"))
	rfcWant(t, secondary.Withdraw(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleMissing, false, "NOTAUTH")
	rfcMust(t, w.Withdraw(ctx, rfcName, "v"))
	rfcMust(t, secondary.Withdraw(ctx, rfcName, "v"))
	rfcHolds(t, l, rfcName)
}

func TestRFC2136FailedAndFailedButHappened(t *testing.T) {
	t.Parallel()
	l := rfcLab(t)
	ctx := rfcContext(t)
	w := rfcWriter(t, l, func(o *RFC2136Options) { o.Timeout = 400 * time.Millisecond })
	patient := rfcWriter(t, l, func(o *RFC2136Options) { o.Timeout = time.Second })
	fault := func(f zones.Fault) { t.Helper(); rfcMust(t, l.Fault("ns1.example.test", "example.test", f)) }

	fault(zones.UpdateServfail)
	rfcWant(t, w.Present(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleTransient, false, "SERVFAIL")
	fault(zones.UpdateSilent)
	rfcWant(t, w.Present(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleTransient, true, "does not answer over UDP")
	rfcHolds(t, l, rfcName)

	fault(zones.UpdateLost) // reading the primary shows that it happened
	rfcMust(t, patient.Present(ctx, rfcName, "v"))
	rfcHolds(t, l, rfcName, "v")
	rfcMust(t, patient.Withdraw(ctx, rfcName, "v"))
	rfcHolds(t, l, rfcName)
	fault(zones.UpdateLostUDP) // TCP answers, and twice is the same as once
	rfcMust(t, patient.Present(ctx, rfcName, "v"))
	rfcHolds(t, l, rfcName, "v")
	fault(zones.Truncated)
	rfcMust(t, patient.Withdraw(ctx, rfcName, "v"))
	rfcHolds(t, l, rfcName)
	fault(zones.Silent)
	rfcWant(t, w.Withdraw(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleTransient, true, "no answer from the primary")
	fault(zones.Garbage)
	rfcWant(t, w.Present(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleTransient, true, "cannot be read")

	two := rfcWriter(t, l, func(o *RFC2136Options) {
		o.Servers = []string{"127.0.0.1:1", l.Addresses("ns1.example.test")[0]}
	})
	fault(zones.None)
	rfcMust(t, two.Present(ctx, rfcName, "second server"))
	rfcHolds(t, l, rfcName, "second server")
	nobody := rfcWriter(t, l, func(o *RFC2136Options) { o.Servers = []string{"127.0.0.1:1"} })
	rfcWant(t, nobody.Present(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleTransient, false, "refuses or cuts the connection")
}

func TestRFC2136EndsWithItsContext(t *testing.T) {
	t.Parallel()
	l := rfcLab(t)
	w := rfcWriter(t, l, func(o *RFC2136Options) { o.Timeout = time.Hour })
	rfcMust(t, l.Fault("ns1.example.test", "", zones.Silent))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	rfcWant(t, w.Present(ctx, rfcName, "v"), assure.DNSWriteFailed, assure.TroubleTransient, true, "does not answer")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestRFC2136TrustsNoUnsignedSuccess has a server that says yes to everything without proving that it knows the key.
func TestRFC2136TrustsNoUnsignedSuccess(t *testing.T) {
	t.Parallel()
	l := rfcLab(t)
	for name, forge := range map[string]func(r, m *dns.Msg){
		"unsigned": func(_, _ *dns.Msg) {},
		"signed with another secret": func(r, m *dns.Msg) {
			s := r.IsTsig()
			if s == nil {
				return // the value is looked for
			}
			m.Extra = append(m.Extra, &dns.TSIG{Hdr: s.Hdr, Algorithm: s.Algorithm, TimeSigned: s.TimeSigned, Fudge: 300, MACSize: s.MACSize, MAC: s.MAC, OrigId: r.Id})
		},
	} {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		rfcMust(t, err)
		srv := &dns.Server{PacketConn: pc, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
		srv.Handler = dns.HandlerFunc(func(rw dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetRcode(r, dns.RcodeSuccess)
			forge(r, m)
			_ = rw.WriteMsg(m)
		})
		ready := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = srv.ActivateAndServe() }()
		<-ready
		w := rfcWriter(t, l, func(o *RFC2136Options) {
			o.Servers = []string{pc.LocalAddr().String()}
			o.Timeout = 200 * time.Millisecond
		})
		t.Run(name, func(t *testing.T) {
			rfcWant(t, w.Present(rfcContext(t), rfcName, "v"), assure.DNSWriteFailed, assure.TroubleBroken, true, "not signed with the key")
		})
		rfcMust(t, srv.Shutdown())
	}
}

func TestRFC2136Settings(t *testing.T) {
	t.Parallel()
	good := RFC2136Options{Servers: []string{"192.0.2.1", "[2001:db8::1]:5353", "2001:db8::2", "ns.example.test"}, KeyName: "K.", Algorithm: "SHA512", Secret: " " + rfcSecret[:20] + "\n" + rfcSecret[20:]}
	w, err := NewRFC2136(good)
	rfcMust(t, err)
	if want := []string{"192.0.2.1:53", "[2001:db8::1]:5353", "[2001:db8::2]:53", "ns.example.test:53"}; !slices.Equal(w.o.Servers, want) || good.Servers[0] != "192.0.2.1" {
		t.Errorf("servers %v", w.o.Servers)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", w.key, w.key, w.key, w); strings.Contains(s, "secret") || strings.Contains(s, rfcSecret) {
		t.Errorf("printed as %s", s)
	}
	for sentence, change := range map[string]func(*RFC2136Options){
		"no server":            func(o *RFC2136Options) { o.Servers = nil },
		"a server without one": func(o *RFC2136Options) { o.Servers = []string{":53"} },
		"a bad zone":           func(o *RFC2136Options) { o.Zone = "a..b" },
		"MD5":                  func(o *RFC2136Options) { o.Algorithm = "hmac-md5" },
		"no name":              func(o *RFC2136Options) { o.KeyName = "" },
		"no secret":            func(o *RFC2136Options) { o.Secret = "" },
		"not base64":           func(o *RFC2136Options) { o.Secret = "top*secret" },
	} {
		o := good
		change(&o)
		_, err := NewRFC2136(o)
		if err == nil {
			t.Errorf("%s is accepted", sentence)
		} else if strings.Contains(err.Error(), "top*") || strings.Contains(err.Error(), rfcSecret[:10]) {
			t.Errorf("%s: the error shows the secret: %v", sentence, err)
		}
	}
}

func FuzzTSIGSettings(f *testing.F) {
	f.Add("key.", "hmac-sha256", rfcSecret)
	f.Add("", "", "")
	f.Add("a b", "SHA1", "AAAA")
	f.Add(strings.Repeat("a.", 130), "hmac-md5.sig-alg.reg.int.", "not base64!")
	f.Add("k\\000", "512", "====")
	f.Fuzz(func(t *testing.T, name, algorithm, secret string) {
		k, err := parseTSIG(name, algorithm, secret)
		if err != nil {
			if bare := strings.TrimSpace(secret); len(bare) > 12 && strings.Contains(err.Error(), bare) && !strings.Contains(algorithm, bare) {
				t.Errorf("the error shows the secret: %v", err)
			}
			return
		}
		if k.name == "" {
			return
		}
		m := new(dns.Msg).SetUpdate("example.test.")
		m.SetTsig(k.name, k.algorithm, 300, 1e9)
		wire, mac, err := dns.TsigGenerateWithProvider(m, k, "", false)
		if err != nil || mac == "" {
			t.Fatalf("a key that was accepted does not sign: %v", err)
		}
		if err := dns.TsigVerifyWithProvider(wire, k, "", false); err != nil && !errors.Is(err, dns.ErrTime) {
			t.Errorf("what was signed does not verify: %v", err)
		}
	})
}
