package permit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/notafter/notafter/internal/assure"
)

// AzureOptions is a zone in Azure DNS and the identity whose rights there are asked about.
type AzureOptions struct {
	Subscription  string // its id
	ResourceGroup string
	Zone          string // its name, with or without a trailing dot
	// Login makes a credential that has cached nothing. It is called for each question, so that no old token answers.
	Login func() (azcore.TokenCredential, error)
	// Object is the object id of the identity that is asked about; empty means the one that signs in. To ask about
	// another one, the one that signs in needs rights to read authorizations.
	Object string
	// Cloud is where Resource Manager is; the zero value means the public cloud.
	Cloud cloud.Configuration
	// Client carries the requests; nil means one of our own.
	Client *http.Client
}

// Actions at a TXT record set that a renewal needs, in the order in which it needs them.
var azureActions = [...]string{
	"Microsoft.Network/dnsZones/TXT/read",
	"Microsoft.Network/dnsZones/TXT/write",
	"Microsoft.Network/dnsZones/TXT/delete",
}

// Azure asks Azure Resource Manager. It asks checkAccess first, which is Azure's own evaluation and names the role
// assignment that carries an action. That is a preview without a public reference, and the built-in role DNS Zone
// Contributor may not call it; where it does not answer, role assignments, role definitions and deny assignments are read
// and evaluated here ([EvaluateAzure]). When checkAccess says no without a deny assignment, these are read as well,
// because it may not know the identity's groups. Where nothing of this may be read, reading the record set itself tells at
// least whether that is allowed. Locks are always read.
//
// What it needs at the zone: Microsoft.Authorization/*/read, which Reader and DNS Zone Contributor have. Nothing is
// retried. Safe for concurrent use.
type Azure struct {
	opts AzureOptions
}

// NewAzure returns an asker. It asks nothing yet; an error is a wrong setting.
func NewAzure(o AzureOptions) (*Azure, error) {
	o.Zone = strings.ToLower(strings.TrimSuffix(o.Zone, "."))
	for _, setting := range [][2]string{{"subscription", o.Subscription}, {"resource group", o.ResourceGroup}, {"zone", o.Zone}} {
		if setting[1] == "" {
			return nil, fmt.Errorf("azure permissions: %s is required", setting[0])
		}
		if strings.ContainsAny(setting[1], "/?#%\\ \t\r\n") {
			return nil, fmt.Errorf("azure permissions: %s %q: not a name", setting[0], setting[1])
		}
	}
	if o.Login == nil {
		return nil, errors.New("azure permissions: a way to sign in is required")
	}
	if strings.ContainsAny(o.Object, "/?#%\\ \t\r\n'()") {
		return nil, fmt.Errorf("azure permissions: object id %q: not an id", o.Object)
	}
	if reflect.ValueOf(o.Cloud).IsZero() {
		o.Cloud = cloud.AzurePublic
	}
	if o.Cloud.Services[cloud.ResourceManager].Endpoint == "" {
		return nil, errors.New("azure permissions: the cloud has no address of Resource Manager")
	}
	return &Azure{opts: o}, nil
}

// scope is the resource id of the zone.
func (a *Azure) scope() string {
	return "/subscriptions/" + a.opts.Subscription + "/resourceGroups/" + a.opts.ResourceGroup + "/providers/Microsoft.Network/dnsZones/" + a.opts.Zone
}

// recordScope is the resource id of the TXT record set at a full name; ok is false when it is not in the zone.
func (a *Azure) recordScope(record string) (scope string, ok bool) {
	n := strings.ToLower(strings.TrimSuffix(record, "."))
	if n == a.opts.Zone {
		return a.scope() + "/TXT/@", true
	}
	rel, ok := strings.CutSuffix(n, "."+a.opts.Zone)
	if !ok || rel == "" || len(n) > 253 || strings.ContainsAny(rel, "/?#%\\ \t\r\n") {
		return a.scope(), false
	}
	return a.scope() + "/TXT/" + rel, true
}

// Ask answers for reading, writing and deleting the TXT record set at record, in this order.
func (a *Azure) Ask(ctx context.Context, record string) []assure.Access {
	scope, ok := a.recordScope(record)
	if !ok {
		return a.untold(scope, a.opts.Object, &assure.Trouble{
			Reason: assure.PermissionUnclear, Class: assure.TroubleInvalid, Scope: scope,
			Detail: fmt.Sprintf("%q is no name in the zone %s", azureText(record), a.opts.Zone),
			Remedy: "Name the zone that holds the record, after aliases, in the DNS writer's settings",
		})
	}
	ctx, cancel := context.WithTimeout(ctx, azureQuestion)
	defer cancel()
	s, t := a.signIn(ctx)
	if t != nil {
		list := a.untold(scope, a.opts.Object, t)
		if t.Reason == assure.CredentialExpiring { // who cannot sign in can write nothing: that is an answer
			for i := range list {
				list[i].Answer = assure.Forbidden
			}
		}
		return list
	}
	return s.ask(ctx, scope)
}

// untold answers that nothing could be asked.
func (a *Azure) untold(scope, identity string, t *assure.Trouble) []assure.Access {
	var list []assure.Access
	for _, action := range azureActions {
		own := *t
		list = append(list, assure.Access{
			Answer: assure.Untold, Identity: identity, Action: action, Scope: scope, Detail: "could not ask: " + t.Detail, Trouble: &own,
		})
	}
	return list
}

// azureSession is one question's sign-in.
type azureSession struct {
	*Azure
	object string // whose rights are asked about
	cred   azcore.TokenCredential
	arm    *arm.Client

	transport *azureTransport
}

// azureToken is a token that is there already.
type azureToken struct{ token azcore.AccessToken }

func (s azureToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return s.token, nil
}

// signIn fetches one token for all requests of a question.
func (a *Azure) signIn(ctx context.Context) (*azureSession, *assure.Trouble) {
	cred, err := a.opts.Login()
	if err != nil {
		return nil, azureTrouble(fmt.Errorf("sign in to Azure: %w", err), a.scope())
	}
	audience := a.opts.Cloud.Services[cloud.ResourceManager].Audience
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}})
	if err != nil {
		return nil, azureTrouble(err, a.scope())
	}
	s := &azureSession{Azure: a, object: a.opts.Object, cred: azureToken{token}, transport: newAzureTransport(a.opts)}
	if s.object == "" {
		s.object = azureObject(token.Token)
	}
	if s.object == "" {
		return nil, &assure.Trouble{
			Reason: assure.PermissionUnclear, Class: assure.TroubleInvalid, Scope: a.scope(),
			Detail: "Azure's token does not tell the object id of the identity",
			Remedy: "Set the object id of the identity that renews",
		}
	}
	if s.arm, err = arm.NewClient("notafter/permit", "v0.0.0", s.cred, s.clientOptions()); err != nil {
		return nil, azureTrouble(fmt.Errorf("make the client: %w", err), a.scope())
	}
	return s, nil
}

// Bounds of one request, and of all that one question leads to.
const (
	azureTimeout  = 45 * time.Second
	azureQuestion = 2 * time.Minute
	azureBodies   = 16 << 20 // bytes; a subscription may have 4,000 role assignments, of about 1 kB each
)

// azureTransport carries the requests of one question, with a limit on time and on what all answers hold together. It
// follows no redirect, as Azure sends none, and goes nowhere but to Resource Manager, wherever a list says that it goes
// on: the token goes along.
type azureTransport struct {
	client http.Client
	home   string // scheme and host
	left   atomic.Int64
}

func newAzureTransport(o AzureOptions) *azureTransport {
	t := &azureTransport{}
	if o.Client != nil {
		t.client = *o.Client
	}
	if t.client.Timeout <= 0 {
		t.client.Timeout = azureTimeout
	}
	t.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if u, err := url.Parse(o.Cloud.Services[cloud.ResourceManager].Endpoint); err == nil {
		t.home = azureHome(u)
	}
	t.left.Store(azureBodies)
	return t
}

func azureHome(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }

func (b *azureTransport) Do(r *http.Request) (*http.Response, error) {
	if azureHome(r.URL) != b.home {
		return nil, fmt.Errorf("%w: the next page is elsewhere", errAzureNonsense)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &azureAnswer{resp.Body, &b.left}
	return resp, nil
}

// azureAnswer is a body that fails when all answers together hold too much.
type azureAnswer struct {
	io.ReadCloser
	left *atomic.Int64
}

func (a *azureAnswer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if a.left.Add(-int64(n)) < 0 {
		return 0, fmt.Errorf("%w: more than %d MiB", errAzureNonsense, azureBodies>>20)
	}
	return n, err
}

func (s *azureSession) clientOptions() *arm.ClientOptions {
	return &arm.ClientOptions{
		ClientOptions:         policy.ClientOptions{Cloud: s.opts.Cloud, Transport: s.transport, Retry: policy.RetryOptions{MaxRetries: -1}},
		DisableRPRegistration: true,
	}
}

// azureObject reads the object id out of an access token, which for Resource Manager is a JSON Web Token (claim oid,
// learn.microsoft.com, "Access token claims reference"). Nothing is trusted on its word: it only says whom to ask about.
func azureObject(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > 64<<10 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return ""
	}
	var claims struct {
		Object string `json:"oid"`
	}
	if json.Unmarshal(raw, &claims) != nil || len(claims.Object) > 64 || strings.ContainsFunc(claims.Object, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return ""
	}
	return claims.Object
}
