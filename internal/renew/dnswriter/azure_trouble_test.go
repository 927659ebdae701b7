package dnswriter

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestAzureMessages(t *testing.T) {
	t.Parallel()
	s := parseAzureSaying([]byte(`{"error":{"code":"AuthorizationFailed","message":"The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Network/dnsZones/TXT/write' over scope '/subscriptions/s' or the scope is invalid. If access was recently granted, please refresh your credentials."}}`))
	if r := azureRefusal(s.message); s.code != "AuthorizationFailed" || r != (azureRefused{"o", "Microsoft.Network/dnsZones/TXT/write", "/subscriptions/s"}) {
		t.Errorf("%q %+v", s, r)
	}
	if s = parseAzureSaying([]byte(`{"code":"NotFound","message":"gone."}`)); s != (azureSaying{"NotFound", "gone"}) {
		t.Errorf("%q", s)
	}
	if s = parseAzureSaying([]byte(`{"error":"invalid_client","error_description":"AADSTS7000222: Expired. Trace ID: 1 Correlation ID: 2"}`)); s != (azureSaying{"invalid_client", "AADSTS7000222: Expired"}) {
		t.Errorf("%q", s)
	}
	if at := lockedAt("The scope 'x' cannot perform write operation because following scope(s) are locked: '/a','/b'. Please remove the lock and try again", "?"); at != "/a, /b" {
		t.Errorf("locked at %q", at)
	}
}

func TestAzureRetryAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"none":         {http.Header{}, 0},
		"seconds":      {http.Header{"Retry-After": {"12"}}, 12 * time.Second},
		"milliseconds": {http.Header{"X-Ms-Retry-After-Ms": {"1500"}, "Retry-After": {"9"}}, 1500 * time.Millisecond},
		"date":         {http.Header{"Retry-After": {"Fri, 27 Nov 2026 10:00:30 GMT"}, "Date": {"Fri, 27 Nov 2026 10:00:00 GMT"}}, 30 * time.Second},
		"past":         {http.Header{"Retry-After": {"Fri, 27 Nov 2026 09:00:00 GMT"}, "Date": {"Fri, 27 Nov 2026 10:00:00 GMT"}}, 0},
		"negative":     {http.Header{"Retry-After": {"-5"}}, 0},
		"for ever":     {http.Header{"Retry-After": {"99999999999"}}, azureLongestWait},
		"nonsense":     {http.Header{"Retry-After": {"soon"}}, 0},
	} {
		if got := azureRetryAfter(&http.Response{Header: c.header}); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func FuzzAzureSaying(f *testing.F) {
	for _, s := range []string{
		`{"error":{"code":"ScopeLocked","message":"The scope 'x' cannot perform delete operation because following scope(s) are locked: '/a'. Please remove the lock and try again."}}`,
		`{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: x"}`,
		`{"code":"NotFound","message":"with object id 'o' perform action 'a' over scope 's'"}`, `{"error":null}`, `{"error":{"code":7}}`, "\xff", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := parseAzureSaying(body)
		r := azureRefusal(s.message)
		for _, text := range []string{s.code, s.message, r.identity, r.action, r.scope, lockedAt(s.message, "")} {
			if len(text) > azureLongest+len("…") || !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x00\x1b") {
				t.Errorf("not harmless: %q", text)
			}
		}
	})
}
