package arm

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// refusal is an error of the authority (RFC 6749 section 5.2, with Microsoft's additions).
type refusal struct {
	status  int
	code    string // of OAuth, such as invalid_client
	number  int    // of AADSTS
	message string
}

// authority answers requests of the authority and the metadata service; ok is false when the path is none of them.
func (s *Server) authority(w http.ResponseWriter, r *http.Request) (status int, code string, ok bool) {
	path := strings.ToLower(r.URL.Path)
	switch {
	case strings.HasSuffix(path, "/discovery/instance"):
		return send(w, 200, map[string]any{
			"tenant_discovery_endpoint": s.URL() + "/" + s.opts.Tenant + "/v2.0/.well-known/openid-configuration", "api-version": "1.1",
			"metadata": []any{},
		}), "", true
	case strings.HasSuffix(path, "/.well-known/openid-configuration"):
		if tenant := tenantOf(r); !strings.EqualFold(tenant, s.opts.Tenant) {
			status, code = s.refuse(w, noTenant(tenant))
			return status, code, true
		}
		base := s.URL() + "/" + s.opts.Tenant
		return send(w, 200, map[string]any{
			"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token",
			"authorization_endpoint": base + "/oauth2/v2.0/authorize", "jwks_uri": base + "/discovery/v2.0/keys",
		}), "", true
	case path == "/metadata/identity/oauth2/token", path == "/msi/token":
		status, code = s.managed(w, r)
		return status, code, true
	case strings.HasSuffix(path, "/oauth2/v2.0/token"), strings.HasSuffix(path, "/oauth2/token"):
		status, code = s.signIn(w, r)
		return status, code, true
	}
	return 0, "", false
}

// tenantOf is the tenant in the path of a request to the authority.
func tenantOf(r *http.Request) string {
	tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return tenant
}

func noTenant(tenant string) refusal {
	return refusal{400, "invalid_request", 90002, fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant)}
}

// signIn gives a token for a secret or a federated assertion (grant client_credentials).
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) (int, string) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		return s.refuse(w, refusal{400, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'."})
	}
	s.mu.Lock()
	token, life, no := s.judge(r)
	s.mu.Unlock()
	if no != nil {
		return s.refuse(w, *no)
	}
	seconds := int(life / time.Second)
	return send(w, 200, map[string]any{"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}), ""
}

// judge decides about a request for a token. The caller holds mu.
func (s *Server) judge(r *http.Request) (string, time.Duration, *refusal) {
	f := r.PostForm
	if tenant := tenantOf(r); !strings.EqualFold(tenant, s.opts.Tenant) {
		no := noTenant(tenant)
		return "", 0, &no
	}
	if g := f.Get("grant_type"); g != "client_credentials" {
		return "", 0, &refusal{400, "unsupported_grant_type", 70003, fmt.Sprintf("The app requested an unsupported grant type '%s'.", g)}
	}
	client := f.Get("client_id")
	p := s.principals[strings.ToLower(client)]
	if p == nil {
		return "", 0, &refusal{400, "unauthorized_client", 700016, fmt.Sprintf("Application with identifier '%s' was not found in the directory 'Lab'.", client)}
	}
	switch assertion := f.Get("client_assertion"); {
	case assertion != "":
		if f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || !slices.Contains(p.assertions, strings.TrimSpace(assertion)) {
			return "", 0, &refusal{401, "invalid_client", 700213, "No matching federated identity record found for presented assertion subject. Check your federated identity credential Subject, Audience and Issuer against the presented assertion."}
		}
	case p.secret == "" || f.Get("client_secret") != p.secret:
		return "", 0, &refusal{401, "invalid_client", 7000215, fmt.Sprintf("Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", client)}
	case !p.ends.IsZero() && !s.opts.Now().Before(p.ends):
		return "", 0, &refusal{401, "invalid_client", 7000222, fmt.Sprintf("The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.", client)}
	}
	token, life := s.issue(p, strings.TrimSuffix(f.Get("scope"), "/.default"))
	return token, life, nil
}

func (s *Server) refuse(w http.ResponseWriter, no refusal) (int, string) {
	trace := newGUID()
	at := s.opts.Now().UTC().Format("2006-01-02 15:04:05Z")
	status := send(w, no.status, map[string]any{
		"error":             no.code,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", no.number, no.message, trace, trace, at),
		"error_codes":       []int{no.number}, "timestamp": at, "trace_id": trace, "correlation_id": trace,
		"error_uri": fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", no.number),
	})
	return status, "AADSTS" + strconv.Itoa(no.number)
}

// managed gives a token as the metadata service of virtual machines does (header Metadata) or as App Service does (header
// X-IDENTITY-HEADER, any value).
func (s *Server) managed(w http.ResponseWriter, r *http.Request) (int, string) {
	q := r.URL.Query()
	if r.Header.Get("Metadata") == "" && r.Header.Get("X-IDENTITY-HEADER") == "" {
		return send(w, 400, map[string]any{"error": "bad_request_102", "error_description": "Required metadata header not specified"}), "bad_request_102"
	}
	s.mu.Lock()
	var p *principal
	for _, x := range s.principals {
		wanted := q.Get("client_id") == "" || strings.EqualFold(q.Get("client_id"), x.client)
		if x.managed > 0 && wanted && (p == nil || x.managed < p.managed) {
			p = x
		}
	}
	if p == nil {
		s.mu.Unlock()
		return send(w, 400, map[string]any{"error": "invalid_request", "error_description": "Identity not found"}), "invalid_request"
	}
	token, life := s.issue(p, q.Get("resource"))
	ends := s.opts.Now().Add(life).Unix()
	s.mu.Unlock()
	return send(w, 200, map[string]any{
		"access_token": token, "client_id": p.client, "expires_in": strconv.Itoa(int(life / time.Second)),
		"expires_on": strconv.FormatInt(ends, 10), "resource": q.Get("resource"), "token_type": "Bearer",
	}), ""
}
