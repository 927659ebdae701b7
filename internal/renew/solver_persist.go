package renew

import (
	"context"
	"errors"
	"fmt"

	"github.com/notafter/notafter/internal/assure"
)

// maxIssuers bounds how many names of one CA are tried.
const maxIssuers = 5

// PersistSolver solves dns-persist-01: the record is published once, by a person, and stays. It looks whether it is
// there, and tells exactly what to publish when it is not. It writes and withdraws nothing. Safe for concurrent use.
type PersistSolver struct{ Zones Zones }

// Type is the type of challenge that it solves.
func (PersistSolver) Type() string { return ChallengeDNSPersist01 }

// Present looks for the record.
func (s PersistSolver) Present(ctx context.Context, c Challenge) (*Proof, error) {
	name := c.RecordName()
	values := persistValues(c)
	if len(values) == 0 {
		return nil, &assure.Trouble{
			Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: c.Name,
			Detail: "the CA offers dns-persist-01 without a name of an issuer",
		}
	}
	at, err := s.Zones.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	var last error
	for _, v := range values {
		err := s.Zones.Shown(ctx, at, v)
		if err == nil {
			return &Proof{Target: at.Name, Detail: "the permanent record is published: " + clip(v)}, nil
		}
		var t *assure.Trouble
		if !errors.As(err, &t) || t.Class != assure.TroubleLagging {
			return nil, err // it could not be found out
		}
		if last == nil {
			last = err
		}
	}
	return nil, &failure{&assure.Trouble{
		Reason: assure.RenewalFailing, Class: assure.TroubleMissing, Scope: at.Name,
		Detail: clip(fmt.Sprintf("the permanent record of dns-persist-01 is not published everywhere: %s", assure.TroubleOf(last, assure.DNSWriteFailed).Detail)),
		Remedy: fmt.Sprintf("Publish a TXT record at %s with the value %q.", at.Name, values[0]),
	}, last}
}

// persistValues are the values that would do, the one to publish first. The account's address and the CA's name make
// the value; a record that allows wildcards also covers the name itself.
func persistValues(c Challenge) []string {
	var out []string
	issuers := c.raw.IssuerDomainNames
	for _, issuer := range issuers[:min(len(issuers), maxIssuers)] {
		if !c.Wildcard {
			out = append(out, persistValue(c, issuer, false))
		}
		out = append(out, persistValue(c, issuer, true))
	}
	return out
}
