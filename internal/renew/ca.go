package renew

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/notafter/notafter/internal/assure"
)

// Accounts is the part of the [Ledger] that a CA needs.
type Accounts interface {
	Account(ctx context.Context, id string) (assure.ACMEAccount, error)
	PutAccount(ctx context.Context, a assure.ACMEAccount) error
}

// CAOptions configures a [CA]. Fields without a default are needed.
type CAOptions struct {
	Directory string // the address of the ACME directory, https
	Contact   string // an e-mail address; empty gives none
	// EABKeyID and EABKey bind the account to one that the CA knows by other means (RFC 8555 section 7.3.4); the key is in
	// base64url. Empty for none.
	EABKeyID, EABKey string
	Profile          string // the profile to order where a request names none; empty leaves the choice to the CA
	// Roots verify the CA's own TLS; nil means the system's roots.
	Roots    *x509.CertPool
	Accounts Accounts
	Sealer   Sealer
	Now      func() time.Time // nil means time.Now
	Logger   *slog.Logger     // nil means none
	// UserAgent begins what the CA is told about the client; empty means "notafter".
	UserAgent string
	// PollInterval is the longest pause between two polls where the CA asks for no other; zero means 1 s. The first polls
	// come sooner.
	PollInterval time.Duration
	// PollTimeout is for how long one decision of the CA is waited for; zero means 5 minutes.
	PollTimeout time.Duration
	// RequestTimeout bounds one HTTP exchange; zero means 30 s.
	RequestTimeout time.Duration
	// WithdrawTimeout bounds the clearing up after an order, which a cancelled context does not stop; zero means 1 minute.
	WithdrawTimeout time.Duration
}

// CA is one certificate authority that speaks ACME (RFC 8555), and our account there. It is safe for concurrent use; all
// orders share its connections, nonces and directory. Errors are, or wrap, [*assure.Trouble]. What is retried here are
// bad nonces, connections that broke and polls; whether and when to begin again is the caller's decision.
type CA struct {
	o    CAOptions
	http *http.Client
	wire *wire
	id   string

	// gate is held while the directory is fetched or the account is looked up, so that a thousand orders that begin at once
	// make one request. It is a channel so that waiting for it ends with the context.
	gate chan struct{}
	dir  *catalogue    // guarded by gate
	acct *acme.Account // guarded by gate; nil until it was found or made

	fetches atomic.Int64 // of the directory, that were begun
	missed  error        // guarded by gate; what the last fetch met, nil when it worked or was cut short by who asked
}

// ErrExternalKey says that the key of an external account is not one. It does not quote it.
var ErrExternalKey = errors.New("the key of the external account is not base64url")

// NewCA checks the options; it makes no request.
func NewCA(o CAOptions) (*CA, error) {
	u, err := url.Parse(o.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
		return nil, fmt.Errorf("the ACME directory %q is not an https address (RFC 8555 section 6.1)", clip(o.Directory))
	}
	if o.Accounts == nil || o.Sealer == nil {
		return nil, errors.New("a CA needs a ledger for its account and a sealer for its key")
	}
	o.EABKey = strings.TrimRight(o.EABKey, "=")
	switch {
	case (o.EABKeyID == "") != (o.EABKey == ""):
		return nil, errors.New("an external account needs both a key id and a key")
	case o.EABKey != "":
		if _, err := base64.RawURLEncoding.DecodeString(o.EABKey); err != nil {
			return nil, ErrExternalKey // the error itself would quote the key
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.UserAgent == "" {
		o.UserAgent = "notafter"
	}
	orElse(&o.PollInterval, time.Second)
	orElse(&o.PollTimeout, 5*time.Minute)
	orElse(&o.RequestTimeout, 30*time.Second)
	orElse(&o.WithdrawTimeout, time.Minute)
	c := &CA{o: o, gate: make(chan struct{}, 1)}
	sum := sha256.Sum256([]byte(o.Directory + "\x00" + o.Contact + "\x00" + o.EABKeyID))
	c.id = hex.EncodeToString(sum[:16])
	c.wire = newWire(o.Roots, o.Now)
	c.http = &http.Client{
		Transport: c.wire, Timeout: o.RequestTimeout,
		// A signed request is for one address only; an answer that points elsewhere is a wrong answer.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func orElse(d *time.Duration, other time.Duration) {
	if *d <= 0 {
		*d = other
	}
}

// Close gives idle connections back. A CA can be used again afterwards.
func (c *CA) Close() { c.http.CloseIdleConnections() }

// String names the CA for people: the host of its directory.
func (c *CA) String() string {
	u, err := url.Parse(c.o.Directory)
	if err != nil {
		return "the CA"
	}
	return u.Host
}

// enter waits for the gate.
func (c *CA) enter(ctx context.Context) error {
	select {
	case c.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return c.trouble(ctx.Err(), nil, "wait for another request to "+c.String())
	}
}

func (c *CA) leave() { <-c.gate }

// Check looks at everything that needs no order (L0): that the directory answers and offers the profile, and that the
// account is valid. An account that was never registered is registered. The steps say all; there are always two.
func (c *CA) Check(ctx context.Context) []assure.Step {
	first := c.step(assure.StepDirectory, c.o.Directory)
	dir, err := c.directory(ctx, 0)
	if err == nil {
		err = c.offered(dir, c.o.Profile)
	}
	if err != nil {
		first.fail(err)
		skipped := c.step(assure.StepAccount, "")
		skipped.skip("the directory comes first")
		if dir == nil {
			return []assure.Step{first.Step, skipped.Step}
		}
	} else {
		first.done(describe(dir, c.o.Profile))
	}
	second := c.step(assure.StepAccount, c.o.Contact)
	got, err := c.lookAtAccount(ctx)
	if err != nil {
		second.fail(err)
	} else {
		second.done("the account " + clip(got.Location) + " is valid")
	}
	return []assure.Step{first.Step, second.Step}
}

func describe(dir *catalogue, profile string) string {
	s := "the directory answers"
	if profile != "" {
		s += " and offers the profile " + profile
	}
	if dir.Meta != nil && dir.Meta.TermsOfService != "" {
		s += "; its terms of service are at " + clip(dir.Meta.TermsOfService)
	}
	return s
}

// offered says whether the CA advertises a profile.
func (c *CA) offered(dir *catalogue, profile string) error {
	if profile == "" {
		return nil
	}
	var have []string
	if dir.Meta != nil {
		if _, ok := dir.Meta.Profiles[profile]; ok {
			return nil
		}
		have = slices.Sorted(maps.Keys(dir.Meta.Profiles))
	}
	t := &assure.Trouble{
		Reason: assure.RenewalFailing, Class: assure.TroubleMissing, Scope: c.o.Directory,
		Detail: fmt.Sprintf("%s does not offer the profile %q", c, clip(profile)),
		Remedy: "Take the profile out of the configuration: this CA offers none.",
	}
	if len(have) > 0 {
		t.Remedy = "Choose one of the profiles that it offers: " + clip(strings.Join(have, ", ")) + "."
	}
	return t
}

// Identities are the domains that the CA answers to in CAA records (caaIdentities, RFC 8555 section 9.7.6), from a
// directory that is at most an hour old; empty when the CA does not tell.
func (c *CA) Identities(ctx context.Context) ([]string, error) {
	dir, err := c.directory(ctx, directoryAge)
	if err != nil || dir.Meta == nil {
		return nil, err
	}
	return slices.Clone(dir.Meta.CAAIdentities), nil
}

// AccountURL is the account's address at the CA, for accounturi in CAA records. The account is registered when it never
// was.
func (c *CA) AccountURL(ctx context.Context) (string, error) {
	a, err := c.account(ctx)
	return a.Location, err
}

// step begins a step now.
func (c *CA) step(name, target string) *step {
	now := c.o.Now()
	return &step{now: c.o.Now, Step: assure.Step{Name: name, Target: target, At: now.UTC()}, from: now}
}

// step is a step under way.
type step struct {
	assure.Step
	now  func() time.Time
	from time.Time
}

func (s *step) end(o assure.Outcome, detail string) {
	s.Outcome, s.Detail, s.Took = o, detail, max(0, s.now().Sub(s.from))
}

func (s *step) done(detail string) { s.end(assure.Done, detail) }
func (s *step) skip(why string)    { s.end(assure.Skipped, why) }

func (s *step) fail(err error) {
	s.Trouble = assure.TroubleOf(err, assure.RenewalFailing)
	s.end(assure.Failed, s.Trouble.Detail)
	if s.Trouble.Reason == assure.RehearsalInconclusive {
		s.Outcome = assure.Unclear
	}
}

// count is a number of things, for people.
func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "s"):
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// all says what all addresses do, in one form for a single one and in another for several.
func all(addresses int, one, several string) string {
	if addresses == 1 {
		return "the only address " + one
	}
	return fmt.Sprintf("all %d addresses %s", addresses, several)
}

// clip bounds a text that came from outside and takes control characters out of it.
func clip(s string) string {
	const most = 400
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
