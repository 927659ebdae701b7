package legochild

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

func find(t *testing.T, code string) Provider {
	t.Helper()
	p, ok := Find(code)
	if !ok {
		t.Fatalf("no provider %s", code)
	}
	return p
}

// script writes a program that does what the lines say.
func script(t *testing.T, lines string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAProgramOfTheUsers(t *testing.T) {
	t.Parallel()
	p := find(t, "exec")
	log := filepath.Join(t.TempDir(), "log")
	good := Settings{"EXEC_PATH": script(t, `echo "$@" >> `+log)}
	for _, a := range []string{Present, Withdraw} {
		if tr := do(t, p, good, a, name, ours); tr != nil {
			t.Fatal(tr)
		}
	}
	got, _ := os.ReadFile(log)
	if want := "present " + name + ". " + ours + "\ncleanup " + name + ". " + ours + "\n"; string(got) != want {
		t.Errorf("called with %q", got)
	}
	bad := Settings{"EXEC_PATH": script(t, `echo "zone is locked" >&2; exit 3`)}
	tr := do(t, p, bad, Present, name, ours)
	if tr == nil || tr.Class != assure.TroubleTransient || !tr.Happened || !strings.Contains(tr.Detail, "exit status 3: zone is locked") {
		t.Errorf("%+v", tr)
	}
	if tr := do(t, p, Settings{"EXEC_PATH": "/nonexistent/hook"}, Withdraw, name, ours); tr == nil || tr.Class != assure.TroubleInvalid || tr.Remedy == "" {
		t.Errorf("a program that is not there: %+v", tr)
	}
	loud := Settings{"EXEC_PATH": script(t, `head -c 300000 /dev/zero | tr '\0' x; exit 1`)}
	if tr := do(t, p, loud, Present, name, ours); tr == nil || len(tr.Detail) > 1000 {
		t.Errorf("%+v", tr)
	}
}

func TestAServiceOfTheUsers(t *testing.T) {
	t.Parallel()
	p := find(t, "httpreq")
	var status int
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		u, pw, _ := r.BasicAuth()
		got = append(got, r.Method+" "+r.URL.Path+" "+u+":"+pw+" "+string(b))
		w.Header().Set("Retry-After", "8")
		w.WriteHeader(status)
	}))
	defer s.Close()
	set := Settings{"HTTPREQ_ENDPOINT": s.URL + "/hook/", "HTTPREQ_USERNAME": "ana", "HTTPREQ_PASSWORD": "s3cret!"}
	for _, c := range []struct {
		status int
		class  assure.TroubleClass
	}{
		{200, ""},
		{204, ""},
		{401, assure.TroubleExpired},
		{403, assure.TroubleDenied},
		{404, assure.TroubleInvalid},
		{409, assure.TroubleConflict},
		{429, assure.TroubleThrottled},
		{500, assure.TroubleTransient},
	} {
		status = c.status
		for _, a := range []string{Present, Withdraw} {
			tr := do(t, p, set, a, name, ours)
			if c.class == "" != (tr == nil) || tr != nil && tr.Class != c.class {
				t.Errorf("%s, HTTP %d: %+v", a, c.status, tr)
			}
			if tr != nil && tr.Happened != (c.status == 500) {
				t.Errorf("%s, HTTP %d: happened %v", a, c.status, tr.Happened)
			}
		}
	}
	want := `POST /hook/present ana:s3cret! {"fqdn":"` + name + `.","value":"` + ours + `"}`
	if got[0] != want || !strings.HasPrefix(got[1], "POST /hook/cleanup ") {
		t.Errorf("asked with %q", got[:2])
	}
}

func TestAcmeDNS(t *testing.T) {
	t.Parallel()
	p := find(t, "acmedns")
	const place = "d420c923-bbd7-4056-ab64-c3ca54c9b3cf.auth.example.org"
	answer := reply{200, nil, `{"txt":"` + ours + `"}`}
	var got map[string]string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/accounts" {
			_ = json.NewEncoder(w).Encode(map[string]any{"example.com": map[string]string{
				"fulldomain": place, "subdomain": strings.Split(place, ".")[0], "username": "c36f50e8", "password": "pw-1234567890",
			}})
			return
		}
		b, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(b, &got)
		if r.URL.Path != "/update" || r.Header.Get("X-Api-User") != "c36f50e8" || r.Header.Get("X-Api-Key") != "pw-1234567890" {
			t.Errorf("%s %v", r.URL.Path, r.Header)
		}
		answer.send(w)
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "accounts.json")
	account := `{"example.com":{"fulldomain":"` + place + `","subdomain":"` + strings.Split(place, ".")[0] + `","username":"c36f50e8","password":"pw-1234567890"}}`
	if err := os.WriteFile(file, []byte(account), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, set := range []Settings{
		{"ACME_DNS_API_BASE": s.URL, "ACME_DNS_STORAGE_PATH": file},
		{"ACME_DNS_API_BASE": s.URL, "ACME_DNS_STORAGE_BASE_URL": s.URL + "/accounts"},
	} {
		answer = reply{200, nil, `{"txt":"` + ours + `"}`}
		if tr := do(t, p, set, Present, place, ours); tr != nil || got["txt"] != ours || got["subdomain"] != strings.Split(place, ".")[0] {
			t.Fatalf("present: %v %v", tr, got)
		}
		if tr := do(t, p, set, Withdraw, place, ours); tr != nil {
			t.Fatal(tr)
		}
		for _, c := range []struct {
			reply reply
			class assure.TroubleClass
		}{
			{reply{401, nil, `{"error":"unauthorized"}`}, assure.TroubleExpired},
			{reply{403, nil, `{"error":"forbidden: pw-1234567890"}`}, assure.TroubleDenied},
			{reply{429, nil, `{"error":"slow down"}`}, assure.TroubleThrottled},
			{reply{409, nil, `{"error":"conflict"}`}, assure.TroubleConflict},
			{reply{500, nil, `{"error":"db_error"}`}, assure.TroubleTransient},
		} {
			answer = c.reply
			tr := do(t, p, set, Present, place, ours)
			if tr == nil || tr.Class != c.class || tr.Identity != "c36f50e8" || strings.Contains(tr.Error(), "pw-1234567890") {
				t.Errorf("HTTP %d: %+v", c.reply.status, tr)
			}
		}
	}
	set := Settings{"ACME_DNS_API_BASE": s.URL, "ACME_DNS_STORAGE_PATH": file}
	if tr := do(t, p, set, Present, "_acme-challenge.example.com", ours); tr == nil || !strings.Contains(tr.Remedy, "CNAME "+place) {
		t.Errorf("without the alias: %+v", tr)
	}
	if tr := do(t, p, set, Present, "other.auth.example.org", ours); tr == nil || tr.Class != assure.TroubleMissing {
		t.Errorf("without an account: %+v", tr)
	}
	if tr := do(t, p, set, Present, place, "canary"); tr == nil || tr.Class != assure.TroubleInvalid {
		t.Errorf("a short value: %+v", tr)
	}
}
