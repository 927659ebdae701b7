package legochild

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// serviceAccount is a key of a Google service account whose tokens come from the given address.
func serviceAccount(t *testing.T, tokens string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "prod", "client_email": "renewer@prod.iam.gserviceaccount.com", "token_uri": tokens,
		"private_key_id": "0123456789abcdef", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tokenServer gives a token, or what answer says.
func tokenServer(t *testing.T, answer *reply, token string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if answer.status != 0 {
			answer.send(w)
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"accessToken":%q,"token_type":"Bearer","expires_in":3600,"expireTime":"2099-01-01T00:00:00Z"}`, token, token)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTokensThatAreNotGiven(t *testing.T) {
	t.Parallel()
	var google, act, ovhcloud reply
	z := &zone{write: anyWrite}
	gcloudSet := Settings{
		"GCE_SERVICE_ACCOUNT": serviceAccount(t, tokenServer(t, &google, "ya29.google-token")), "GCE_API_URL": z.serve(t, gcloudStandin(t, z)),
	}
	acting := Settings{
		"GCE_SERVICE_ACCOUNT": gcloudSet["GCE_SERVICE_ACCOUNT"], "GCE_API_URL": gcloudSet["GCE_API_URL"],
		"GCE_IMPERSONATE_SERVICE_ACCOUNT": "dns@prod.iam.gserviceaccount.com", "GCE_IAM_URL": tokenServer(t, &act, "ya29.google-token-of-dns"),
	}
	m := http.NewServeMux()
	m.Handle("/auth/oauth2/token", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if ovhcloud.status != 0 {
			ovhcloud.send(w)
			return
		}
		_, _ = fmt.Fprint(w, `{"access_token":"t","token_type":"Bearer","expires_in":60}`)
	}))
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("%s came without a token", r.URL)
		}
		send(w, 404, object{"message": "This service does not exist"})
	})
	s := httptest.NewServer(m)
	defer s.Close()
	ovhSet := Settings{"OVH_ENDPOINT": s.URL, "OVH_CLIENT_ID": "EU.0123", "OVH_CLIENT_SECRET": "secret-123456"}

	for _, set := range []Settings{gcloudSet, acting} {
		if tr := do(t, find(t, "gcloud"), set, Present, name, ours); tr != nil {
			t.Fatal(tr)
		}
	}
	if tr := do(t, find(t, "ovh"), ovhSet, Present, name, ours); tr == nil || tr.Class != assure.TroubleMissing {
		t.Errorf("ovh: %+v", tr)
	}
	refused := reply{400, nil, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`}
	down := reply{503, nil, `{}`}
	denied := reply{403, nil, `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getAccessToken' denied","status":"PERMISSION_DENIED"}}`}
	for _, c := range []struct {
		code   string
		set    Settings
		who    *reply
		reply  reply
		class  assure.TroubleClass
		reason assure.Reason
	}{
		{"gcloud", gcloudSet, &google, refused, assure.TroubleExpired, assure.CredentialExpiring},
		{"gcloud", gcloudSet, &google, down, assure.TroubleTransient, assure.DNSWriteFailed},
		{"gcloud", acting, &act, denied, assure.TroubleDenied, assure.DNSWriteDenied},
		{"ovh", ovhSet, &ovhcloud, refused, assure.TroubleExpired, assure.CredentialExpiring},
		{"ovh", ovhSet, &ovhcloud, down, assure.TroubleTransient, assure.DNSWriteFailed},
	} {
		*c.who = c.reply
		tr := do(t, find(t, c.code), c.set, Present, name, extra)
		if tr == nil || tr.Class != c.class || tr.Reason != c.reason || tr.Happened {
			t.Errorf("%s, %s: %+v", c.code, c.reply.body, tr)
		}
		*c.who = reply{}
	}
}
