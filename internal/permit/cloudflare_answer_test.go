package permit

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/notafter/notafter/internal/assure"
)

// FuzzCloudflarePolicies reads whatever may come for a token: what cannot be understood never allows.
func FuzzCloudflarePolicies(f *testing.F) {
	const zone, account = "023e105f4ecef8ad9ca31a8372d0c353", "01a7362d577a6c3019a474fd6f485823"
	for _, s := range []string{
		`{"policies":[{"effect":"allow","permission_groups":[{"id":"4755a26eedb94da69e1066d98aa820be"}],"resources":{"com.cloudflare.api.account.zone.*":"*"}}]}`,
		`{"policies":[{"effect":"deny","permission_groups":[{"name":"DNS Write"}],"resources":{"com.cloudflare.api.account.01a7362d577a6c3019a474fd6f485823":{"com.cloudflare.api.account.zone.*":"*"}}}]}`,
		`{"policies":[{"effect":"allow","resources":{"com.cloudflare.api.account.*":"*"}}]}`,
		`{"policies":[null]}`, `[]`, ``,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var tok cloudflareToken
		if json.Unmarshal([]byte(s), &tok) != nil {
			return
		}
		a := cloudflareDecide(tok, zone, account)
		if (a.Answer == assure.Allowed) != (a.Trouble == nil) || a.Answer == assure.Allowed && (len(a.Grants) == 0 || len(a.Blockers) > 0) {
			t.Fatalf("%+v", a)
		}
		if a.Answer == assure.Allowed && !strings.Contains(s, "4755a26eedb94da69e1066d98aa820be") && !strings.Contains(s, "DNS") && !strings.Contains(s, `\u`) {
			t.Fatalf("allowed by %s", s)
		}
	})
}

// FuzzWebTrouble makes trouble of whatever an API says when it refuses.
func FuzzWebTrouble(f *testing.F) {
	f.Add(403, `{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}`, "17")
	f.Add(400, `{"success":false,"errors":[{"code":6003,"message":"Invalid request headers"}]}`, "Thu, 08 Oct 2026 09:33:00 GMT")
	f.Add(0, "\x1b[31m", "-1")
	f.Add(429, "", "99999999999999999999")
	f.Fuzz(func(t *testing.T, status int, body, retry string) {
		for _, read := range []func([]byte) string{googleSaid, cloudflareSaid} {
			tr := refused("X", "GET /", &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {retry}}}, read([]byte(body)))
			if tr.Class == "" || tr.Reason == "" || tr.RetryAfter < 0 || len(tr.Detail) > 500 || strings.ContainsAny(tr.Detail, "\n\x1b") {
				t.Fatalf("%+v", tr)
			}
		}
	})
}

func TestAWSDecidesOnlyOnOneAnswer(t *testing.T) {
	t.Parallel()
	for _, list := range [][]types.EvaluationResult{nil, {{}, {}}, {{}}} {
		if a := awsDecide(list); a.Answer != assure.Untold || a.Trouble == nil {
			t.Errorf("%d answers: %+v", len(list), a)
		}
	}
}
