package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func renewalOf(t *testing.T, s *Server, name, query string) renewalDoc {
	t.Helper()
	var d renewalDoc
	r := fetch(s, "GET", "/api/v1/certificates/"+name+"/renewal"+query, "", nil)
	if r.Code != 200 {
		t.Fatalf("the renewal of %s gives %d: %s", name, r.Code, r.Body)
	}
	if err := json.Unmarshal(r.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRenewalByAPI(t *testing.T) {
	s := newServer(t, renewingWorld(), nil)
	d := renewalOf(t, s, renewedFine, "")
	if len(d.Attempts) != 20 || d.Attempts[0].Kind != "rehearse_permission" || d.Attempts[0].Rung != "permission" || d.Attempts[0].Outcome != "done" || len(d.Attempts[0].Steps) != 1 {
		t.Errorf("the attempts are %+v", d.Attempts)
	}
	if d.State.Due == nil || d.State.Window == nil || d.State.Window.Explanation == "" || d.State.Left == nil || *d.State.Left != 33 || d.State.Verdict != "upheld" {
		t.Errorf("the state is %+v", d.State)
	}
	for i, r := range d.Ladder {
		if r.Level != i || !r.On || r.Every == nil || r.Last == nil || r.Next == nil || r.Verdict != "upheld" || r.Outcome != "done" {
			t.Errorf("rung %d is %+v", i, r)
		}
	}
	d = renewalOf(t, s, renewedDenied, "?limit=3")
	if len(d.Attempts) != 3 || d.State.Unproven == nil || d.State.UnprovenBy.Identity != renewerObject || d.State.UnprovenBy.Action != renewerAction || d.State.Verdict != "broken" {
		t.Errorf("after the grant was lost: %+v", d.State)
	}
	if r := d.Ladder[1]; r.Outcome != "failed" || r.Verdict != "broken" || r.Next.Sub(*r.Last) != 100*time.Second {
		t.Errorf("the rung that failed is %+v", r) // it is climbed again three times as often
	}
	if r := d.Ladder[4]; r.On || r.Every != nil || r.Next != nil || r.Verdict != "" {
		t.Errorf("a rung that is off is %+v", r)
	}
	d = renewalOf(t, s, renewedFailing, "")
	if tr := d.State.LastTrouble; d.State.Failures != 4 || tr == nil || tr.RetryAfter == nil || *tr.RetryAfter != 6*3600 || !strings.HasSuffix(tr.Docs, "rate_limited.md") {
		t.Errorf("the failing one is %+v", d.State)
	}
	d = renewalOf(t, s, renewedRunning, "")
	if a := d.Attempts[0]; a.Outcome != "running" || a.Ended != nil || a.Took != 23 || d.State.Running == nil || d.State.ForcedBy != "Bo" {
		t.Errorf("the running one is %+v", a)
	}
	if d = renewalOf(t, s, renewedFirst, ""); d.State.Left != nil || d.State.IssueVerdict != "broken" {
		t.Errorf("the first one is %+v", d.State)
	}
	for name, want := range map[string]string{"watched-only": "does not renew this certificate itself", "none": "nothing of that name"} {
		if r := fetch(s, "GET", "/api/v1/certificates/"+name+"/renewal", "", nil); r.Code != 404 || !strings.Contains(r.Body.String(), want) {
			t.Errorf("%s gives %d %s", name, r.Code, r.Body)
		}
	}
}

func TestAskByAPI(t *testing.T) {
	w := renewingWorld()
	s := newServer(t, w, nil)
	post := func(path, body string) (int, wishDoc) {
		t.Helper()
		r := fetch(s, "POST", "/api/v1/certificates/"+path, body, map[string]string{"Content-Type": "application/json"})
		var d wishDoc
		if err := json.Unmarshal(r.Body.Bytes(), &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return r.Code, d
	}
	code, d := post(renewedFine+"/renew", `{"force": true, "who": "Ana"}`)
	if code != 202 || !d.Begins || !d.Since.Equal(worldNow) || d.After != w.attempts[renewedFine][0].ID {
		t.Errorf("to force a renewal gives %d %+v", code, d)
	}
	if code, d = post(renewedFine+"/renew", `{"who": "Ana"}`); code != 202 || d.Begins || d.Due == nil || d.Why == "" {
		t.Errorf("a renewal that is not due gives %d %+v", code, d)
	}
	if code, d = post(renewedFailing+"/renew", `{"who": "Ana"}`); code != 202 || !d.Begins {
		t.Errorf("a renewal that is due gives %d %+v", code, d)
	}
	if code, _ = post(renewedFine+"/rehearse", `{"who": "Ana"}`); code != 202 {
		t.Errorf("a rehearsal gives %d", code)
	}
	if code, _ = post(renewedFine+"/rehearse", `{"who": "Ana", "rungs": ["canary", "static", "canary"]}`); code != 202 {
		t.Errorf("a rehearsal of two rungs gives %d", code)
	}
	want := []string{
		"renew hosted-de for Ana, force true", "renew hosted-de for Ana, force false", "renew hosted-it for Ana, force false",
		"rehearse hosted-de for Ana []", "rehearse hosted-de for Ana [rehearse_static rehearse_canary]",
	}
	if !slices.Equal(w.wishes, want) {
		t.Errorf("asked for were %q", w.wishes)
	}
	if len(w.log) != 5 || w.log[0].Action != "renew" || w.log[0].Who != "Ana" || w.log[0].Object != renewedFine || w.log[0].Detail != "now" || w.log[0].Remote != "127.0.0.1" || w.log[4].Detail != "static, canary" {
		t.Errorf("the audit log holds %+v", w.log)
	}
	for path, x := range map[string]struct {
		body string
		code int
	}{
		renewedFine + "/renew":        {`{"force": true}`, 422}, // nobody signs in, and nobody says who it is
		renewedFine + "/rehearse":     {`{"who": "Ana", "rungs": ["sixth"]}`, 422},
		renewedDenied + "/renew":      {`{"who": "Ana", "force": "yes"}`, 422},
		"watched-only/renew":          {`{"who": "Ana", "force": true}`, 404},
		"watched-only/rehearse":       {`{"who": "Ana"}`, 404},
		"none/rehearse":               {`{"who": "Ana"}`, 404},
		renewedRunning + "/rehearse":  {`{"who": "` + strings.Repeat("a", 81) + `"}`, 422},
		renewedQuietly + "/renew":     {``, 422},
		renewedFirst + "/rehearse?x=": {`{"who": "Ana"}`, 422},
	} {
		if code, _ := post(path, x.body); code != x.code {
			t.Errorf("%s with %q gives %d, want %d", path, x.body, code, x.code)
		}
	}
	if len(w.wishes) != len(want) || len(w.log) != 5 {
		t.Errorf("what was refused was asked for all the same: %q", w.wishes[len(want):])
	}
	w.fail = errors.New("disk on fire")
	if r := fetch(s, "POST", "/api/v1/certificates/"+renewedFine+"/renew", `{"who": "Ana"}`, map[string]string{"Content-Type": "application/json"}); r.Code != 500 || strings.Contains(r.Body.String(), "fire") {
		t.Errorf("a broken store gives %d %s", r.Code, r.Body)
	}
}

// refusing is a renewer that does nothing it is asked for.
type refusing struct{ err error }

func (r refusing) Renew(context.Context, string, string, bool) error { return r.err }

func (r refusing) Rehearse(context.Context, string, string, []assure.AttemptKind) error { return r.err }

func (r refusing) RollOver(context.Context, string) error { return r.err }

func (r refusing) Register(context.Context, string) error { return r.err }

// TestAccountByAPI: an account is changed for whoever says who it is, and what the authority says is told.
func TestAccountByAPI(t *testing.T) {
	w := renewingWorld()
	s := newServer(t, w, nil)
	post := func(path, body string) *httptest.ResponseRecorder {
		return fetch(s, "POST", "/api/v1/renewers/"+path, body, map[string]string{"Content-Type": "application/json"})
	}
	for path, want := range map[string]int{"letsencrypt/account/roll-over": 200, "letsencrypt/account/register": 200, "nobody/account/register": 404, "letsencrypt/account/close": 404} {
		if r := post(path, `{"who": "Ana"}`); r.Code != want {
			t.Errorf("%s gives %d, want %d: %s", path, r.Code, want, r.Body)
		}
	}
	if r := post("letsencrypt/account/register", `{}`); r.Code != 422 {
		t.Errorf("without a name: %d", r.Code)
	}
	slices.Sort(w.wishes)
	if !slices.Equal(w.wishes, []string{"register letsencrypt", "roll over letsencrypt"}) {
		t.Errorf("asked for were %q", w.wishes)
	}
	w.fail = &assure.Trouble{Reason: assure.AccountInvalid, Class: assure.TroubleMissing, Detail: "the authority knows no such account"}
	if r := post("letsencrypt/account/roll-over", `{"who": "Ana"}`); r.Code != 502 || !strings.Contains(r.Body.String(), "knows no such account") {
		t.Errorf("what the authority refuses gives %d %s", r.Code, r.Body)
	}
}

// TestRenewerRefuses: what a renewer refuses is said, on the page and by the API, and stays in the audit log as asked for.
func TestRenewerRefuses(t *testing.T) {
	for err, want := range map[error]int{assure.ErrConflict: 409, assure.ErrNotFound: 404, errors.New("disk on fire"): 500, fmt.Errorf("write: %w", assure.ErrFull): 503} {
		w := renewingWorld()
		s := newServer(t, w, func(o *Options) { o.Renewer = refusing{fmt.Errorf("renew: %w", err)} })
		token := hidden(part(t, s, renewedFine), "csrf")
		for _, what := range []string{"renew", "rehearse"} {
			api := fetch(s, "POST", "/api/v1/certificates/"+renewedFine+"/"+what, `{"who": "Ana"}`, map[string]string{"Content-Type": "application/json"})
			page := fetch(s, "POST", "/certificates/"+renewedFine+"/"+what, "who=Ana&csrf="+token, map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
			if api.Code != want || page.Code != want || strings.Contains(api.Body.String()+page.Body.String(), "fire") {
				t.Errorf("%s with %q gives %d by the API and %d on the page, want %d", what, err, api.Code, page.Code, want)
			}
		}
		if len(w.log) != 4 {
			t.Errorf("%q: the audit log holds %+v", err, w.log)
		}
	}
}

// TestNothingRenewedHere: without a renewer nothing of it is offered.
func TestNothingRenewedHere(t *testing.T) {
	s := newServer(t, renewingWorld(), func(o *Options) { o.Renewals, o.Renewer = nil, nil })
	for _, path := range []string{"/renewal", "/renew", "/rehearse"} {
		method := "POST"
		if path == "/renewal" {
			method = "GET"
		}
		if r := fetch(s, method, "/api/v1/certificates/"+renewedFine+path, "", nil); r.Code != 404 {
			t.Errorf("%s gives %d", path, r.Code)
		}
		if slices.ContainsFunc(s.operations(), func(o operation) bool { return strings.HasSuffix(o.Path, path) }) {
			t.Errorf("%s is on the page about the API", path)
		}
	}
	if body := fetch(s, "GET", "/certificates/"+renewedFine, "", nil).Body.String(); strings.Contains(body, "Renew now") {
		t.Error("the page offers a renewal")
	}
}
