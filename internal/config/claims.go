package config

import (
	"reflect"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

var channelType = reflect.TypeFor[Channel]()

// channelEvery is how often a channel is asked whether it still takes what it is given. The services of the second kind
// cannot be asked without telling somebody; of them it is known by what was sent last, and a month may pass without.
const (
	channelEvery      = time.Hour
	channelEveryMonth = 30 * 24 * time.Hour
)

func (c Channel) every() time.Duration {
	if c.Slack != nil || c.PagerDuty != nil || c.Webhook != nil {
		return channelEveryMonth
	}
	return channelEvery
}

// patrolEvery is how often the patrol accounts for itself.
const patrolEvery = time.Minute

// Claims is everything that must stay true by this configuration: serving, renewal, monitor and people, in this order.
// Claims that are new to a ledger count as declared at now.
func (c *Config) Claims(now time.Time) []assure.Claim {
	return slices.Concat(c.ServingClaims(now), c.RenewalClaims(now), c.MonitorClaims(now), c.ChannelClaims(now))
}

// ServingClaims has one claim for each endpoint of each certificate, in the order of the file.
func (c *Config) ServingClaims(now time.Time) []assure.Claim {
	var out []assure.Claim
	for i := range c.Certificates {
		cert := &c.Certificates[i]
		for _, e := range cert.Endpoints {
			subject := e.Target.String()
			every := c.Every
			for _, closer := range []Duration{cert.Every, e.Every} {
				if closer > 0 {
					every = closer
				}
			}
			repair := c.TimeToRepair
			if cert.TimeToRepair > 0 {
				repair = cert.TimeToRepair
			}
			out = append(out, assure.Claim{
				ID: assure.NewClaimID(assure.Serving, cert.Name, subject), Link: assure.Serving, Certificate: cert.Name, Subject: subject,
				Route: cert.Route, Owner: cert.Owner, Declared: now.UTC(), Every: every.Std(), TimeToRepair: repair.Std(),
			})
		}
	}
	return out
}

// MonitorClaims are about notafter itself: the patrol, the control unless it is switched off, and the heartbeat when
// one is configured.
func (c *Config) MonitorClaims(now time.Time) []assure.Claim {
	claim := func(subject string, every time.Duration) assure.Claim {
		return assure.Claim{
			ID: assure.NewClaimID(assure.Monitor, "", subject), Link: assure.Monitor, Subject: subject, Route: c.Monitor.Route,
			Declared: now.UTC(), Every: every, TimeToRepair: c.TimeToRepair.Std(),
		}
	}
	out := []assure.Claim{claim(assure.SubjectPatrol, patrolEvery)}
	if c.Monitor.Control {
		out = append(out, claim(assure.SubjectControl, patrolEvery))
	}
	if !c.Monitor.Heartbeat.URL.IsZero() {
		out = append(out, claim(assure.SubjectHeartbeat, c.Monitor.Heartbeat.Every.Std()))
	}
	return out
}

// ChannelClaims has one claim for each channel: it takes what it is given. Whoever looks at channels must also say so
// of those that offer no quiet way to ask, from their latest delivery.
func (c *Config) ChannelClaims(now time.Time) []assure.Claim {
	var out []assure.Claim
	for _, name := range sortedKeys(c.Channels) {
		out = append(out, assure.Claim{
			ID: assure.NewClaimID(assure.People, "", name), Link: assure.People, Subject: name, Route: c.Monitor.Route,
			Declared: now.UTC(), Every: c.Channels[name].every(), TimeToRepair: c.TimeToRepair.Std(),
		})
	}
	return out
}

// Policy is what judging needs.
func (c *Config) Policy() assure.Policy {
	return assure.Policy{TimeToRepair: c.TimeToRepair.Std(), Confirm: c.Confirm.Std(), Clear: c.Clear, Gather: c.Gather.Std()}
}

// RouteChannels maps each route to its channels, in the order of the file.
func (c *Config) RouteChannels() map[string][]string {
	out := make(map[string][]string, len(c.Routes))
	for name, r := range c.Routes {
		out[name] = append([]string(nil), r.Channels...)
	}
	return out
}

// ClientCertificates maps canonical targets to what is shown to a server there that asks.
func (c *Config) ClientCertificates() map[string]ClientCertificate {
	out := map[string]ClientCertificate{}
	for i := range c.Certificates {
		for _, e := range c.Certificates[i].Endpoints {
			if e.ClientCertificate != nil {
				out[e.Target.String()] = *e.ClientCertificate
			}
		}
	}
	return out
}
