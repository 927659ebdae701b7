package housetest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serveTLS answers TLS handshakes on loopback with a self-signed certificate for 127.0.0.1, and gives its address and
// the certificate as PEM.
func serveTLS(t *testing.T, notBefore, notAfter time.Time) (address string, certificate []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(notAfter.UnixNano()), Subject: pkix.Name{CommonName: "readme"}, NotBefore: notBefore, NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				_, _ = io.Copy(io.Discard, conn) // the handshake happens on the first read
			}()
		}
	}()
	return l.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

const day = 24 * time.Hour

func TestExitStatusesAreAsShown(t *testing.T) {
	now := time.Now()
	good, root := serveTLS(t, now.Add(-10*day), now.Add(80*day))
	expired, _ := serveTLS(t, now.Add(-90*day), now.Add(-day))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	_ = closed.Close()
	dir := t.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(roots, root, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want int
		says string
	}{
		"all is upheld":            {[]string{good}, 0, `"upheld"`},
		"something is broken":      {[]string{good, expired}, 1, `"expired"`},
		"wrong use":                {[]string{"gopher://" + good}, 2, ""},
		"could not be determined":  {[]string{good, nobody}, 3, `"unreachable"`},
		"broken outweighs unknown": {[]string{expired, nobody}, 1, `"unreachable"`},
		"the time is an argument":  {[]string{"--at", "+75d", good}, 1, `"expiring"`},
	} {
		t.Run(name, func(t *testing.T) {
			out := notafter(t, dir, nil, append([]string{"check", "--roots", roots, "--revocation", "off"}, c.args...)...)
			if out.code != c.want || !strings.Contains(out.stdout, c.says) {
				t.Errorf("status %d, want %d, saying %s:\n%s%s", out.code, c.want, c.says, out.stdout, out.stderr)
			}
		})
	}
}

// ntfyMessage is what a server of ntfy is given (docs.ntfy.sh/publish, "Publish as JSON").
type ntfyMessage struct {
	Topic    string `json:"topic"`
	Title    string `json:"title"`
	Message  string `json:"message"`
	Priority int    `json:"priority"`
}

var shownPath = regexp.MustCompile(`http://127\.0\.0\.1:8710(/[a-z0-9/._-]*[a-z0-9])`)

// TestTenMinutesToAPage follows the README's own steps with its own file: only the endpoint and the server of ntfy are
// replaced by ones on this machine, and the port by a free one.
func TestTenMinutesToAPage(t *testing.T) {
	pages := make(chan ntfyMessage, 16)
	phone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m ntfyMessage
		if r.Method == http.MethodPost && json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&m) == nil {
			select {
			case pages <- m:
			default:
			}
		}
		_, _ = io.WriteString(w, `{"id":"x","success":true,"healthy":true}`)
	}))
	defer phone.Close()
	expired, _ := serveTLS(t, time.Now().Add(-90*day), time.Now().Add(-day))

	var file string
	for _, b := range blocks(t, "yaml") {
		if b.page == "README.md" && strings.Contains(b.text, "phone:") {
			file = b.text
		}
	}
	for _, r := range [][2]string{
		{"[example.com, smtp://mx.example.com:587]", "[" + expired + "]"},
		{`topic: "env:NTFY_TOPIC"`, `topic: "env:NTFY_TOPIC", server: "` + phone.URL + `"`},
	} {
		if !strings.Contains(file, r[0]) {
			t.Fatalf("the README's file does not hold %q any more:\n%s", r[0], file)
		}
		file = strings.Replace(file, r[0], r[1], 1)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dashboard := free.Addr().String()
	_ = free.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notafter.yaml"), []byte(file+"listen: "+dashboard+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := command(ctx, t, dir, []string{"NTFY_TOPIC=unguessable"}, "serve", "-c", "notafter.yaml")
	var log strings.Builder
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			log.WriteString(s.Text() + "\n")
		}
	}()
	stop := func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-logged
		return cmd.Wait()
	}
	// The endpoint is wrong in two ways, and each is a page of its own: this one is about expiry.
	for told := false; !told; {
		select {
		case m := <-pages:
			if m.Topic != "unguessable" || m.Priority != 5 {
				t.Errorf("the page is not urgent, or goes to the wrong topic: %+v", m)
			}
			told = strings.Contains(m.Message, "expired 1d")
		case <-logged:
			t.Fatalf("notafter ended by itself (%v):\n%s", cmd.Wait(), log.String())
		case <-ctx.Done():
			t.Fatalf("no page in time (%v):\n%s", stop(), log.String())
		}
	}

	shown := map[string]bool{}
	walk(t, ".md", func(_ string, data []byte) {
		for _, m := range shownPath.FindAllSubmatch(data, -1) {
			shown[string(m[1])] = true
		}
	})
	if len(shown) == 0 {
		t.Error("the documentation shows no address of the dashboard")
	}
	for path := range shown {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dashboard+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("GET %s: %v", path, err)
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode >= 400 && res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the documentation shows %s, which answers %s", path, res.Status)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("notafter did not end well when asked to: %v:\n%s", err, log.String())
	}
}
