package dnswriter

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/renew/dnswriter/legochild"
)

// childFlag makes the test binary a child of the kind that its value names. It stands among the arguments, because the
// child's environment holds settings only.
const childFlag = "-dns-writer-child="

func TestMain(m *testing.M) {
	for _, a := range os.Args[1:] {
		if kind, ok := strings.CutPrefix(a, childFlag); ok {
			os.Exit(child(kind))
		}
	}
	os.Exit(m.Run())
}

func child(kind string) int {
	if kind == "good" {
		return legochild.Main(os.Stdin, os.Stdout)
	}
	if kind != "asleep" {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	token := os.Getenv("DO_AUTH_TOKEN")
	switch kind {
	case "environment":
		b, _ := json.Marshal(legochild.Answer{Trouble: &assure.Trouble{Class: assure.TroubleInvalid, Detail: strings.Join(os.Environ(), "|")}})
		fmt.Println(string(b))
	case "crash":
		_, _ = fmt.Fprintln(os.Stderr, "panic: token "+token)
		return 2
	case "killed":
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill()
	case "garbage":
		fmt.Println("<html>" + token)
	case "empty":
	case "undecided":
		fmt.Println(`{"ok":false}`)
	case "twice":
		fmt.Println(`{"ok":true}{"ok":true}`)
	case "endless":
		for {
			if _, err := fmt.Print(strings.Repeat("x", 4096)); err != nil {
				return 1
			}
		}
	case "long":
		fmt.Println(strings.Repeat("x", 200_000))
	case "loose":
		b, _ := json.Marshal(legochild.Answer{Trouble: &assure.Trouble{
			Reason: "made_up", Class: "made_up", Detail: "your token is " + token + "\x1b[2J\n" + strings.Repeat("y", 5000), RetryAfter: 1 << 62,
			Identity: token, Remedy: token,
		}})
		fmt.Println(string(b))
	case "silent":
		// As a hook that hangs would: a grandchild that holds the pipes and outlives its parent if only that is killed.
		path, _ := os.Executable()
		p, err := os.StartProcess(path, []string{path, childFlag + "asleep"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
		if err == nil {
			_, _ = fmt.Fprintf(os.Stderr, "grandchild %d\n", p.Pid)
		}
		select {}
	case "asleep":
		select {}
	}
	return 0
}

func lego(t *testing.T, kind string, set map[string]string, timeout time.Duration) *Lego {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLego(LegoOptions{Provider: "digitalocean", Settings: set, Command: []string{path, childFlag + kind}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const (
	legoName  = "_acme-challenge.www.example.com"
	legoValue = "MsijOYZxqyjGnFGwhjrhfg-Xgbl5r68WPda0J9EgqqI"
)

// ocean is a DigitalOcean that keeps the values that each token wrote.
type ocean struct {
	mu     sync.Mutex
	values map[string]string // id: token, value
	next   int
}

func (o *ocean) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	who := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case who == "revoked-token-123":
		w.WriteHeader(401)
		_, _ = fmt.Fprint(w, `{"id":"unauthorized","message":"Unable to authenticate you"}`)
	case r.URL.Path == "/v2/domains/example.com":
		_, _ = fmt.Fprint(w, `{"domain":{"name":"example.com"}}`)
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/records"):
		l := []any{}
		for id, v := range o.values {
			n, _ := strconv.Atoi(id)
			l = append(l, map[string]any{"id": n, "type": "TXT", "data": v[strings.Index(v, " ")+1:]})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"domain_records": l})
	case r.Method == http.MethodPost:
		var in struct{ Data string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		o.next++
		o.values[strconv.Itoa(o.next)] = who + " " + in.Data
		w.WriteHeader(201)
		_, _ = fmt.Fprint(w, `{}`)
	case r.Method == http.MethodDelete:
		delete(o.values, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		w.WriteHeader(204)
	default:
		w.WriteHeader(404)
		_, _ = fmt.Fprint(w, `{"id":"not_found","message":"not found"}`)
	}
}

func TestTwoSetsOfCredentialsAtOnce(t *testing.T) {
	o := &ocean{values: map[string]string{}}
	s := httptest.NewServer(o)
	defer s.Close()
	// What stands in our own environment must not reach a child.
	t.Setenv("DO_AUTH_TOKEN", "revoked-token-123")
	var wg sync.WaitGroup
	for i := range 4 {
		token := fmt.Sprintf("token-number-%d", i%2)
		l := lego(t, "good", map[string]string{"DO_AUTH_TOKEN": token, "DO_API_URL": s.URL}, time.Minute)
		wg.Go(func() {
			if err := l.Present(t.Context(), legoName, fmt.Sprintf("value-of-%s-%d", token, i)); err != nil {
				t.Errorf("present: %v", err)
			}
		})
	}
	wg.Wait()
	for _, v := range o.values {
		who, value, _ := strings.Cut(v, " ")
		if !strings.HasPrefix(value, "value-of-"+who) {
			t.Errorf("%s was written as %s", value, who)
		}
	}
	if len(o.values) != 4 {
		t.Fatalf("%d values", len(o.values))
	}
	l := lego(t, "good", map[string]string{"DO_AUTH_TOKEN": "token-number-0", "DO_API_URL": s.URL}, time.Minute)
	for i := range 4 {
		wg.Go(func() {
			if err := l.Withdraw(t.Context(), legoName, fmt.Sprintf("value-of-token-number-%d-%d", i%2, i)); err != nil {
				t.Errorf("withdraw: %v", err)
			}
		})
	}
	wg.Wait()
	if len(o.values) != 0 {
		t.Errorf("left: %v", o.values)
	}
	bad := lego(t, "good", map[string]string{"DO_AUTH_TOKEN": "revoked-token-123", "DO_API_URL": s.URL}, time.Minute)
	tr := assure.TroubleOf(bad.Present(t.Context(), legoName, legoValue), "")
	if tr == nil || tr.Class != assure.TroubleExpired || tr.Reason != assure.CredentialExpiring || !strings.Contains(tr.Remedy, "DO_AUTH_TOKEN") {
		t.Errorf("%+v", tr)
	}
}

func TestTheChildsEnvironment(t *testing.T) {
	t.Setenv("NOTAFTER_SECRET", "do-not-pass-me")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "nor-me")
	l := lego(t, "environment", map[string]string{"DO_AUTH_TOKEN": "token-number-0", "DO_TTL": "33"}, time.Minute)
	tr := assure.TroubleOf(l.Present(t.Context(), legoName, legoValue), "")
	if tr == nil {
		t.Fatal("no answer")
	}
	for _, want := range []string{"DO_TTL=33", "PATH=", "DO_AUTH_TOKEN=[redacted]"} {
		if !strings.Contains(tr.Detail, want) {
			t.Errorf("%s is not in %s", want, tr.Detail)
		}
	}
	for _, not := range []string{"do-not-pass-me", "nor-me", "token-number-0"} {
		if strings.Contains(tr.Detail, not) {
			t.Errorf("%s is in %s", not, tr.Detail)
		}
	}
}

func TestAChildThatDoesNotDoItsWork(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]struct {
		class assure.TroubleClass
		text  string
	}{
		"crash":     {assure.TroubleTransient, "ended without an answer, with exit status 2: panic: token [redacted]"},
		"killed":    {assure.TroubleTransient, "ended without an answer, with signal: killed"},
		"garbage":   {assure.TroubleBroken, "answered what is no answer"},
		"empty":     {assure.TroubleBroken, "answered nothing"},
		"undecided": {assure.TroubleBroken, "neither yes nor no"},
		"twice":     {assure.TroubleBroken, "more than one answer"},
		"long":      {assure.TroubleBroken, "more than 65536 bytes"},
		"loose":     {assure.TroubleTransient, "your token is [redacted] [2J yyy"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := lego(t, kind, map[string]string{"DO_AUTH_TOKEN": "token-number-0"}, time.Minute)
			tr := assure.TroubleOf(l.Present(t.Context(), legoName, legoValue), "")
			if tr == nil || tr.Class != want.class || tr.Reason != assure.DNSWriteFailed || !strings.Contains(tr.Detail, want.text) {
				t.Fatalf("%+v", tr)
			}
			b, _ := json.Marshal(tr)
			if strings.Contains(string(b), "token-number-0") || len(b) > 4000 || strings.Contains(string(b), `\u001b`) || tr.RetryAfter > 24*time.Hour {
				t.Errorf("%s", b)
			}
			if kind != "loose" && !tr.Happened {
				t.Error("whether the write happened is not known, and that is not told")
			}
		})
	}
}

func TestNewLegoRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    LegoOptions
		want string
	}{
		{LegoOptions{Provider: "nobody", Command: []string{"x"}}, `no DNS provider "nobody"`},
		{LegoOptions{Provider: "vultr", Settings: map[string]string{"VULTR_API_KEY": "k"}}, "no command"},
		{LegoOptions{Provider: "vultr", Command: []string{"x"}}, "VULTR_API_KEY"},
		{LegoOptions{Provider: "vultr", Command: []string{"x"}, Settings: map[string]string{"VULTR_API_KEY": "k", "VULTR_KEY": "k"}}, `no setting "VULTR_KEY"`},
	} {
		if _, err := NewLego(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	l, err := NewLego(LegoOptions{Provider: "vultr", Command: []string{"/nonexistent/notafter"}, Settings: map[string]string{"VULTR_API_KEY": "key-123456"}})
	if err != nil {
		t.Fatal(err)
	}
	if tr := assure.TroubleOf(l.Present(t.Context(), legoName, legoValue), ""); tr == nil || tr.Happened || !strings.Contains(tr.Detail, "start the DNS writer's child") {
		t.Errorf("%+v", tr)
	}
	if l.Who() != "the credential for Vultr" {
		t.Errorf("who: %s", l.Who())
	}
}

func FuzzOneAnswer(f *testing.F) {
	for _, s := range []string{`{"ok":true}`, `{"ok":false,"trouble":{"class":"denied","detail":"x"}}`, `{"ok":true}{}`, "", "null", `{"ok":true,"trouble":{}}`} {
		f.Add([]byte(s))
	}
	l := &Lego{provider: legochild.Providers()[1], mask: newMask(legochild.Providers()[1], map[string]string{"CF_DNS_API_TOKEN": "secret-token-1"})}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := oneAnswer(b)
		if err != nil || a.OK {
			return
		}
		tr := assure.TroubleOf(l.told(legoName, a.Trouble), "")
		if tr.Class == "" || tr.Reason == "" || len(tr.Error()) > 2000 || strings.ContainsAny(tr.Error(), "\n\x1b") || strings.Contains(tr.Error(), "secret-token-1") {
			t.Fatalf("%+v", tr)
		}
	})
}
