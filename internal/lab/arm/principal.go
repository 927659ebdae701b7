package arm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// principal is an identity that may sign in.
type principal struct {
	client, object string
	secret         string
	ends           time.Time // of the secret; zero: never
	assertions     []string  // federated tokens that are taken for it
	managed        int       // in which order the metadata service came to give tokens for it; zero: it does not
}

// AddPrincipal makes an application that signs in with a secret; an empty secret is never right. Adding it again
// replaces it, and the tokens that it has stay good.
func (s *Server) AddPrincipal(client, object, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.principals[strings.ToLower(client)] = &principal{client: client, object: object, secret: secret}
}

// SetSecret changes when the secret of an application ends, and what it is. A zero time: never.
func (s *Server) SetSecret(client, secret string, ends time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[strings.ToLower(client)]; p != nil {
		p.secret, p.ends = secret, ends
	}
}

// Federate makes the authority take a federated token (a Kubernetes service account's) for the application.
func (s *Server) Federate(client, assertion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[strings.ToLower(client)]; p != nil {
		p.assertions = append(p.assertions, assertion)
	}
}

// Unfederate takes every federated token from the application.
func (s *Server) Unfederate(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[strings.ToLower(client)]; p != nil {
		p.assertions = nil
	}
}

// Manage makes the metadata service give tokens for a principal. The first one managed is the system-assigned one, which
// is given when a request names none.
func (s *Server) Manage(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[strings.ToLower(client)]; p != nil && p.managed == 0 {
		s.managedOnes++
		p.managed = s.managedOnes
	}
}

// RevokeTokens ends every token that was issued so far.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens++
}

// claims are what a token says. Names as in Microsoft's access tokens, and two of our own.
type claims struct {
	Audience   string `json:"aud"`
	Issuer     string `json:"iss"`
	Issued     int64  `json:"iat"`
	NotBefore  int64  `json:"nbf"`
	Expires    int64  `json:"exp"`
	App        string `json:"appid"`
	Object     string `json:"oid"`
	Tenant     string `json:"tid"`
	Version    string `json:"ver"`
	ID         string `json:"uti"`
	Seen       int    `json:"lab_policy"` // the newest policy when it was issued
	Generation int    `json:"lab_tokens"`
}

// issue makes a token in the form of a JSON Web Token. Only this server can check its signature. The caller holds mu.
func (s *Server) issue(p *principal, audience string) (token string, life time.Duration) {
	now := s.opts.Now()
	c := claims{
		Audience: audience, Issuer: "https://sts.windows.net/" + s.opts.Tenant + "/", Issued: now.Unix(), NotBefore: now.Unix(),
		Expires: now.Add(s.opts.TokenLife).Unix(), App: p.client, Object: p.object, Tenant: s.opts.Tenant, Version: "1.0",
		ID: newGUID(), Seen: s.now().version, Generation: s.tokens,
	}
	body, _ := json.Marshal(c) // strings and numbers: cannot fail
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	return text + "." + s.sign(text), s.opts.TokenLife
}

func (s *Server) sign(text string) string {
	h := hmac.New(sha256.New, s.key)
	_, _ = h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// trouble is an error body in Resource Manager's form.
type trouble struct {
	status  int
	code    string
	message string
}

// bearer reads the token of an Authorization header. The caller holds mu.
func (s *Server) bearer(header string) (claims, *trouble) {
	text, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return claims{}, &trouble{401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."}
	}
	signed, mac, _ := cutLast(text, ".")
	if !hmac.Equal([]byte(s.sign(signed)), []byte(mac)) {
		return claims{}, &trouble{401, "InvalidAuthenticationToken", "The access token is invalid."}
	}
	_, payload, _ := strings.Cut(signed, ".")
	var c claims
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return claims{}, &trouble{401, "InvalidAuthenticationToken", "The access token is invalid."}
	}
	if c.Generation != s.tokens || !s.opts.Now().Before(time.Unix(c.Expires, 0)) {
		return claims{}, &trouble{401, "ExpiredAuthenticationToken", "The access token expiry UTC time '" +
			time.Unix(c.Expires, 0).UTC().Format("1/2/2006 3:04:05 PM") + "' is earlier than current UTC time '" +
			s.opts.Now().UTC().Format("1/2/2006 3:04:05 PM") + "'."}
	}
	return c, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
