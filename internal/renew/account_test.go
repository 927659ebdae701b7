package renew

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

func TestTheAccountIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	first, err := w.ca().AccountURL(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.ca().AccountURL(deadline(t)) // another process
	if err != nil || first != second {
		t.Errorf("the second process has %q, the first %q: %v", second, first, err)
	}
	a := w.book.only(t)
	if a.Location != first || a.Contact != "ops@example.com" || a.Directory != w.proxy.Directory() {
		t.Errorf("on record is %+v", a)
	}
	if bytes.Contains(a.Key, []byte("PRIVATE KEY")) || !bytes.HasPrefix(a.Key, []byte("age-encryption.org/v1")) {
		t.Error("the key is not sealed")
	}
	if got := w.authority.Contacts(first); len(got) != 1 || got[0] != "mailto:ops@example.com" {
		t.Errorf("the CA has the contacts %q", got)
	}
	if n := w.proxy.Seen(authority.NewAccount); n != 1 {
		t.Errorf("%d requests for an account, want 1: a known one needs none", n)
	}
}

// TestRegistrationIsInterrupted loses answers and fails the ledger in both ways. Whatever it is, the next process ends
// up with one account on record that the CA knows.
func TestRegistrationIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, break_ := range map[string]func(*world){
		"the answer of the CA is lost": func(w *world) {
			w.proxy.Add(authority.Fault{At: authority.NewAccount, Times: 10, Do: authority.Lose()})
		},
		"the CA is not reached": func(w *world) {
			w.proxy.Add(authority.Fault{At: authority.NewAccount, Times: 10, Do: authority.Reset()})
		},
		"the key is not stored":                     func(w *world) { w.fail(tripOn("account", 1, false)) },
		"the key is stored, the answer lost":        func(w *world) { w.fail(tripOn("account", 1, true)) },
		"the address is not stored":                 func(w *world) { w.fail(tripOn("account", 2, false)) },
		"the address is stored, the answer is lost": func(w *world) { w.fail(tripOn("account", 2, true)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authority.Options{})
			break_(w)
			first, _ := w.ca().AccountURL(deadline(t))
			w.proxy.Mend()
			w.fail(nil)
			got, err := w.ca().AccountURL(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			if first != "" && first != got {
				t.Errorf("there are two accounts, %s and %s", first, got)
			}
			if a := w.book.only(t); a.Location != got {
				t.Errorf("on record is %s, in use %s", a.Location, got)
			}
			if _, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestExternalAccount(t *testing.T) {
	t.Parallel()
	key := base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	w := newWorld(t, authority.Options{EAB: map[string]string{"kid-1": key}})
	_, err := w.ca().AccountURL(deadline(t))
	wantTrouble(t, err, assure.AccountInvalid, assure.TroubleMissing, "external", "eab.key_id", "eab.hmac")
	_, err = w.ca(func(o *CAOptions) {
		o.EABKeyID, o.EABKey = "kid-1", base64.URLEncoding.EncodeToString([]byte("wrong 6789abcdef0123456789abcdef"))
	}).AccountURL(deadline(t))
	wantTrouble(t, err, assure.AccountInvalid, assure.TroubleDenied, "the external account kid-1 was not taken", "eab.key_id", "eab.hmac")
	_, err = w.ca(func(o *CAOptions) { o.EABKeyID, o.EABKey = "kid-2", key }).AccountURL(deadline(t))
	wantTrouble(t, err, assure.AccountInvalid, assure.TroubleDenied, "the external account kid-2 was not taken", "eab.key_id", "eab.hmac")
	good := w.ca(func(o *CAOptions) { o.EABKeyID, o.EABKey = "kid-1", key+"=" })
	// The key is not part of what an account is found by: the right one goes on where the wrong one failed.
	if _, err := good.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
		t.Error(err)
	}
}

func TestOptionsOfACA(t *testing.T) {
	t.Parallel()
	base := CAOptions{Directory: "https://ca.example/dir", Accounts: newBook(&diary{}), Sealer: &AgeSealer{}}
	if _, err := NewCA(base); err != nil {
		t.Fatal(err)
	}
	secret := "not*base64*SECRET"
	for name, change := range map[string]func(*CAOptions){
		"plain http":         func(o *CAOptions) { o.Directory = "http://ca.example/dir" },
		"no host":            func(o *CAOptions) { o.Directory = "https:///dir" },
		"a key without id":   func(o *CAOptions) { o.EABKey = "AAAA" },
		"an id without key":  func(o *CAOptions) { o.EABKeyID = "kid" },
		"a key of nonsense":  func(o *CAOptions) { o.EABKeyID, o.EABKey = "kid", secret },
		"nowhere to keep it": func(o *CAOptions) { o.Accounts = nil },
	} {
		o := base
		change(&o)
		if _, err := NewCA(o); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRollover changes the key while answers are lost and the ledger fails in both ways. Afterwards this process and a
// new one can both order.
func TestRollover(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		break_ func(*world)
		works  bool
	}{
		"nothing fails":                  {func(*world) {}, true},
		"the CA's answer is lost":        {func(w *world) { w.proxy.Add(authority.Fault{At: authority.KeyChange, Do: authority.Lose()}) }, true},
		"every answer of the CA is lost": {func(w *world) { w.proxy.Add(authority.Fault{At: authority.KeyChange, Times: -1, Do: authority.Lose()}) }, true},
		"the CA is not reached": {func(w *world) {
			w.proxy.Add(authority.Fault{At: authority.KeyChange, Times: -1, Do: authority.Reset()})
		}, false},
		"the next key is not stored":          {func(w *world) { w.fail(tripOn("account", 1, false)) }, false},
		"the next key is stored, answer lost": {func(w *world) { w.fail(tripOn("account", 1, true)) }, true},
		"the end is not stored":               {func(w *world) { w.fail(tripOn("account", 2, false)) }, false},
		"the end is stored, answer lost":      {func(w *world) { w.fail(tripOn("account", 2, true)) }, true},
		"the answer is lost and then the ledger": {func(w *world) {
			w.proxy.Add(authority.Fault{At: authority.KeyChange, Times: -1, Do: authority.Lose()})
			w.fail(tripOn("account", 2, false))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authority.Options{})
			c := w.ca()
			url, err := c.AccountURL(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			before := w.book.only(t)
			tc.break_(w)
			if err := c.Rollover(deadline(t)); (err == nil) != tc.works {
				t.Errorf("rollover: %v", err)
			}
			w.proxy.Mend()
			w.fail(nil)
			for who, c := range map[string]*CA{"this process": c, "the next process": w.ca()} {
				if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
					t.Errorf("%s: %v", who, err)
				}
				if got, _ := c.AccountURL(deadline(t)); got != url {
					t.Errorf("%s has the account %s, want %s", who, got, url)
				}
			}
			if err := w.ca().Rollover(deadline(t)); err != nil {
				t.Errorf("rollover afterwards: %v", err)
			}
			if a := w.book.only(t); bytes.Equal(a.Key, before.Key) || a.NextKey != nil {
				t.Error("the key is the old one, or a next one is still on record")
			}
		})
	}
}

func TestAnotherProcessChangedTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	if _, err := c.AccountURL(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := w.ca().Rollover(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca(func(o *CAOptions) { o.Profile = "default" })
	look := func() (string, []assure.Step) {
		s := &steps{all: c.Check(deadline(t))}
		return s.text(), s.all
	}
	if got, s := look(); got != "directory:done account:done" || !strings.Contains(s[0].Detail, "terms") {
		t.Errorf("a good CA: %s, %+v", got, s)
	}
	w.proxy.SetCAAIdentities("ca.example", "ca.example.net")
	w.proxy.WithoutProfile("default")
	got, s := look()
	if got != "directory:failed account:done" {
		t.Errorf("without the profile: %s", got)
	}
	wantTrouble(t, s[0].Trouble, assure.RenewalFailing, assure.TroubleMissing, "default")
	if ids, err := c.Identities(deadline(t)); err != nil || strings.Join(ids, " ") != "ca.example ca.example.net" {
		t.Errorf("identities are %q: %v", ids, err)
	}
	w.proxy.Mend()
	if got, _ := look(); got != "directory:done account:done" {
		t.Errorf("with the profile back: %s", got)
	}
	w.proxy.Add(authority.Fault{At: authority.Directory, Times: -1, Do: authority.Unavailable("120")})
	if got, s = look(); got != "directory:failed account:skipped" {
		t.Errorf("a CA that is down: %s", got)
	}
	if tr := wantTrouble(t, s[0].Trouble, assure.RenewalFailing, assure.TroubleTransient, "503"); tr.RetryAfter.Seconds() != 120 {
		t.Errorf("it asked to come back in 120 s, and we say %s", tr.RetryAfter)
	}
	if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
		t.Errorf("orders stop when only the directory is down: %v", err)
	}
	w.proxy.Mend()
	url, err := c.AccountURL(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.authority.DeactivateAccount(url); err != nil {
		t.Fatal(err)
	}
	if got, s = look(); got != "directory:done account:failed" {
		t.Errorf("a deactivated account: %s", got)
	}
	wantTrouble(t, s[1].Trouble, assure.AccountInvalid, assure.TroubleDenied, url)
	_, err = w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
	wantTrouble(t, err, assure.AccountInvalid, assure.TroubleDenied, url)
}

func TestACAThatForgotTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	old, err := w.ca().AccountURL(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	a := w.book.only(t)
	a.Location = old + "x" // as after the CA lost its memory
	if err := w.book.PutAccount(deadline(t), a); err != nil {
		t.Fatal(err)
	}
	c := w.ca()
	_, err = c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
	wantTrouble(t, err, assure.AccountInvalid, assure.TroubleMissing, "Register")
	if err := c.Register(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
		t.Error(err)
	}
}

func TestAKeyThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	if _, err := w.ca().AccountURL(deadline(t)); err != nil {
		t.Fatal(err)
	}
	other := w.ca(func(o *CAOptions) { o.Sealer = newSealer(t) })
	_, err := other.AccountURL(deadline(t))
	wantTrouble(t, err, assure.AccountInvalid, assure.TroubleInvalid, "another identity", "age")
}

func TestNoKeyIsLogged(t *testing.T) {
	t.Parallel()
	key := base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	w := newWorld(t, authority.Options{EAB: map[string]string{"kid-1": key}})
	c := w.ca(func(o *CAOptions) { o.EABKeyID, o.EABKey = "kid-1", key })
	var s steps
	if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), s.add); err != nil {
		t.Fatal(err)
	}
	if err := c.Rollover(deadline(t)); err != nil {
		t.Fatal(err)
	}
	said := w.log.String() + s.text()
	for _, st := range s.all {
		said += st.Detail
	}
	for _, bad := range []string{"PRIVATE", key, "AGE-SECRET", "signature"} {
		if strings.Contains(said, bad) {
			t.Errorf("%q was said: %s", bad, said)
		}
	}
	if !strings.Contains(said, "registered") {
		t.Error("the log does not tell that an account was registered")
	}
}

func TestContactIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	url, err := c.AccountURL(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	c.o.Contact = "new@example.com"
	s := &steps{all: c.Check(deadline(t))}
	if got := w.authority.Contacts(url); s.text() != "directory:done account:done" || len(got) != 1 || got[0] != "mailto:new@example.com" {
		t.Errorf("the CA has %q: %s", got, s.text())
	}
}

// TestADirectoryWithRandomEntries is what Let's Encrypt gives: no answer is like the one before. The nonces of the client
// and its connections go on all the same.
func TestADirectoryWithRandomEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	n := 0
	w.proxy.EditDirectory(func(d map[string]any) { n++; d[strings.Repeat("x", n)] = "https://community.example/random" })
	c := w.ca()
	c.Check(deadline(t))
	first := c.dir.client
	c.Check(deadline(t))
	if n < 2 || c.dir.client != first {
		t.Errorf("after %d answers there is another client", n)
	}
	w.proxy.SetCAAIdentities("other.example")
	c.Check(deadline(t))
	if ids, err := c.Identities(deadline(t)); err != nil || len(ids) != 1 || ids[0] != "other.example" {
		t.Errorf("identities are %q: %v", ids, err)
	}
}
