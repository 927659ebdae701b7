package dnswriter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dns/armdns"

	"github.com/notafter/notafter/internal/assure"
)

// AzureOptions is one public zone in Azure DNS and the identity that writes there.
type AzureOptions struct {
	Subscription  string // its id
	ResourceGroup string
	Zone          string // its name, with or without a trailing dot
	Credential    AzureCredential
	// Cloud is public (also when empty), china or usgovernment.
	Cloud string
	// Endpoint and Authority replace the cloud's addresses of Resource Manager and of the token service, for private
	// clouds and tests. They are set together and are https.
	Endpoint  string
	Authority string
	// Client carries the requests; nil means one of our own.
	Client *http.Client
	// TTL of what we write; zero, and more than a minute, mean a minute: a value must be seen soon, and gone soon. Less
	// than a second is rounded up.
	TTL time.Duration
	// Tries bounds how often a change is tried while others change the same record set; zero means 20.
	Tries int
	// Wait waits between these tries; nil means by the clock. It returns the context's error when that ends first.
	Wait func(ctx context.Context, d time.Duration) error
}

// Rights that are needed at the zone, or at the record set.
const (
	azureRead   = "Microsoft.Network/dnsZones/TXT/read"
	azureWrite  = "Microsoft.Network/dnsZones/TXT/write"
	azureDelete = "Microsoft.Network/dnsZones/TXT/delete"
)

const azureTTL = time.Minute

// Azure writes TXT values into a zone of Azure DNS. A record set there is one object, so each change reads it, merges and
// writes it back on the condition that it is still what was read (ETag with If-Match; If-None-Match: * for a new one),
// and begins again when it is not. Values of others are never lost to it. A set whose last value was ours is deleted, on
// the same condition.
//
// When an answer is lost, the set is read again to see whether the change was made. When Azure refuses a token or says
// that the identity may not, a new token is fetched and the request made once more, since Azure decides by what it knew
// when the token was issued, for some time. Nothing else is repeated, and the SDK's own retries are off.
//
// A TTL longer than ours is shortened when we write into somebody else's set, and stays short: resolvers must not keep
// for an hour that our value is not there.
//
// Azure is safe for concurrent use.
type Azure struct {
	opts AzureOptions
	env  cloud.Configuration

	mu     sync.Mutex
	client *armdns.RecordSetsClient // signed in, or about to
}

// NewAzure returns a writer. It asks nothing of Azure yet; an error is a wrong setting.
func NewAzure(o AzureOptions) (*Azure, error) {
	o.Zone = strings.ToLower(strings.TrimSuffix(o.Zone, "."))
	for _, setting := range [][2]string{{"subscription", o.Subscription}, {"resource group", o.ResourceGroup}, {"zone", o.Zone}} {
		what, value := setting[0], setting[1]
		if value == "" {
			return nil, fmt.Errorf("azure: %s is required", what)
		}
		if strings.ContainsAny(value, "/?#%\\ \t\r\n") {
			return nil, fmt.Errorf("azure: %s %q: not a name", what, value)
		}
	}
	if o.TTL <= 0 || o.TTL > azureTTL {
		o.TTL = azureTTL
	}
	if o.Tries <= 0 {
		o.Tries = 20
	}
	if o.Wait == nil {
		o.Wait = azureWait
	}
	env, err := o.Environment()
	if err != nil {
		return nil, fmt.Errorf("azure: %w", err)
	}
	a := &Azure{opts: o, env: env}
	if a.client, err = a.connect(); err != nil {
		return nil, fmt.Errorf("azure: %w", err)
	}
	return a, nil
}

// azureWait waits by the clock.
func azureWait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Fresh returns a writer for the same zone as the same identity that has signed in nowhere yet. A rehearsal made with it
// is neither helped by a token from before a grant was lost nor hindered by one from before it was given.
func (a *Azure) Fresh() *Azure {
	f := &Azure{opts: a.opts, env: a.env}
	f.client, _ = f.connect() // the same settings have worked; should they not, the first use says why
	return f
}

// Who names the application's client id.
func (a *Azure) Who() string { return a.opts.Credential.who() }

// connect makes a client that has no token yet.
func (a *Azure) connect() (*armdns.RecordSetsClient, error) {
	cred, err := a.opts.Login()
	if err != nil {
		return nil, err
	}
	return armdns.NewRecordSetsClient(a.opts.Subscription, cred, &arm.ClientOptions{
		ClientOptions:         policy.ClientOptions{Cloud: a.env, Retry: azureNoRetries(), Transport: newAzureTransport(a.opts.Client)},
		DisableRPRegistration: true, // registering providers takes rights that a DNS writer has not
	})
}

// current returns the client in use.
func (a *Azure) current() (*armdns.RecordSetsClient, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	if a.client == nil {
		a.client, err = a.connect()
	}
	return a.client, err
}

// replace makes everybody sign in anew, unless somebody else did since the client was taken.
func (a *Azure) replace(used *armdns.RecordSetsClient) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client == used {
		a.client = nil
	}
}

// call makes a request, and once more with a new token when Azure refuses the one in use.
func (a *Azure) call(f func(*armdns.RecordSetsClient) error) error {
	c, err := a.current()
	if err != nil {
		return err
	}
	if err = f(c); !azureRefusesToken(err) {
		return err
	}
	a.replace(c)
	if c, err = a.current(); err != nil {
		return err
	}
	if err = f(c); azureRefusesToken(err) {
		a.replace(c) // so that the next one, perhaps in an hour, does not begin with a token from now
	}
	return err
}

// errAzureChanged says that somebody else changed the record set since it was read.
var errAzureChanged = errors.New("the record set was changed by somebody else")

// Present makes value one of the TXT values at name.
func (a *Azure) Present(ctx context.Context, name, value string) error {
	return a.change(ctx, name, value, true)
}

// Withdraw takes value away from name. When the set cannot be deleted because of a lock, or for lack of that one right,
// it is emptied instead: then the error has Happened set, the value is gone, and a set without values stays.
func (a *Azure) Withdraw(ctx context.Context, name, value string) error {
	return a.change(ctx, name, value, false)
}

// change repeats a change while others change the same set. Errors are [*assure.Trouble].
func (a *Azure) change(ctx context.Context, name, value string, present bool) error {
	rel, err := a.relative(name)
	if err != nil {
		return err
	}
	if value == "" || len(value) > 4096 { // Azure's limit for a record, in bytes
		return &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleInvalid, Scope: a.scope(rel), Detail: fmt.Sprintf("a TXT value of %d bytes cannot be written", len(value))}
	}
	for try := range a.opts.Tries {
		err = a.once(ctx, rel, value, present)
		if !errors.Is(err, errAzureChanged) {
			return err
		}
		// Somebody got in between each time, so at least one change of all was made: with n writers n tries are enough.
		// Spreading them makes it a few.
		pause := min(25*time.Millisecond<<min(try, 6), time.Second)
		if err = a.opts.Wait(ctx, time.Duration(rand.Int64N(int64(pause)))); err != nil {
			return a.trouble(err, azureWrite, rel)
		}
	}
	return &assure.Trouble{
		Reason: assure.DNSWriteFailed, Class: assure.TroubleConflict, Identity: a.Who(), Action: azureWrite, Scope: a.scope(rel),
		Detail: fmt.Sprintf("somebody else changed the record set in between, %d times", a.opts.Tries),
		Remedy: "Find out what else writes this record set so often; two renewers at one name do",
	}
}

// once reads, merges and writes. The error is a [*assure.Trouble] or errAzureChanged.
func (a *Azure) once(ctx context.Context, rel, value string, present bool) error {
	set, err := a.read(ctx, rel)
	if err != nil {
		if !present && azureNoSuchZone(err) {
			return nil // no zone, no value
		}
		return a.trouble(err, azureRead, rel)
	}
	at := set.find(value)
	if present == (at >= 0) {
		return nil
	}
	action := azureWrite
	switch {
	case present:
		set.records = append(set.records, azureTXT(value))
		err = a.write(ctx, rel, set)
	case len(set.records) > 1:
		set.records = slices.Delete(set.records, at, at+1)
		err = a.write(ctx, rel, set)
	default:
		action = azureDelete
		err = a.remove(ctx, rel, set)
	}
	switch {
	case err == nil:
		return nil
	case azureConflicts(err):
		return errAzureChanged
	case action == azureDelete && azureForbids(err):
		return a.empty(ctx, rel, set, a.trouble(err, action, rel))
	case azureUnsure(err):
		return a.settle(ctx, rel, value, present, a.trouble(err, action, rel))
	}
	return a.trouble(err, action, rel)
}

// empty takes the last value away from a set that must not be deleted.
func (a *Azure) empty(ctx context.Context, rel string, set azureSet, why *assure.Trouble) error {
	set.records = []*armdns.TxtRecord{}
	if err := a.write(ctx, rel, set); azureConflicts(err) {
		return errAzureChanged
	} else if err == nil {
		why.Happened = true
		why.Detail = "the value was taken away, but its record set stays, empty: " + why.Detail
	}
	return why
}

// settle finds out what became of a change whose answer was lost.
func (a *Azure) settle(ctx context.Context, rel, value string, present bool, why *assure.Trouble) error {
	set, err := a.read(ctx, rel)
	if err != nil {
		why.Happened = true // or not; nobody knows
		return why
	}
	if present == (set.find(value) >= 0) {
		return nil
	}
	return why
}

// relative is the record set's name within the zone.
func (a *Azure) relative(name string) (string, error) {
	n := strings.ToLower(strings.TrimSuffix(name, "."))
	if n == a.opts.Zone {
		return "@", nil
	}
	rel, ok := strings.CutSuffix(n, "."+a.opts.Zone)
	if !ok || rel == "" || len(n) > 253 || strings.ContainsAny(rel, "/?#%\\ \t\r\n") {
		return "", &assure.Trouble{
			Reason: assure.DNSWriteFailed, Class: assure.TroubleInvalid, Scope: a.scope("@"),
			Detail: fmt.Sprintf("%q is no name in the zone %s", azureText(name), a.opts.Zone),
			Remedy: "Name the zone that holds the record, after aliases, in the DNS writer's settings",
		}
	}
	return rel, nil
}

// scope is the resource id of a TXT record set.
func (a *Azure) scope(rel string) string {
	return "/subscriptions/" + a.opts.Subscription + "/resourceGroups/" + a.opts.ResourceGroup +
		"/providers/Microsoft.Network/dnsZones/" + a.opts.Zone + "/TXT/" + rel
}

// azureSet is what was read: nothing when there is no set.
type azureSet struct {
	etag     string
	ttl      int64
	metadata map[string]*string
	records  []*armdns.TxtRecord
}

// find returns where a value is, or -1.
func (s azureSet) find(value string) int {
	return slices.IndexFunc(s.records, func(r *armdns.TxtRecord) bool {
		var b strings.Builder
		if r != nil {
			for _, part := range r.Value {
				if part != nil {
					b.WriteString(*part)
				}
			}
		}
		return b.String() == value
	})
}

// azureTXT cuts a value into strings of at most 255 bytes (RFC 1035 section 3.3.14).
func azureTXT(value string) *armdns.TxtRecord {
	r := &armdns.TxtRecord{}
	for len(value) > 255 {
		r.Value = append(r.Value, to.Ptr(value[:255]))
		value = value[255:]
	}
	r.Value = append(r.Value, to.Ptr(value))
	return r
}

func (a *Azure) read(ctx context.Context, rel string) (set azureSet, err error) {
	err = a.call(func(c *armdns.RecordSetsClient) error {
		got, err := c.Get(ctx, a.opts.ResourceGroup, a.opts.Zone, rel, armdns.RecordTypeTXT, nil)
		if azureNoSuchSet(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if got.Etag == nil || *got.Etag == "" || got.Properties == nil {
			return errAzureNonsense
		}
		set = azureSet{etag: *got.Etag, metadata: got.Properties.Metadata, records: got.Properties.TxtRecords}
		if got.Properties.TTL != nil {
			set.ttl = *got.Properties.TTL
		}
		return nil
	})
	return set, err
}

func (a *Azure) write(ctx context.Context, rel string, set azureSet) error {
	ttl := int64((a.opts.TTL + time.Second - 1) / time.Second)
	if set.ttl > 0 {
		ttl = min(ttl, set.ttl)
	}
	body := armdns.RecordSet{Properties: &armdns.RecordSetProperties{TTL: &ttl, Metadata: set.metadata, TxtRecords: set.records}}
	when := &armdns.RecordSetsClientCreateOrUpdateOptions{IfMatch: &set.etag}
	if set.etag == "" {
		when = &armdns.RecordSetsClientCreateOrUpdateOptions{IfNoneMatch: to.Ptr("*")}
	}
	return a.call(func(c *armdns.RecordSetsClient) error {
		_, err := c.CreateOrUpdate(ctx, a.opts.ResourceGroup, a.opts.Zone, rel, armdns.RecordTypeTXT, body, when)
		return err
	})
}

func (a *Azure) remove(ctx context.Context, rel string, set azureSet) error {
	return a.call(func(c *armdns.RecordSetsClient) error {
		_, err := c.Delete(ctx, a.opts.ResourceGroup, a.opts.Zone, rel, armdns.RecordTypeTXT, &armdns.RecordSetsClientDeleteOptions{IfMatch: &set.etag})
		return err
	})
}
