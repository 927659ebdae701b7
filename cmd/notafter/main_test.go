package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"notafter": func() { os.Exit(run()) }})
}

// authority issues what the servers of these tests serve.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Root"}, NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue makes a certificate for name; a nil authority makes it self-signed.
func (a *authority) issue(t *testing.T, name string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, signer := tmpl, crypto.Signer(key)
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS shakes hands with whoever comes and returns the port.
func serveTLS(t *testing.T, cert tls.Certificate) int {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// serveSilence accepts connections and never says a word. Each one that it accepted is told on the channel.
func serveSilence(t *testing.T) (port int, accepted chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = make(chan struct{}, 100)
	var open []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			accepted <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range open {
			_ = c.Close()
		}
	})
	return l.Addr().(*net.TCPAddr).Port, accepted
}

// closedPort is one that nobody listens on.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// serveAPI answers as the API of a running notafter does.
func serveAPI(t *testing.T) string {
	t.Helper()
	answer := func(w http.ResponseWriter, code int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
	const incident = `{"id":"k3f7q2","cause":"life/x","state":%q,"link":"serving","reason":"expired","severity":"page","stage":"outage",` +
		`"since":"2026-10-08T14:02:00Z","opened_at":"2026-10-08T14:03:00Z","summary":"The certificate for a.example\u001b[31m expired.","impact":"","action":"","basis":"","acknowledged_at":null,"resolved_at":null%s}`
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/incidents", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer t0ken":
			answer(w, http.StatusUnauthorized, `{"title":"Unauthorized","status":401,"detail":"a token is needed"}`)
		case r.URL.Query().Get("state") == "open":
			answer(w, http.StatusOK, `{"incidents":[`+fmt.Sprintf(incident, "open", "")+`],"total":1}`)
		default:
			answer(w, http.StatusOK, `{"incidents":[],"total":0}`)
		}
	})
	mux.HandleFunc("GET /api/v1/incidents/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "k3f7q2" {
			answer(w, http.StatusNotFound, `{"title":"Not Found","status":404,"detail":"there is no such incident"}`)
			return
		}
		answer(w, http.StatusOK, `{"incident":`+fmt.Sprintf(incident, "open", "")+`}`)
	})
	mux.HandleFunc("POST /api/v1/incidents/{id}/acknowledge", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.PathValue("id") != "k3f7q2":
			answer(w, http.StatusNotFound, `{"title":"Not Found","status":404,"detail":"there is no such incident"}`)
		case len(body) < len(`{"who":"x"}`):
			answer(w, http.StatusUnprocessableEntity, `{"title":"Unprocessable Entity","status":422,"detail":"who?"}`)
		default:
			var by struct{ Who string }
			_ = json.Unmarshal(body, &by)
			answer(w, http.StatusOK, fmt.Sprintf(incident, "acknowledged", fmt.Sprintf(`,"acknowledged_by":%q`, by.Who)))
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestScripts(t *testing.T) {
	ca := newAuthority(t)
	now := time.Now()
	pinned := func(name string, port int) string { return fmt.Sprintf("%s:%d@127.0.0.1", name, port) }
	silent, accepted := serveSilence(t)
	env := map[string]string{
		"GOOD":      pinned("good.example", serveTLS(t, ca.issue(t, "good.example", now.Add(-24*time.Hour), now.Add(89*24*time.Hour)))),
		"EXPIRED":   pinned("expired.example", serveTLS(t, ca.issue(t, "expired.example", now.Add(-90*24*time.Hour), now.Add(-50*time.Hour)))),
		"WRONGNAME": pinned("wrong.example", serveTLS(t, ca.issue(t, "right.example", now.Add(-24*time.Hour), now.Add(89*24*time.Hour)))),
		"SELF":      pinned("self.example", serveTLS(t, (*authority)(nil).issue(t, "self.example", now.Add(-24*time.Hour), now.Add(89*24*time.Hour)))),
		"HOSTILE":   pinned("hostile.example", serveTLS(t, ca.issue(t, "evil\x1b[31m.example", now.Add(-24*time.Hour), now.Add(89*24*time.Hour)))),
		"REFUSED":   pinned("refused.example", closedPort(t)),
		"SILENT":    pinned("silent.example", silent),
		"API":       serveAPI(t),
		"FREE":      fmt.Sprintf("127.0.0.1:%d", closedPort(t)),
		"NO_COLOR":  "",
		"TERM":      "xterm",
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			for k, v := range env {
				e.Setenv(k, v)
			}
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			return os.WriteFile(filepath.Join(e.WorkDir, "roots.pem"), ca.pem, 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// answers waits until an address answers with success.
			"answers": func(ts *testscript.TestScript, _ bool, args []string) {
				deadline := time.Now().Add(30 * time.Second)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for {
					resp, err := http.Get(args[0])
					if err == nil {
						_ = resp.Body.Close()
						if resp.StatusCode == http.StatusOK {
							return
						}
						err = errors.New(resp.Status)
					}
					if time.Now().After(deadline) {
						ts.Fatalf("%s does not answer: %v", args[0], err)
					}
					<-tick.C
				}
			},
			// until runs a command until it succeeds and its output matches.
			"until": func(ts *testscript.TestScript, _ bool, args []string) {
				want := regexp.MustCompile(args[0])
				deadline := time.Now().Add(30 * time.Second)
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for {
					err := ts.Exec(args[1], args[2:]...)
					out := ts.ReadFile("stdout")
					if err == nil && want.MatchString(out) {
						return
					}
					if time.Now().After(deadline) {
						ts.Fatalf("%v never says %q: %v, %s", args[1:], args[0], err, out)
					}
					<-tick.C
				}
			},
			// accepted waits until the silent server has a visitor.
			"accepted": func(ts *testscript.TestScript, _ bool, _ []string) {
				select {
				case <-accepted:
				case <-time.After(20 * time.Second):
					ts.Fatalf("nobody came to the silent server")
				}
			},
		},
	})
}

// fakeService stands for the whole product.
type fakeService struct {
	running  chan struct{}
	reloaded chan struct{}
	err      error
}

func (s *fakeService) Run(ctx context.Context) error {
	close(s.running)
	<-ctx.Done()
	return s.err
}

func (s *fakeService) Reload(context.Context) error {
	s.reloaded <- struct{}{}
	return errors.New("n.yaml:1:1: broken")
}

func testProgram(out, errs *bytes.Buffer) *program {
	return &program{
		stdin: strings.NewReader(""), stdout: out, stderr: errs, env: func(string) string { return "" }, login: func() string { return "" },
		now: func() time.Time { return time.Date(2026, 10, 8, 12, 0, 0, 0, time.UTC) },
	}
}
