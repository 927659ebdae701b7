package dnswriter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/renew/dnswriter/legochild"
)

// LegoOptions is one provider of lego's catalogue and one set of credentials for it.
type LegoOptions struct {
	// Provider is lego's code for it, such as "route53"; see [Providers].
	Provider string
	// Settings are what it needs, by the names of the environment variables that lego documents. Nothing of our own
	// environment but the likes of PATH is added, so that two sets of credentials never meet.
	Settings map[string]string
	// Command starts the child: a program and arguments that run [legochild.Main] on standard input and output.
	Command []string
	// Timeout bounds one operation, after which the child and whatever it started are killed; zero means one minute.
	Timeout time.Duration
	// Now tells the time; nil means the system's.
	Now func() time.Time
}

// legoTimeout bounds an operation: a dozen requests, the slowest of which take some seconds each.
const legoTimeout = time.Minute

// legoChildren bounds how many children one writer has at a time.
const legoChildren = 8

// Lego writes TXT values at a provider of lego's catalogue, each time in a child process that holds this one set of
// credentials. It is safe for concurrent use.
type Lego struct {
	provider legochild.Provider
	o        LegoOptions
	env      []string
	mask     mask
	slots    chan struct{}
}

// NewLego checks the options without asking anybody and starts nothing.
func NewLego(o LegoOptions) (*Lego, error) {
	p, ok := legochild.Find(o.Provider)
	if !ok {
		return nil, fmt.Errorf("there is no DNS provider %q; see the guide to DNS writers for those that there are", o.Provider)
	}
	if len(o.Command) == 0 || o.Command[0] == "" {
		return nil, errors.New("no command that starts the child of DNS writers")
	}
	o.Settings = maps.Clone(o.Settings)
	m := newMask(p, o.Settings)
	if err := p.Check(o.Settings); err != nil {
		return nil, errors.New(m.text(err.Error()))
	}
	if o.Timeout <= 0 {
		o.Timeout = legoTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Lego{provider: p, o: o, env: inherited(), mask: m, slots: make(chan struct{}, legoChildren)}
	for _, n := range slices.Sorted(maps.Keys(o.Settings)) {
		if v := o.Settings[n]; v != "" {
			l.env = append(l.env, n+"="+v)
		}
	}
	return l, nil
}

// Who names the identity as far as the settings tell it.
func (l *Lego) Who() string { return l.mask.text(l.provider.Who(l.o.Settings)) }

// Present makes value one of the TXT values at name; see renew.DNS. [Caveat] tells what the provider makes of the others.
func (l *Lego) Present(ctx context.Context, name, value string) error {
	return l.run(ctx, legochild.Present, name, value)
}

// Withdraw takes value away from name; see renew.DNS. [Caveat] tells what the provider makes of the others.
func (l *Lego) Withdraw(ctx context.Context, name, value string) error {
	return l.run(ctx, legochild.Withdraw, name, value)
}

func (l *Lego) run(ctx context.Context, action, name, value string) error {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return l.trouble(assure.TroubleTransient, name, "the DNS writer was busy until the time was over", false)
	}
	a, t := l.ask(ctx, legochild.Request{Provider: l.provider.Code, Action: action, Name: name, Value: value})
	if t != nil {
		return t
	}
	if a.OK {
		return nil
	}
	return l.told(name, a.Trouble)
}

// told makes what the child says fit to be shown: no secret in it, a class and a reason that exist, clipped.
func (l *Lego) told(name string, t *assure.Trouble) error {
	if t == nil || t.Detail == "" {
		return l.trouble(assure.TroubleBroken, name, "the DNS writer's child said neither that it worked nor why not", true)
	}
	out := &assure.Trouble{
		Reason: assure.DNSWriteFailed, Class: assure.TroubleTransient,
		Identity: l.line(t.Identity, 200), Action: l.line(t.Action, 200), Scope: l.line(t.Scope, 300),
		Detail: l.line(t.Detail, 700), Remedy: l.line(t.Remedy, 500), Happened: t.Happened,
		RetryAfter: min(max(0, t.RetryAfter), 24*time.Hour),
	}
	if out.RetryAfter > 0 {
		out.Detail = "the provider wants to be left alone for " + assure.Ago(out.RetryAfter) + ": " + out.Detail
	}
	switch t.Class {
	case assure.TroubleDenied, assure.TroubleExpired, assure.TroubleMissing, assure.TroubleForbidden, assure.TroubleConflict,
		assure.TroubleThrottled, assure.TroubleLagging, assure.TroubleInvalid, assure.TroubleBroken, assure.TroubleTransient:
		out.Class = t.Class
	}
	switch t.Reason {
	case assure.DNSWriteDenied, assure.CredentialExpiring, assure.DelegationBroken:
		out.Reason = t.Reason
	}
	return out
}

func (l *Lego) trouble(class assure.TroubleClass, name, detail string, happened bool) *assure.Trouble {
	return &assure.Trouble{
		Reason: assure.DNSWriteFailed, Class: class, Identity: l.Who(), Scope: "TXT " + l.line(name, 260),
		Detail: l.line(detail, 700), Happened: happened,
	}
}

// Provider is a provider of lego's catalogue that [NewLego] takes.
type Provider = legochild.Provider

// Setting is one of its settings.
type Setting = legochild.Setting

// Providers lists what [NewLego] takes, by code. The guide to DNS writers is written from it.
func Providers() []Provider { return legochild.Providers() }

// Caveat tells what a user must know before two programs write at the same name with this provider; empty when nothing.
func Caveat(code string) string {
	p, _ := legochild.Find(code)
	return p.Caveat
}
