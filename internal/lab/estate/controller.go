package estate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// Controller renews the certificates of [Site]s in the Azure zone as a cluster's certificate controller does that nobody
// watches: it writes its challenges as the estate's identity, and what goes wrong it tells whoever called, as one would
// tell a log. It never says that anything is wrong to anybody else. Use one from one goroutine.
type Controller struct {
	estate  *Estate
	http    *http.Client
	client  acmez.Client
	account acme.Account
	zone    string // the resource id of the zone
	net     *http.Transport
}

// Controller registers an account and returns a controller. Close it when done.
func (e *Estate) Controller(ctx context.Context) (*Controller, error) {
	pool := x509.NewCertPool()
	for _, file := range []string{e.CARoots, e.AzureRoots} {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		pool.AppendCertsFromPEM(data)
	}
	c := &Controller{estate: e, zone: e.Azure.ZoneScope(Group, AzureZone), net: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	c.http = &http.Client{Transport: c.net, Timeout: 10 * time.Second}
	c.client = acmez.Client{
		Client:           &acme.Client{Directory: e.CAProxy.Directory(), HTTPClient: c.http, PollInterval: 50 * time.Millisecond},
		ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeDNS01: c},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if c.account, err = c.client.NewAccount(ctx, acme.Account{PrivateKey: key, TermsOfServiceAgreed: true}); err != nil {
		return nil, fmt.Errorf("register the controller's account: %w", err)
	}
	return c, nil
}

// Close ends its connections.
func (c *Controller) Close() { c.net.CloseIdleConnections() }

// Renew orders a certificate for a site, puts it where the site reads it and has it read. The error is what a controller
// writes to its log.
func (c *Controller) Renew(ctx context.Context, s *Site) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := acmez.NewCSR(key, s.Names)
	if err != nil {
		return err
	}
	order, err := acmez.OrderParametersFromCSR(c.account, csr)
	if err != nil {
		return err
	}
	order.Profile = Profile
	chains, err := c.client.ObtainCertificate(ctx, order)
	if err != nil {
		return fmt.Errorf("order for %s: %w", s.Name, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := errors.Join(os.WriteFile(s.Fullchain, chains[0].ChainPEM, 0o600), os.WriteFile(s.Key, block, 0o600)); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, s.Reload[0], s.Reload[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("reload %s: %w: %s", s.Name, err, out)
	}
	return nil
}

// Present writes the challenge of an order. It is called by the ACME client.
func (c *Controller) Present(ctx context.Context, ch acme.Challenge) error {
	return c.record(ctx, http.MethodPut, ch.DNS01TXTRecordName(), ch.DNS01KeyAuthorization())
}

// CleanUp takes it away again.
func (c *Controller) CleanUp(ctx context.Context, ch acme.Challenge) error {
	return c.record(ctx, http.MethodDelete, ch.DNS01TXTRecordName(), "")
}

// record changes a record set as the controller's identity (Azure DNS, RecordSets, api-version 2018-05-01).
func (c *Controller) record(ctx context.Context, method, name, value string) error {
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	relative := strings.TrimSuffix(strings.TrimSuffix(name, "."), "."+AzureZone)
	var body io.Reader
	if method == http.MethodPut {
		b, err := json.Marshal(map[string]any{"properties": map[string]any{"TTL": 1, "TXTRecords": []any{map[string]any{"value": []string{value}}}}})
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.estate.Azure.URL()+c.zone+"/TXT/"+relative+"?api-version=2018-05-01", body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	_, err = c.do(req)
	return err
}

// token signs in (OAuth 2.0 client credentials, RFC 6749 section 4.4).
func (c *Controller) token(ctx context.Context) (string, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {ClientID}, "client_secret": {ClientSecret}, "scope": {c.estate.Azure.URL() + "/.default"},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.estate.Azure.URL()+"/"+c.estate.Azure.Tenant()+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, err := c.do(req)
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", err
	}
	return answer.Token, nil
}

func (c *Controller) do(req *http.Request) ([]byte, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= http.StatusBadRequest {
		var answer struct {
			Error struct{ Code, Message string } `json:"error"`
		}
		_ = json.Unmarshal(body, &answer)
		return nil, fmt.Errorf("%s: %s: %s", res.Status, answer.Error.Code, answer.Error.Message)
	}
	return body, nil
}
