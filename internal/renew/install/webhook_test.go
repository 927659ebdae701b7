package install

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

const shared = "a-shared-secret"

// receiver takes signed webhooks as one of a user's would.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	took  []WebhookMessage // once for each delivery
	seen  map[string]int   // attempts by delivery
	times []string
	next  []canned
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	s := &receiver{seen: map[string]int{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *receiver) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	at, v1, _ := strings.Cut(r.Header.Get("X-Notafter-Signature"), ",v1=")
	at = strings.TrimPrefix(at, "t=")
	mac := hmac.New(sha256.New, []byte(shared))
	_, _ = mac.Write([]byte(at + "." + string(body)))
	if want := hex.EncodeToString(mac.Sum(nil)); !hmac.Equal([]byte(want), []byte(v1)) {
		http.Error(w, "the signature is wrong", http.StatusUnauthorized)
		return
	}
	s.times = append(s.times, at)
	id := r.Header.Get("X-Notafter-Delivery")
	s.seen[id]++
	take := func() {
		for _, m := range s.took {
			if m.Fingerprint == id {
				return
			}
		}
		var m WebhookMessage
		if json.Unmarshal(body, &m) == nil {
			s.took = append(s.took, m)
		}
	}
	if len(s.next) > 0 {
		var c canned
		c, s.next = s.next[0], s.next[1:]
		if c.do {
			take()
		}
		if c.status == 0 {
			panic(http.ErrAbortHandler)
		}
		for k, v := range c.header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(c.status)
		fmt.Fprint(w, c.body)
		return
	}
	take()
	w.WriteHeader(http.StatusAccepted)
}

func newHook(t *testing.T, s *receiver, change func(*WebhookOptions)) (*Webhook, *[]time.Duration) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	o := WebhookOptions{URL: s.URL + "/hooks/0123456789abcdef", Secret: shared, Roots: roots, Now: newNow()}
	if change != nil {
		change(&o)
	}
	w, err := NewWebhook(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.CloseIdleConnections)
	waited := &[]time.Duration{}
	w.wait = func(ctx context.Context, d time.Duration) error { *waited = append(*waited, d); return ctx.Err() }
	return w, waited
}

func TestWebhookTellsTheReceiverSigned(t *testing.T) {
	t.Parallel()
	s, a, b := newReceiver(t), issue(), issue()
	w, _ := newHook(t, s, nil)
	steps, err := w.Install(t.Context(), "web", a.chain, a.key)
	if err != nil {
		t.Fatal(err)
	}
	wantSteps(t, steps, "match done, install done")
	w, _ = newHook(t, s, func(o *WebhookOptions) { o.Key = true })
	if steps, err = w.Install(t.Context(), "web", b.chain, b.key); err != nil {
		t.Fatal(err)
	}
	noSecret(t, steps, nil, "0123456789abcdef", shared)
	sum := sha256.Sum256(a.leaf.Raw)
	want := WebhookMessage{Version: 1, Certificate: "web", Fullchain: string(a.chain), NotAfter: a.leaf.NotAfter, Fingerprint: hex.EncodeToString(sum[:])}
	if len(s.took) != 2 || s.took[0] != want {
		t.Errorf("took %+v, want %+v", s.took, want)
	}
	if len(s.took) == 2 && s.took[1].Key != string(b.key) {
		t.Error("the key was configured to be sent and was not")
	}
}

func TestWebhookTriesAgainWhatPassesAndNothingElse(t *testing.T) {
	t.Parallel()
	a := issue()
	s := newReceiver(t)
	w, waited := newHook(t, s, nil)
	s.next = []canned{{status: 500}, {status: 429, header: map[string]string{"Retry-After": "5"}}, {}, {do: true}, {status: 503, do: true}}
	steps, err := w.Install(t.Context(), "web", a.chain, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.took) != 1 || len(s.seen) != 1 || len(*waited) < 4 || (*waited)[1] != 5*time.Second || !strings.Contains(steps[1].Detail, "attempt") {
		t.Errorf("took %d, deliveries %v, waited %v, said %q", len(s.took), s.seen, *waited, steps[1].Detail)
	}
	if s.times[0] == s.times[len(s.times)-1] {
		t.Error("an attempt was signed with the time of an earlier one")
	}
	for code, class := range map[int]assure.TroubleClass{
		400: assure.TroubleInvalid, 401: assure.TroubleDenied, 403: assure.TroubleDenied, 404: assure.TroubleMissing, 301: assure.TroubleInvalid, 418: assure.TroubleInvalid,
	} {
		s.next = []canned{{status: code, header: map[string]string{"Location": "/x"}, body: "no: " + shared}}
		steps, err := w.Install(t.Context(), "web", a.chain, a.key)
		tr := wantTrouble(t, err, class, fmt.Sprint(code))
		if len(s.next) != 0 || tr.Happened {
			t.Errorf("%d: happened %v", code, tr.Happened)
		}
		wantSteps(t, steps, "match done, install failed")
		noSecret(t, steps, err, shared, "0123456789abcdef")
	}
	w.opts.Deadline = 3 * time.Second
	for range 50 {
		s.next = append(s.next, canned{do: true})
	}
	_, err = w.Install(t.Context(), "web", a.chain, a.key)
	if tr := wantTrouble(t, err, assure.TroubleTransient); !tr.Happened {
		t.Error("the receiver may have it, and that is not said")
	}
	w, _ = newHook(t, s, func(o *WebhookOptions) { o.Roots = nil })
	_, err = w.Install(t.Context(), "web", a.chain, a.key)
	wantTrouble(t, err, assure.TroubleBroken)
	noSecret(t, nil, err, "0123456789abcdef")
}

func TestWebhookOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]WebhookOptions{
		"url: is required": {Secret: shared}, "is not an address": {URL: "https://x/%zz" + shared, Secret: shared},
		"must begin with https:// or": {URL: "ftp://x", Secret: shared}, "names no host": {URL: "https:///x", Secret: shared},
		"at least 8": {URL: "https://x", Secret: "short"}, "the private key is sent": {URL: "http://x", Secret: shared, Key: true},
		"deadline": {URL: "https://x", Secret: shared, Deadline: time.Hour},
	} {
		o.Now = newNow()
		if _, err := NewWebhook(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), shared) {
			t.Errorf("got %v, want something about %q", err, want)
		}
	}
}

// fixed is an installer that ends as it is told to.
type fixed struct {
	name  string
	err   error
	calls *int
}

func (f fixed) String() string { return f.name }

func (f fixed) Install(context.Context, string, []byte, []byte) ([]assure.Step, error) {
	*f.calls++
	s := assure.Step{Name: assure.StepInstall, Target: f.name, Outcome: assure.Done, At: start.Add(time.Duration(*f.calls)), Took: 1}
	if f.err != nil {
		s.Outcome, s.Trouble = assure.Failed, assure.TroubleOf(f.err, assure.InstallFailed)
	}
	return []assure.Step{s}, f.err
}

func TestASequenceSaysWhatIsWhere(t *testing.T) {
	t.Parallel()
	calls := 0
	bad := trouble(assure.TroubleDenied, "may not")
	steps, err := NewSequence(fixed{"one", nil, &calls}, fixed{"two", bad, &calls}, fixed{"three", nil, &calls}).Install(t.Context(), "web", nil, nil)
	tr := wantTrouble(t, err, assure.TroubleDenied, "two: may not", "in place in one", "not tried: three")
	wantSteps(t, steps, "install done, install failed, install skipped")
	if calls != 2 || !tr.Happened || bad.Detail != "may not" {
		t.Errorf("%d calls, happened %v, step says %q", calls, tr.Happened, bad.Detail)
	}
	steps, err = NewSequence(fixed{"one", nil, &calls}, fixed{"three", nil, &calls}).Install(t.Context(), "web", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantSteps(t, steps, "install done, install done")
}
