package permit

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/zones"
)

const rfcSecret = "bm90IGEgc2VjcmV0IGF0IGFsbCwganVzdCBhIHRlc3Q="

func rfcMust(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRFC2136AsksByAnUpdateThatChangesNothing(t *testing.T) {
	t.Parallel()
	l, err := zones.Start(zones.Options{})
	rfcMust(t, err)
	t.Cleanup(l.Stop)
	rfcMust(t, l.AddZone("test"))
	rfcMust(t, l.AddZone("example.test"))
	rfcMust(t, l.SetKey("notafter-key", "hmac-sha256", rfcSecret))
	const record = "_acme-challenge.www.example.test"
	rfcMust(t, l.SetTXT("example.test", record, []string{"somebody else's"}))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	asker := func(change ...func(*RFC2136Options)) *RFC2136 {
		t.Helper()
		o := RFC2136Options{
			Servers: l.Addresses("ns1.example.test"), Zone: "example.test", KeyName: "notafter-key", Secret: rfcSecret, Timeout: 5 * time.Second,
		}
		for _, f := range change {
			f(&o)
		}
		r, err := NewRFC2136(o)
		rfcMust(t, err)
		return r
	}
	impatient := func(o *RFC2136Options) { o.Timeout = 300 * time.Millisecond }
	want := func(r *RFC2136, record string, answer assure.Answer, class assure.TroubleClass, words string) {
		t.Helper()
		got := r.Ask(ctx, record)
		if len(got) != 1 {
			t.Fatalf("got %v", got)
		}
		a := got[0]
		if a.Answer != answer || !strings.Contains(a.Detail, words) || a.Action != "update TXT" || a.Identity == "" || a.Scope == "" {
			t.Errorf("got %+v, want %s: %s", a, answer, words)
		}
		if strings.Contains(fmt.Sprintf("%+v %+v", a, a.Trouble), rfcSecret) {
			t.Error("the secret is shown")
		}
		switch {
		case answer == assure.Allowed:
			if a.Trouble != nil {
				t.Errorf("allowed with trouble %v", a.Trouble)
			}
		case words == "BADTIME": // as the writer says
			if a.Trouble == nil || a.Trouble.Class != class || a.Trouble.Reason != assure.DNSWriteFailed {
				t.Errorf("got trouble %+v", a.Trouble)
			}
		case a.Trouble == nil || a.Trouble.Class != class || a.Trouble.Reason != map[assure.Answer]assure.Reason{assure.Forbidden: assure.DNSWriteDenied, assure.Untold: assure.PermissionUnclear}[answer]:
			t.Errorf("got trouble %+v, want class %s", a.Trouble, class)
		}
	}
	before, _ := l.Serial("", "example.test")
	r := asker()

	want(r, record, assure.Forbidden, assure.TroubleDenied, "REFUSED") // a known key that may nothing
	rfcMust(t, l.Allow("notafter-key", record))
	want(r, record, assure.Allowed, "", "changes nothing")
	want(asker(func(o *RFC2136Options) { o.Zone = "" }), record, assure.Allowed, "", "changes nothing")
	want(r, "_acme-challenge.other.example.test", assure.Forbidden, assure.TroubleDenied, "REFUSED")
	rfcMust(t, l.Allow("notafter-key")) // at run time
	want(r, record, assure.Forbidden, assure.TroubleDenied, "REFUSED")
	rfcMust(t, l.Allow("notafter-key", "*.example.test"))
	want(r, record, assure.Allowed, "", "")

	want(asker(func(o *RFC2136Options) { o.Secret = base64.StdEncoding.EncodeToString([]byte("another")) }), record, assure.Forbidden, assure.TroubleExpired, "BADSIG")
	want(asker(func(o *RFC2136Options) { o.KeyName = "another" }), record, assure.Forbidden, assure.TroubleExpired, "BADKEY")
	want(asker(func(o *RFC2136Options) { o.Now = func() time.Time { return time.Now().Add(time.Hour) } }), record, assure.Forbidden, assure.TroubleExpired, "BADTIME")
	want(asker(func(o *RFC2136Options) { o.KeyName, o.Secret = "", "" }), record, assure.Forbidden, assure.TroubleDenied, "REFUSED")
	want(asker(func(o *RFC2136Options) { o.Servers = l.Addresses("ns2.example.test") }), record, assure.Untold, assure.TroubleMissing, "NOTAUTH")
	want(asker(func(o *RFC2136Options) { o.Zone = "" }), "_acme-challenge.gone.test", assure.Untold, assure.TroubleMissing, "no zone that holds")
	want(r, "example.org", assure.Untold, assure.TroubleInvalid, "not in the zone")
	want(r, "a..b", assure.Untold, assure.TroubleInvalid, "no domain name")

	for fault, words := range map[zones.Fault]string{zones.UpdateServfail: "SERVFAIL", zones.UpdateSilent: "does not answer over UDP", zones.Garbage: "no answer", zones.UpdateLost: "does not answer over TCP"} {
		rfcMust(t, l.Fault("ns1.example.test", "", fault))
		want(asker(impatient), record, assure.Untold, assure.TroubleTransient, words)
	}
	rfcMust(t, l.Fault("ns1.example.test", "", zones.Truncated))
	want(r, record, assure.Allowed, "", "")

	if after, _ := l.Serial("", "example.test"); after != before {
		t.Errorf("the zone's serial went from %d to %d", before, after)
	}
	if got, _ := l.Values("", "example.test", record, dns.TypeTXT); !slices.Equal(got, []string{"somebody else's"}) {
		t.Errorf("the record holds %q", got)
	}
}

func TestRFC2136PermissionSettings(t *testing.T) {
	t.Parallel()
	for sentence, o := range map[string]RFC2136Options{
		"no server":  {KeyName: "k", Secret: rfcSecret},
		"no name":    {Servers: []string{"192.0.2.1"}, Secret: rfcSecret},
		"not base64": {Servers: []string{"192.0.2.1"}, KeyName: "k", Secret: "top*secret"},
		"a bad zone": {Servers: []string{"192.0.2.1"}, Zone: "a..b"},
	} {
		if _, err := NewRFC2136(o); err == nil || strings.Contains(err.Error(), "top*") || strings.Contains(err.Error(), rfcSecret) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}
