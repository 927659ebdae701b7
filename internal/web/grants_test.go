package web

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// grantBooks are what permissions rest on, of one renewer.
type grantBooks struct{ list []assure.Expected }

func (b *grantBooks) Expected(_ context.Context, renewer string) ([]assure.Expected, error) {
	if renewer != "" && renewer != "letsencrypt" {
		return nil, nil
	}
	return b.list, nil
}

func (b *grantBooks) AcceptGrants(_ context.Context, renewer, who, _, reason string, at time.Time) ([]assure.Expected, error) {
	if renewer != "letsencrypt" {
		return nil, nil
	}
	return assure.AcceptAll(b.list, who, reason, at), nil
}

func someBooks() *grantBooks {
	one := func(scope string, ago time.Duration, list ...assure.Access) (e assure.Expected) {
		for i, a := range list {
			a.Identity, a.Action, a.Scope = "4f1c", "TXT/write", scope
			e = e.Note("letsencrypt", a, worldNow.Add(time.Duration(i)*time.Minute-ago))
		}
		return e
	}
	by := func(g string) assure.Access {
		return assure.Access{Answer: assure.Allowed, Grants: []string{g}, Whole: true}
	}
	return &grantBooks{[]assure.Expected{
		one("/fine", time.Hour, by("g1")),
		one("/gone", time.Hour, by("g1"), by("g2")),
		one("/lost", time.Hour, by("g1"), assure.Access{Answer: assure.Forbidden}),
		one("/old", 25*time.Hour, by("g1")),
	}}
}

func TestGrantsByAPI(t *testing.T) {
	s := newServer(t, newWorld(), nil)
	call := func(method, path, body string, want int) (d grantsDoc) {
		t.Helper()
		r := fetch(s, method, path, body, map[string]string{"Content-Type": "application/json"})
		if r.Code != want {
			t.Fatalf("%s %s gives %d: %s", method, path, r.Code, r.Body)
		}
		if want == 200 {
			if err := json.Unmarshal(r.Body.Bytes(), &d); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	d := call("GET", "/api/v1/grants", "", 200)
	got := ""
	for _, g := range d.Grants {
		got += g.Scope + " " + g.Verdict + " " + strings.Join(g.Gone, ",") + "; "
	}
	if want := "/fine upheld ; /gone broken g1; /lost broken ; /old unknown ; "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if d := call("GET", "/api/v1/grants?renewer=bind", "", 200); len(d.Grants) != 0 {
		t.Errorf("of another renewer: %+v", d)
	}
	const accept = "/api/v1/renewers/letsencrypt/grants/accept"
	d = call("POST", accept, `{"who": "Ana", "reason": "one role for all"}`, 200)
	if len(d.Grants) != 1 || d.Grants[0].Scope != "/gone" || d.Grants[0].By != "Ana" || d.Grants[0].Reason != "one role for all" || d.Grants[0].Verdict != "upheld" {
		t.Errorf("accepted: %+v", d)
	}
	call("POST", accept, `{"reason": "nobody says who it is"}`, 422)
	call("POST", accept, `{"who": "Ana"}`, 422)
	call("POST", accept, `{"who": "Ana", "reason": ""}`, 422)
	call("POST", accept, `{"who": "Ana", "reason": "`+strings.Repeat("a", 301)+`"}`, 422)

	s = newServer(t, newWorld(), func(o *Options) { o.Grants = nil })
	call("GET", "/api/v1/grants", "", 404)
}
