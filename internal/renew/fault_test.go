package renew

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// TestFaultsThatPass breaks one thing at the CA for a while. The certificate comes all the same, and only one is made.
func TestFaultsThatPass(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]authority.Fault{
		"bad nonces":                          {{At: authority.Anywhere, After: 2, Times: 3, Do: authority.BadNonce()}},
		"a lost answer to finalize":           {{At: authority.Finalize, Do: authority.Lose()}},
		"every answer to finalize lost":       {{At: authority.Finalize, Times: -1, Do: authority.Lose()}},
		"finalize not reached at first":       {{At: authority.Finalize, Times: 3, Do: authority.Reset()}},
		"finalize answered with nonsense":     {{At: authority.Finalize, Do: authority.Garbage()}},
		"finalize answered with 503":          {{At: authority.Finalize, Do: authority.Unavailable("1")}},
		"a lost answer to the challenge":      {{At: authority.Challenge, Do: authority.Lose()}},
		"every answer to the challenge lost":  {{At: authority.Challenge, Times: -1, Do: authority.Lose()}},
		"the poll of the authorization fails": {{At: authority.Authorization, After: 1, Times: 3, Do: authority.Unavailable("")}},
		"the poll of the order fails":         {{At: authority.PollOrder, Times: 3, Do: authority.Reset()}},
		"the poll is throttled for a moment":  {{At: authority.PollOrder, Do: authority.RateLimited("1")}},
		"the download fails":                  {{At: authority.Download, Times: 4, Do: authority.Reset()}},
		"the download is lost":                {{At: authority.Download, Do: authority.Lose()}},
		"the directory breaks off":            {{At: authority.Directory, Do: authority.Reset()}},
		"slow answers":                        {{At: authority.Anywhere, Times: 5, Do: authority.Slow(50 * time.Millisecond)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authority.Options{})
			c := w.ca()
			w.proxy.Add(faults...)
			got, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
			if err != nil {
				t.Fatal(err)
			}
			w.verify(got, "a.example")
			w.clean()
			url, err := c.AccountURL(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			made := 0
			for _, o := range w.authority.Orders(url) {
				if o.Finalized {
					made++
				}
			}
			if made != 1 {
				t.Errorf("%d certificates were made, want 1", made)
			}
		})
	}
}

// TestFaultsThatStay are refusals that a caller has to hear of in its own words, with when to come back.
func TestFaultsThatStay(t *testing.T) {
	t.Parallel()
	inAnHour := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	caa := authority.ProblemDocument(403, "", map[string]any{
		"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "errors were found", "status": 403,
		"subproblems": []any{map[string]any{
			"type": "urn:ietf:params:acme:error:caa", "detail": "CAA record for b.example prevents issuance",
			"identifier": map[string]any{"type": "dns", "value": "b.example"},
		}},
	})
	forbidden := authority.ProblemDocument(403, "", map[string]any{
		"type": "urn:ietf:params:acme:error:caa", "detail": "CAA record for a.example prevents issuance", "status": 403,
	})
	for name, tc := range map[string]struct {
		fault  authority.Fault
		reason assure.Reason
		class  assure.TroubleClass
		after  time.Duration
		says   string
	}{
		"429 with seconds":          {authority.Fault{At: authority.NewOrder, Do: authority.RateLimited("3600")}, assure.LimitReached, assure.TroubleThrottled, time.Hour, "left alone for 1h): rateLimited: too many new orders"},
		"429 with a date":           {authority.Fault{At: authority.NewOrder, Do: authority.RateLimited(inAnHour)}, assure.LimitReached, assure.TroubleThrottled, time.Hour, "too many new orders"},
		"429 without":               {authority.Fault{At: authority.NewOrder, Do: authority.RateLimited("")}, assure.LimitReached, assure.TroubleThrottled, 0, "too many new orders"},
		"429 for an account":        {authority.Fault{At: authority.NewAccount, Do: authority.RateLimited("60")}, assure.LimitReached, assure.TroubleThrottled, time.Minute, "register the account"},
		"503 with seconds":          {authority.Fault{At: authority.NewOrder, Times: -1, Do: authority.Unavailable("90")}, assure.RenewalFailing, assure.TroubleTransient, 90 * time.Second, "left alone for 1m 30s): it answered 503"},
		"503 with a date":           {authority.Fault{At: authority.NewNonce, Times: -1, Do: authority.Unavailable(inAnHour)}, assure.RenewalFailing, assure.TroubleTransient, time.Hour, "503"},
		"500 in words":              {authority.Fault{At: authority.NewOrder, Times: -1, Do: authority.Problem(500, "serverInternal", "oh dear", "")}, assure.RenewalFailing, assure.TroubleTransient, 0, "oh dear"},
		"a CAA record":              {authority.Fault{At: authority.NewOrder, Do: forbidden}, assure.CAAForbids, assure.TroubleForbidden, 0, "prevents issuance"},
		"a CAA record at finalize":  {authority.Fault{At: authority.Finalize, Do: forbidden}, assure.CAAForbids, assure.TroubleForbidden, 0, "prevents issuance"},
		"unauthorized at finalize":  {authority.Fault{At: authority.Finalize, Times: -1, Do: authority.Problem(403, "unauthorized", "authorization expired", "")}, assure.RenewalFailing, assure.TroubleTransient, 0, "authorization expired"},
		"throttled for long, later": {authority.Fault{At: authority.PollOrder, Times: -1, Do: authority.RateLimited("600")}, assure.LimitReached, assure.TroubleThrottled, 10 * time.Minute, "too many"},
		"new terms":                 {authority.Fault{At: authority.NewOrder, Do: authority.ProblemDocument(403, "", map[string]any{"type": "urn:ietf:params:acme:error:userActionRequired", "detail": "agree", "instance": "https://ca.example/terms"})}, assure.AccountInvalid, assure.TroubleDenied, 0, "https://ca.example/terms"},
		"the profile is gone":       {authority.Fault{At: authority.NewOrder, Do: authority.Problem(400, "invalidProfile", "no such profile", "")}, assure.RenewalFailing, assure.TroubleMissing, 0, "profile"},
		"nonsense":                  {authority.Fault{At: authority.NewOrder, Times: -1, Do: authority.Garbage()}, assure.RenewalFailing, assure.TroubleBroken, 0, "JSON"},
		"nonsense for a directory":  {authority.Fault{At: authority.Directory, Times: -1, Do: authority.Garbage()}, assure.RenewalFailing, assure.TroubleTransient, 0, "directory"},
		"an endless answer":         {authority.Fault{At: authority.NewOrder, Times: -1, Do: authority.Huge(1 << 30)}, assure.RenewalFailing, assure.TroubleBroken, 0, "1 MiB"},
		"an endless directory":      {authority.Fault{At: authority.Directory, Times: -1, Do: authority.Huge(1 << 30)}, assure.RenewalFailing, assure.TroubleBroken, 0, "1 MiB"},
		"a directory behind a wall": {authority.Fault{At: authority.Directory, Times: -1, Do: authority.Problem(404, "malformed", "nothing here", "")}, assure.RenewalFailing, assure.TroubleInvalid, 0, "nothing here"},
		"a names's own CAA":         {authority.Fault{At: authority.NewOrder, Do: caa}, assure.RenewalFailing, assure.TroubleForbidden, 0, "b.example: caa"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authority.Options{})
			w.proxy.Add(tc.fault)
			started := time.Now()
			_, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example", "b.example"}}, w.dns(), nil)
			got := wantTrouble(t, err, tc.reason, tc.class, tc.says)
			if d := tc.after - got.RetryAfter; d < 0 || d > time.Minute || (tc.after == 0) != (got.RetryAfter == 0) {
				t.Errorf("come back after %s, want %s", got.RetryAfter, tc.after)
			}
			if took := time.Since(started); took > 10*time.Second {
				t.Errorf("it took %s to say so", took)
			}
			w.clean()
		})
	}
}

// TestARefusalIsNotAskedForAgain: who is told to come back later does not come back at once.
func TestARefusalIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	if _, err := c.AccountURL(deadline(t)); err != nil {
		t.Fatal(err)
	}
	w.proxy.Add(authority.Fault{At: authority.NewOrder, Times: -1, Do: authority.Unavailable("60")})
	_, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleTransient)
	if n := w.proxy.Seen(authority.NewOrder); n != 1 {
		t.Errorf("the CA was asked %d times although it said when to come back", n)
	}
}

func TestBadNoncesByTheAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{BadNonces: 15, RetryAfter: time.Second})
	if _, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
		t.Fatal(err)
	}
}

func TestAHangingCAEndsWithTheContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	w.proxy.Add(authority.Fault{At: authority.Challenge, Times: -1, Do: authority.Slow(time.Hour)})
	ctx, cancel := context.WithTimeout(deadline(t), 700*time.Millisecond)
	defer cancel()
	started := time.Now()
	_, err := w.ca().Issue(ctx, Request{Names: []string{"a.example"}}, w.dns(), nil)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleTransient, "took too long")
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	w.clean()
}

func TestACAThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca(func(o *CAOptions) { o.Roots = w.authority.Pool() }) // not the proxy's
	_, err := c.AccountURL(deadline(t))
	got := wantTrouble(t, err, assure.RenewalFailing, assure.TroubleBroken, "not trusted")
	if !strings.Contains(got.Remedy, "root") {
		t.Errorf("the remedy is %q", got.Remedy)
	}
}

func TestNobodyAtHome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	w.proxy.Stop()
	_, err := w.ca().AccountURL(deadline(t))
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleTransient, "connection refused")
}

// A CA that hangs is waited for once by all who ask at the same time, and not by one after the other.
func TestAHangingDirectoryIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	w.proxy.Add(authority.Fault{At: authority.Directory, Times: -1, Do: authority.Slow(time.Hour)})
	const wait = 500 * time.Millisecond
	c := w.ca(func(o *CAOptions) { o.RequestTimeout = wait })
	began := time.Now()
	errs := make(chan error)
	const certificates = 50
	for range certificates {
		go func() {
			_, err := c.Identities(deadline(t))
			errs <- err
		}()
	}
	for range certificates {
		wantTrouble(t, <-errs, assure.RenewalFailing, assure.TroubleTransient, "took too long")
	}
	if took := time.Since(began); took > 12*wait {
		t.Errorf("all together it took %s", took)
	}
	w.proxy.Mend()
	if _, err := c.Identities(deadline(t)); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
}
