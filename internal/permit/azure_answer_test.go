package permit

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/notafter/notafter/internal/assure"
)

func TestAzureDecisionsNameWhatTheyRestOn(t *testing.T) {
	t.Parallel()
	list, err := parseAzureCheck([]byte(`[
		{"actionId":"Microsoft.Network/dnsZones/TXT/read","accessDecision":"Allowed","roleAssignment":{"id":"/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/a"}},
		{"actionId":"MICROSOFT.NETWORK/DNSZONES/TXT/WRITE","accessDecision":"Allowed","roleAssignment":{"id":"0123456789abcdef0123456789abcdef","scope":"/subscriptions/s"},"denyAssignment":null},
		{"actionId":"Microsoft.Network/dnsZones/TXT/delete","accessDecision":"NotAllowed","roleAssignment":null,"denyAssignment":{"id":"d-e","scope":"/subscriptions/s/"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	const at = "/subscriptions/s/providers/Microsoft.Authorization/"
	if list[0].Grants[0] != at+"roleAssignments/a" || list[1].Grants[0] != at+"roleAssignments/01234567-89ab-cdef-0123-456789abcdef" ||
		list[2].Answer != assure.Forbidden || list[2].Blockers[0] != at+"denyAssignments/d-e" || list[2].plainNo {
		t.Errorf("decisions %+v", list)
	}
	for _, bad := range []string{`[]`, `{}`, `""`, `[{"actionId":"Microsoft.Network/dnsZones/TXT/read","accessDecision":"Perhaps"}]`, ``} {
		if list, err := parseAzureCheck([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", bad, list)
		}
	}
}

// FuzzAzureAnswers: whatever answers in Azure's place, nothing breaks and nothing harmful gets through.
func FuzzAzureAnswers(f *testing.F) {
	for _, s := range []string{
		`[{"actionId":"Microsoft.Network/dnsZones/TXT/read","accessDecision":"Allowed","roleAssignment":{"id":"/a"}},{"actionId":"microsoft.network/dnszones/txt/write","accessDecision":"NotAllowed"},{"actionId":"Microsoft.Network/dnsZones/TXT/delete","accessDecision":"Denied","denyAssignment":{"id":"/d"}}]`,
		`[]`, `{"value":[{"id":"/subscriptions/s/providers/Microsoft.Authorization/locks/l","name":"l","properties":{"level":"ReadOnly"}}],"nextLink":"https://elsewhere/"}`,
		`{"error":{"code":"AuthorizationFailed","message":"The client 'c' with object id 'o' does not have authorization to perform action 'a' over scope 's'."}}`,
		`{"error":"invalid_client","error_description":"AADSTS7000222: x. Trace ID: y"}`, `{"value":[{"id":"/providers/microsoft.authorization/locks/"}]}`, "null", "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		harmless := func(texts ...string) {
			for _, s := range texts {
				if len(s) > azureLongest+len("…") || !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00\x1b") {
					t.Errorf("not harmless: %q", s)
				}
			}
		}
		if list, err := parseAzureCheck(body); err == nil {
			for _, c := range list {
				if c.Answer != assure.Allowed && c.Answer != assure.Forbidden {
					t.Errorf("answer %q", c.Answer)
				}
				harmless(c.Grants...)
				harmless(c.Blockers...)
			}
		}
		if list, _, err := parseAzureLocks(body); err == nil {
			for _, l := range list {
				harmless(l.ID, l.Name, l.Scope, l.Level)
			}
		}
		harmless(parseAzureSaid(body))
	})
}

func FuzzAzureToken(f *testing.F) {
	for _, s := range []string{"a.eyJvaWQiOiIwYjFlMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEifQ.c", "a.b.c", "..", "", "opaque"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if id := azureObject(token); strings.ContainsAny(id, "'/()?#% \r\n") || len(id) > 64 {
			t.Errorf("not an id: %q", id)
		}
	})
}
