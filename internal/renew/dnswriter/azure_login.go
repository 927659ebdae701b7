package dnswriter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Kinds of credentials for Azure.
const (
	// AzureDefault tries environment variables, workload identity, managed identity and the command line tools, in the
	// order of azidentity's DefaultAzureCredential.
	AzureDefault = "default"
	// AzureWorkload exchanges a Kubernetes service account's token. What is empty comes from the environment that the
	// workload identity webhook sets: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE.
	AzureWorkload = "workload_identity"
	// AzureManaged asks the machine's metadata service; Client chooses a user-assigned identity.
	AzureManaged = "managed_identity"
	// AzureSecret signs in with an application's secret.
	AzureSecret = "client_secret"
)

// AzureCredential says how to sign in.
type AzureCredential struct {
	Kind      string // one of the kinds above; empty means [AzureDefault]
	Tenant    string // a GUID or a domain
	Client    string // the application's (client) id, not its object id
	Secret    string // for AzureSecret
	TokenFile string // for AzureWorkload
}

// Bounds of one request. Resource Manager answers reads and writes of record sets within seconds; its own limit is 60 s.
const (
	azureTimeout = 45 * time.Second
	azureBody    = 4 << 20 // bytes; an answer about one record set or grant has a few kB
)

// azureTransport carries requests with a limit on time and size, and follows no redirect: Azure sends none, and one would carry
// the secret to wherever it points.
type azureTransport struct{ client *http.Client }

// newAzureTransport returns a transporter that goes through c; nil means a client of our own.
func newAzureTransport(c *http.Client) *azureTransport {
	own := http.Client{}
	if c != nil {
		own = *c
	}
	if own.Timeout <= 0 {
		own.Timeout = azureTimeout
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &azureTransport{&own}
}

func (b *azureTransport) Do(r *http.Request) (*http.Response, error) {
	resp, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, azureBody)
	return resp, nil
}

// azureNoRetries turns the SDK's own retries off: it would repeat a 429 within the request and hide it, while whoever called
// us has to slow down.
func azureNoRetries() policy.RetryOptions { return policy.RetryOptions{MaxRetries: -1} }

// Environment is the cloud as the SDK's clients want it.
func (o AzureOptions) Environment() (cloud.Configuration, error) {
	var c cloud.Configuration
	switch strings.ToLower(o.Cloud) {
	case "", "public":
		c = cloud.AzurePublic
	case "china":
		c = cloud.AzureChina
	case "usgovernment":
		c = cloud.AzureGovernment
	default:
		return c, fmt.Errorf("cloud %q is not known (want public, china or usgovernment)", o.Cloud)
	}
	if o.Endpoint == "" && o.Authority == "" {
		return c, nil
	}
	for _, setting := range [][2]string{{"endpoint", o.Endpoint}, {"authority", o.Authority}} {
		what, address := setting[0], setting[1]
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
			return c, fmt.Errorf("%s: want an https address: endpoint and authority are set together", what)
		}
	}
	endpoint := strings.TrimRight(o.Endpoint, "/")
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: strings.TrimRight(o.Authority, "/") + "/",
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: endpoint, Audience: endpoint},
		},
	}, nil
}

// Login makes a credential that has nothing cached and asks for a new token each time it is asked for one. The clients
// that use it keep their token until it ends, so that each client signs in once. A permission check that signs in through
// the same function asks as the same identity.
//
// What cannot be avoided: the metadata service of a virtual machine caches tokens itself, for up to a day.
func (o AzureOptions) Login() (azcore.TokenCredential, error) {
	env, err := o.Environment()
	if err != nil {
		return nil, err
	}
	client := policy.ClientOptions{Cloud: env, Retry: azureNoRetries(), Transport: newAzureTransport(o.Client)}
	private := o.Authority != "" // a private cloud's authority is not known to the public one that would be asked about it
	c := o.Credential
	var cred azcore.TokenCredential
	switch c.Kind {
	case "", AzureDefault:
		cred, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: client, TenantID: c.Tenant, DisableInstanceDiscovery: private,
		})
	case AzureWorkload:
		cred, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: client, TenantID: c.Tenant, ClientID: c.Client, TokenFilePath: c.TokenFile, DisableInstanceDiscovery: private,
		})
	case AzureManaged:
		m := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: client}
		if c.Client != "" {
			m.ID = azidentity.ClientID(c.Client)
		}
		cred, err = azidentity.NewManagedIdentityCredential(m)
	case AzureSecret:
		if c.Tenant == "" || c.Client == "" || c.Secret == "" {
			return nil, errors.New("a client secret needs the tenant, the client id and the secret")
		}
		cred, err = azidentity.NewClientSecretCredential(c.Tenant, c.Client, c.Secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions: client, DisableInstanceDiscovery: private,
		})
	default:
		return nil, fmt.Errorf("credential kind %q is not known (want %s, %s, %s or %s)", c.Kind, AzureDefault, AzureWorkload, AzureManaged, AzureSecret)
	}
	if err != nil {
		return nil, fmt.Errorf("make the Azure credential: %w", err)
	}
	return anew{cred}, nil
}

// anew asks for a new token each time. The credentials of azidentity share caches, those of managed identities across the
// whole process, and any claim makes them look past these (policy.TokenRequestOptions.Claims). The empty object asks for
// nothing else.
type anew struct{ cred azcore.TokenCredential }

func (a anew) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if o.Claims == "" {
		o.Claims = "{}"
	}
	return a.cred.GetToken(ctx, o)
}

// tokenFile is the file that a workload identity reads; empty when it is another credential.
func (c AzureCredential) tokenFile() string {
	switch {
	case c.Kind != AzureWorkload:
		return ""
	case c.TokenFile != "":
		return c.TokenFile
	}
	return os.Getenv("AZURE_FEDERATED_TOKEN_FILE")
}

// who names the identity as far as it is known without asking.
func (c AzureCredential) who() string {
	id := c.Client
	if id == "" && (c.Kind == AzureWorkload || c.Kind == AzureDefault || c.Kind == "") {
		id = os.Getenv("AZURE_CLIENT_ID")
	}
	switch {
	case id != "":
		return id
	case c.Kind == AzureManaged:
		return "the machine's managed identity"
	}
	return "the default Azure credential"
}
