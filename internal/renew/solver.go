package renew

import (
	"context"

	"github.com/mholt/acmez/v3/acme"
)

// Types of challenges. dns-account-01 is of draft-ietf-acme-dns-account-label, dns-persist-01 of
// draft-ietf-acme-dns-persist; both are offered by few CAs.
const (
	ChallengeDNS01        = acme.ChallengeTypeDNS01        // RFC 8555 section 8.4
	ChallengeHTTP01       = acme.ChallengeTypeHTTP01       // RFC 8555 section 8.3
	ChallengeTLSALPN01    = acme.ChallengeTypeTLSALPN01    // RFC 8737
	ChallengeDNSAccount01 = acme.ChallengeTypeDNSAccount01 // record name bound to the account
	ChallengeDNSPersist01 = acme.ChallengeTypeDNSPersist01 // a record that stays
)

// Challenge is what a CA wants to see, for one name.
type Challenge struct {
	Type     string
	Name     string // the identifier: a DNS name without "*.", or an IP address
	Wildcard bool   // the certificate is for "*." and the name
	IP       bool
	Account  string // the account's address at the CA

	raw acme.Challenge
}

// RecordName is the name of the TXT record that the challenge is about, without a trailing dot; empty for challenges
// that are not about DNS.
func (c Challenge) RecordName() string {
	switch c.Type {
	case ChallengeDNS01:
		return c.raw.DNS01TXTRecordName()
	case ChallengeDNSAccount01:
		return c.raw.DNSAccount01TXTRecordName(acme.Account{Location: c.Account})
	case ChallengeDNSPersist01:
		return c.raw.DNSPersist01TXTRecordName()
	}
	return ""
}

// RecordValue is the TXT value of dns-01 and dns-account-01.
func (c Challenge) RecordValue() string { return c.raw.DNS01KeyAuthorization() }

// Solver makes challenges of one type visible to the CA. It is safe for concurrent use.
type Solver interface {
	// Type is the type of challenge that it solves.
	Type() string
	// Present makes the challenge visible, or begins to. A proof that is not nil has to be withdrawn, also when there is an
	// error: something may be there.
	Present(ctx context.Context, c Challenge) (*Proof, error)
}

// Proof is a challenge that was made visible.
type Proof struct {
	Target string // where: a record's name, an address
	Detail string // what was done, for people
	// Wait returns when the CA can be expected to see it; detail says for people how that was found. Nil when there is
	// nothing to wait for.
	Wait func(ctx context.Context) (detail string, err error)
	// Withdraw takes it away. Nil when it stays.
	Withdraw func(ctx context.Context) error
	// Nothing says that nothing was made visible for certain, so that Withdraw only puts the books in order.
	Nothing bool
}

// persistValue is the value of a dns-persist-01 record.
func persistValue(c Challenge, issuer string, wildcard bool) string {
	return c.raw.DNSPersist01TXTRecordValue(acme.Account{Location: c.Account}, issuer, wildcard)
}
