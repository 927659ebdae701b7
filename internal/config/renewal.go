package config

import (
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// booksEvery is how often the books of a renewal are looked at. They are in the same database, and what happens to a
// renewal is reported as it happens.
const booksEvery = time.Minute

// RenewerOf returns the renewer of a certificate that notafter renews itself; ok is false for any other.
func (c *Config) RenewerOf(cert *Certificate) (Renewer, bool) {
	if cert.Renewer == "" || cert.Renewer == RenewerNone {
		return Renewer{}, false
	}
	r, ok := c.Renewers[cert.Renewer]
	return r, ok && r.ACME != nil
}

// Renews reports whether notafter renews any certificate itself.
func (c *Config) Renews() bool {
	for i := range c.Certificates {
		if _, ok := c.RenewerOf(&c.Certificates[i]); ok {
			return true
		}
	}
	return false
}

// Rungs says how often each rung of the rehearsal is climbed for certificates of the renewer; a rung that is left out is
// not in it.
func (r Renewer) Rungs() map[assure.AttemptKind]time.Duration {
	out := map[assure.AttemptKind]time.Duration{}
	add := func(k assure.AttemptKind, every time.Duration) {
		if every > 0 {
			out[k] = every
		}
	}
	if r.ACME == nil {
		return out
	}
	add(assure.RehearseStatic, rung(r.Rehearse.Static, defaultStatic))
	if r.ACME.challenge().WritesDNS() {
		if r.DNS != nil && r.DNS.asks() {
			add(assure.RehearsePermission, rung(r.Rehearse.Permission, defaultPermission))
		}
		add(assure.RehearseCanary, rung(r.Rehearse.Canary, defaultCanary))
	}
	if !r.ACME.Staging.IsZero() {
		add(assure.RehearseAuthorize, rung(r.Rehearse.Authorization, defaultAuthorization))
		if len(r.Rehearse.Shadow) > 0 {
			add(assure.RehearseFull, rung(r.Rehearse.Full, defaultFull))
		}
	}
	return out
}

// Drifts is how often what the renewer's permission rests on is compared with what is expected; zero when it is not, or
// nobody can be asked.
func (r Renewer) Drifts() time.Duration {
	if r.ACME == nil || !r.ACME.challenge().WritesDNS() || r.DNS == nil || !r.DNS.asks() {
		return 0
	}
	return rung(r.Drift, defaultDrift)
}

// asks reports whether whoever runs the zone can be asked about a permission. Of the providers that lego writes to, three
// can.
func (d *RenewerDNS) asks() bool {
	if d.Lego == nil {
		return d.Azure != nil || d.RFC2136 != nil
	}
	given := func(name string) bool { _, ok := d.Lego.Settings[name]; return ok }
	switch d.Lego.Provider {
	case "route53", "gcloud":
		return true
	case "cloudflare":
		return given("CF_DNS_API_TOKEN") || given("CLOUDFLARE_DNS_API_TOKEN") // about a global key nobody can be asked
	}
	return false
}

// Settles is how long after a change of rights whoever runs the zone may still answer, and act, by what held before. It is
// what vendors say of their access control: Azure's role assignments up to 10 minutes (learn.microsoft.com, "Troubleshoot
// Azure RBAC"), Google Cloud's policies 7 (cloud.google.com/iam/docs/access-change-propagation, which adds "or longer").
// AWS and Cloudflare promise no time; what is seen there are seconds. A server that takes dynamic updates goes by its own
// configuration at once, and of other providers nothing is known.
func (d *RenewerDNS) Settles() time.Duration {
	switch {
	case d == nil:
		return 0
	case d.Azure != nil:
		return 10 * time.Minute
	case d.Lego == nil:
		return 0
	}
	switch d.Lego.Provider {
	case "azuredns", "azure":
		return 10 * time.Minute
	case "gcloud":
		return 7 * time.Minute
	case "route53", "cloudflare":
		return 2 * time.Minute
	}
	return 0
}

// Challenge is how control of the names is shown.
func (r Renewer) Challenge() Challenge { return r.ACME.challenge() }

// Patience is how long a new record may take until every server shows it.
func (d *RenewerDNS) Patience() time.Duration {
	if d == nil || d.Propagation == 0 {
		return defaultPropagation
	}
	return d.Propagation.Std()
}

// Remembered is for how long resolvers may remember what is written.
func (d *RenewerDNS) Remembered() time.Duration {
	if d == nil || d.TTL == 0 {
		return defaultTTL
	}
	return d.TTL.Std()
}

// KeyOf is the type of the private key of a certificate.
func (r Renewer) KeyOf(cert *Certificate) KeyType {
	switch {
	case cert.Key != "":
		return cert.Key
	case r.Key != "":
		return r.Key
	}
	return KeyP256
}

// InstallOf is where new certificates of a declared one go.
func (r Renewer) InstallOf(cert *Certificate) []Install {
	if len(cert.Install) > 0 {
		return cert.Install
	}
	return r.Install
}

// RenewalClaims has, for each certificate that notafter renews itself, one claim for each rung of its rehearsal, one for
// what its permission rests on, one for its renewal and one for its issuance, in the order of the file.
func (c *Config) RenewalClaims(now time.Time) []assure.Claim {
	var out []assure.Claim
	for i := range c.Certificates {
		cert := &c.Certificates[i]
		r, ok := c.RenewerOf(cert)
		if !ok {
			continue
		}
		repair := c.TimeToRepair
		if cert.TimeToRepair > 0 {
			repair = cert.TimeToRepair
		}
		claim := func(l assure.Link, subject string, every time.Duration) {
			out = append(out, assure.Claim{
				ID: assure.NewClaimID(l, cert.Name, subject), Link: l, Certificate: cert.Name, Subject: subject, Route: cert.Route,
				Owner: cert.Owner, Declared: now.UTC(), Every: every, TimeToRepair: repair.Std(),
			})
		}
		rungs := r.Rungs()
		for _, k := range assure.Ladder() {
			if every, ok := rungs[k]; ok {
				claim(assure.LinkOf(k), string(k), every)
			}
		}
		if every := r.Drifts(); every > 0 {
			claim(assure.Permission, assure.SubjectGrants, every)
		}
		claim(assure.Renewal, assure.SubjectRenewal, booksEvery)
		claim(assure.Issuance, assure.SubjectIssuance, booksEvery)
	}
	return out
}
