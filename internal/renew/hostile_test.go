package renew

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// edit passes a request on and changes the body of its answer.
func edit(change func(body []byte) []byte) authority.Action {
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		got := httptest.NewRecorder()
		pass.ServeHTTP(got, r)
		for k, v := range got.Header() {
			if k != "Content-Length" {
				w.Header()[k] = v
			}
		}
		w.WriteHeader(got.Code)
		_, _ = w.Write(change(got.Body.Bytes()))
	}
}

func replacing(from, to string) authority.Action {
	re := regexp.MustCompile(from)
	return edit(func(body []byte) []byte { return re.ReplaceAll(body, []byte(to)) })
}

// A CA, also one that is only rehearsed at, has no say in what is shown at our names: else it could have us prove them to
// another CA, for an account that is not ours.
func TestACAChoosesNotWhatIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	w.proxy.Add(authority.Fault{At: authority.Authorization, Times: -1, Do: replacing(`"token": ?"`, `"keyAuthorization": "token.of-somebody-else", "token": "`)})
	got, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.verify(got, "a.example") // the CA found what our own key makes of its token
	w.clean()
}

// What a CA sends may be anything. It is told as the CA's fault, nothing is written for it, nothing that it made is taken,
// and nothing is left behind.
func TestAHostileCA(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		faults  []authority.Fault
		clock   time.Duration // by how much ours is off
		says    string
		written bool // a challenge was shown before
	}{
		"a proof for another name":      {faults: []authority.Fault{{At: authority.Authorization, Times: -1, Do: replacing(`a\.example`, `bank.example`)}}, says: `"bank.example", which nobody ordered`},
		"a proof for a top-level":       {faults: []authority.Fault{{At: authority.Authorization, Times: -1, Do: replacing(`"a\.example"`, `"example"`)}}, says: `"example", which nobody ordered`},
		"a proof for an address":        {faults: []authority.Fault{{At: authority.Authorization, Times: -1, Do: replacing(`"type": ?"dns",\s*"value": ?"a\.example"`, `"type":"ip","value":"10.0.0.1"`)}}, says: `"10.0.0.1", which nobody ordered`},
		"a token that is a page":        {faults: []authority.Fault{{At: authority.Authorization, Times: -1, Do: replacing(`"token": ?"[^"]*"`, `"token":"<script>alert(1)</script>"`)}}, says: "the token"},
		"addresses in the network here": {faults: []authority.Fault{{At: authority.NewOrder, Do: replacing(`https://[^"]*/authZ/`, `http://127.0.0.1:1/authZ/`)}}, says: "not https"},
		"authorizations without end":    {faults: []authority.Fault{{At: authority.NewOrder, Do: replacing(`"authorizations": ?\[`, `"authorizations":[`+strings.Repeat(`"https://ca.example/z",`, 200))}}, says: "cannot be"},
		"no authorization":              {faults: []authority.Fault{{At: authority.NewOrder, Do: replacing(`"authorizations": ?\[[^\]]*\]`, `"authorizations":[]`)}}, says: "cannot be"},
		"a chain of a megabyte":         {faults: []authority.Fault{{At: authority.Download, Do: edit(func(b []byte) []byte { return bytes.Repeat(b, 1+1<<20/len(b)) })}}, says: "1 MiB", written: true},
		"a chain of a hundred":          {faults: []authority.Fault{{At: authority.Download, Do: edit(func(b []byte) []byte { return bytes.Repeat(b, 50) })}}, says: "no chain", written: true},
		"a key in the chain":            {faults: []authority.Fault{{At: authority.Download, Do: replacing(`CERTIFICATE`, `PRIVATE KEY`)}}, says: "no chain", written: true},
		"somebody else's certificate":   {faults: []authority.Fault{{At: authority.Download, Do: certificate(t, now.Add(-time.Hour), now.Add(time.Hour))}}, says: "another key", written: true},
		"bad nonces for ever":           {faults: []authority.Fault{{At: authority.NewOrder, Times: -1, Do: authority.BadNonce()}}, says: "badNonce"},
		"redirects for ever":            {faults: []authority.Fault{{At: authority.NewOrder, Times: -1, Do: redirect()}}, says: "307"},
		"a directory that redirects":    {faults: []authority.Fault{{At: authority.Directory, Times: -1, Do: redirect()}}, says: "307"},
		"an order that never ends":      {faults: []authority.Fault{{At: authority.PollOrder, Times: -1, Do: replacing(`"status": ?"valid"`, `"status":"processing"`)}, {At: authority.Finalize, Times: -1, Do: replacing(`"status": ?"valid"`, `"status":"processing"`)}}, says: "did not decide", written: true},
		"one that is over":              {clock: 20 * 365 * 24 * time.Hour, says: "before it came", written: true},
		"one that has not begun":        {clock: -48 * time.Hour, says: "begins only at", written: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authority.Options{})
			w.proxy.Add(tc.faults...)
			c := w.ca(func(o *CAOptions) {
				o.PollTimeout = 2 * time.Second
				o.Now = func() time.Time { return time.Now().Add(tc.clock) }
			})
			began := time.Now()
			got, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
			if err == nil {
				t.Fatalf("a certificate was taken: %s", got.ChainPEM)
			}
			t.Log(err)
			if tr := assure.TroubleOf(err, ""); tr.Reason != assure.RenewalFailing || !strings.Contains(tr.Detail, tc.says) {
				t.Errorf("trouble %s %s: %s, want %q", tr.Reason, tr.Class, tr.Detail, tc.says)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			written := slices.ContainsFunc(w.list(), func(e string) bool { return strings.HasPrefix(e, "present ") })
			if written != tc.written {
				t.Errorf("a challenge was shown: %v, want %v", written, tc.written)
			}
			w.clean()
		})
	}
}

func redirect() authority.Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Redirect(w, r, r.URL.Path+"x", http.StatusTemporaryRedirect)
	}
}

// certificate answers with one for the name and a key that nobody here has.
func certificate(t *testing.T, from, to time.Time) authority.Action {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return edit(func([]byte) []byte { return text })
}
