package renew

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// openResponder listens at ports that the system chose, for authorities that look there.
func openResponder(t testing.TB) (r *Responder, httpPort, tlsPort int) {
	t.Helper()
	r = NewResponder(ResponderOptions{HTTP: []string{"127.0.0.1:0"}, TLS: []string{"127.0.0.1:0"}, Always: true})
	if err := r.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	port := func(addrs []string) int {
		a, err := netip.ParseAddrPort(addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		return int(a.Port())
	}
	web, handshake := r.Addrs()
	return r, port(web), port(handshake)
}

func TestResponderForNamesAndAddresses(t *testing.T) {
	t.Parallel()
	r, httpPort, tlsPort := openResponder(t)
	w := newWorld(t, authority.Options{HTTPPort: httpPort, TLSPort: tlsPort})
	c := w.ca()
	for _, s := range []Solver{r.HTTP(), r.TLS()} {
		var st steps
		got, err := c.Issue(deadline(t), Request{Names: []string{"a.example", "b.example", "127.0.0.1"}}, []Solver{s}, st.add)
		if err != nil {
			t.Fatalf("%s: %v", s.Type(), err)
		}
		for _, n := range []string{"a.example", "b.example", "127.0.0.1"} {
			w.verify(got, n)
		}
		if n := strings.Count(st.text(), "withdraw:done"); n != 3 {
			t.Errorf("%s: %d challenges were withdrawn: %s", s.Type(), n, st.text())
		}
	}
	w.clean()
}

func TestResponderListensOnlyWhileChallengesArePending(t *testing.T) {
	t.Parallel()
	r := NewResponder(ResponderOptions{HTTP: []string{"127.0.0.1:0", "127.0.0.1:0"}, TLS: []string{"127.0.0.1:0"}})
	t.Cleanup(r.Close)
	if err := r.Open(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var proofs []*Proof
		for _, token := range []string{"tok-1", "tok-2"} {
			ch := Challenge{Type: ChallengeHTTP01, Name: "a.example"}
			ch.raw.Token = token
			p, err := r.HTTP().Present(context.Background(), ch)
			if err != nil {
				t.Fatal(err)
			}
			proofs = append(proofs, p)
		}
		web, handshake := r.Addrs()
		if len(web) != 2 || len(handshake) != 0 {
			t.Errorf("with two tokens it listens at %q and %q", web, handshake)
		}
		for _, p := range proofs {
			if now, _ := r.Addrs(); len(now) != 2 {
				t.Errorf("with a token left it listens at %q", now)
			}
			if err := p.Withdraw(context.Background()); err != nil {
				t.Error(err)
			}
		}
		if now, _ := r.Addrs(); len(now) != 0 {
			t.Errorf("with no token it listens at %q", now)
		}
		if conn, err := net.DialTimeout("tcp", web[0], time.Second); err == nil {
			conn.Close()
			t.Errorf("somebody still listens at %s", web[0])
		}
	}
}

func TestDNSFirstAndTheResponderForTheRest(t *testing.T) {
	t.Parallel()
	r, httpPort, _ := openResponder(t)
	w := newWorld(t, authority.Options{HTTPPort: httpPort})
	got, err := w.ca().Issue(deadline(t), Request{Names: []string{"*.a.example", "127.0.0.1"}}, append(w.dns(), r.HTTP()), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.verify(got, "x.a.example")
	w.verify(got, "127.0.0.1")
	w.clean()
}

func TestResponderServesNothingElse(t *testing.T) {
	t.Parallel()
	r, _, _ := openResponder(t)
	web, handshake := r.Addrs()
	ch := Challenge{Type: ChallengeHTTP01, Name: "a.example"}
	ch.raw.Token, ch.raw.KeyAuthorization = "tok-1", "tok-1.thumb"
	ch.raw.Identifier.Type, ch.raw.Identifier.Value = "dns", "a.example"
	proof, err := r.HTTP().Present(context.Background(), ch)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.HTTP().Present(context.Background(), ch)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleConflict)
	get := func(method, path string) (int, string) {
		q, err := http.NewRequest(method, "http://"+web[0]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	const base = "/.well-known/acme-challenge/"
	if code, body := get("GET", base+"tok-1"); code != 200 || body != "tok-1.thumb" {
		t.Errorf("the token: %d %q", code, body)
	}
	for _, bad := range []struct{ method, path string }{
		{"GET", "/"}, {"GET", base}, {"GET", base + "tok-2"}, {"GET", base + "tok-1/x"}, {"GET", "/x" + base + "tok-1"}, {"POST", base + "tok-1"}, {"GET", "/tok-1"},
	} {
		if code, body := get(bad.method, bad.path); code != 404 || strings.Contains(body, "thumb") {
			t.Errorf("%s %s: %d %q", bad.method, bad.path, code, body)
		}
	}
	alpn, err := r.TLS().Present(context.Background(), ch)
	if err != nil {
		t.Fatal(err)
	}
	shake := func(name string, protos ...string) error {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", handshake[0], &tls.Config{ServerName: name, NextProtos: protos, InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := shake("A.example", "acme-tls/1"); err != nil {
		t.Errorf("the CA's handshake: %v", err)
	}
	for _, bad := range [][]string{{"a.example"}, {"a.example", "h2"}, {"a.example", "acme-tls/1", "h2"}, {"b.example", "acme-tls/1"}, {"", "acme-tls/1"}} {
		if shake(bad[0], bad[1:]...) == nil {
			t.Errorf("a handshake for %q is answered", bad)
		}
	}
	for _, p := range []*Proof{proof, alpn} {
		if err := p.Withdraw(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if code, _ := get("GET", base+"tok-1"); code != 404 {
		t.Errorf("after it was withdrawn: %d", code)
	}
	ch.raw.Token = "../x"
	_, err = r.HTTP().Present(context.Background(), ch)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleBroken)
	r.Close()
	r.Close()
}

// Whoever shares out the connections decides who gets one, at each address.
func TestResponderSharesItsConnections(t *testing.T) {
	t.Parallel()
	r := NewResponder(ResponderOptions{
		HTTP: []string{"127.0.0.1:0", "127.0.0.1:0"}, TLS: []string{"127.0.0.1:0"}, Always: true,
		Share: func(l net.Listener) net.Listener { return turnsAway{l} },
	})
	if err := r.Open(); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	web, handshake := r.Addrs()
	for _, at := range append(web, handshake...) {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s was not turned away: %v", at, err)
		}
		_ = c.Close()
	}
}

// turnsAway lets nobody in.
type turnsAway struct{ net.Listener }

func (l turnsAway) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		_ = c.Close()
	}
}

func TestResponderThatCannotListen(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorld(t, authority.Options{})
	r := NewResponder(ResponderOptions{HTTP: []string{l.Addr().String()}})
	t.Cleanup(r.Close)
	_, err = w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, []Solver{r.HTTP()}, nil)
	got := wantTrouble(t, err, assure.RenewalFailing, assure.TroubleTransient, l.Addr().String())
	if got.Remedy == "" {
		t.Error("nothing is said about what to do")
	}
	_, err = w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, []Solver{r.TLS()}, nil)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleInvalid, "no address")
}

func TestDNSAccount01(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	got, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example", "*.a.example"}}, w.dns(func(o *DNSOptions) { o.Challenge = ChallengeDNSAccount01 }), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.verify(got, "x.a.example")
	for _, e := range w.list() {
		if strings.HasPrefix(e, "present _acme-challenge") {
			t.Errorf("it was written where other accounts write: %s", e)
		}
	}
	w.clean()
}

func TestDNSPersist01(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{CAAIdentities: []string{"ca.example"}})
	c := w.ca()
	url, err := c.AccountURL(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	solvers := []Solver{PersistSolver{w.zone}}
	value := "ca.example; accounturi=" + url
	_, err = c.Issue(deadline(t), Request{Names: []string{"a.example"}}, solvers, nil)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleMissing, "_validation-persist.a.example", value)
	w.zone.set("_validation-persist.a.example", value)
	if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, solvers, nil); err != nil {
		t.Fatal(err)
	}
	_, err = c.Issue(deadline(t), Request{Names: []string{"*.a.example"}}, solvers, nil)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleMissing, value+"; policy=wildcard")
	w.zone.set("_validation-persist.a.example", value+"; policy=wildcard")
	var s steps
	if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example", "*.a.example"}}, solvers, s.add); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.text(), "withdraw") || len(w.zone.records()) != 1 {
		t.Errorf("a permanent record was withdrawn: %s", s.text())
	}
	if err := c.Authorize(deadline(t), Request{Names: []string{"a.example"}}, solvers, nil); err != nil {
		t.Errorf("rehearsal: %v", err)
	}
}

func TestOptionsOfADNSSolver(t *testing.T) {
	t.Parallel()
	z := &zone{diary: &diary{}}
	if _, err := NewDNSSolver(DNSOptions{DNS: z, Zones: z, Journal: newBook(z.diary), Challenge: ChallengeHTTP01}); err == nil {
		t.Error("http-01 is solved by writing DNS")
	}
	if _, err := NewDNSSolver(DNSOptions{DNS: z, Zones: z}); err == nil {
		t.Error("values are written without a journal")
	}
}
