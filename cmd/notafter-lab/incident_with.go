package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/iac"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

// with is act 2: the same days with notafter. What it came to is given to end, before everything is kept running for those
// who want to look around.
func (p *play) with(ctx context.Context, dir string, end func(*ledger)) (err error) {
	p.screen.say("\nACT 2: with notafter\n\n")
	e, sites, err := p.stage(filepath.Join(dir, "estate"))
	if err != nil {
		return err
	}
	defer e.Stop()
	pager, err := lab.StartPager(lab.PagerOptions{Secret: pagerSecret})
	if err != nil {
		return err
	}
	defer pager.Stop()
	listener, err := listen(p.o.listen)
	if err != nil {
		return err
	}
	s := &second{play: p, estate: e, sites: sites, pager: pager, l: &ledger{}, base: "http://" + listener.Addr().String()}
	if err := s.configure(filepath.Join(dir, "state"), listener); err != nil {
		return errors.Join(err, listener.Close())
	}
	product, err := app.New(app.Options{Config: s.config, Logger: p.log, Listener: listener, Version: "lab", Tick: 100 * time.Millisecond, Scan: time.Second})
	if err != nil {
		return err
	}
	running, stop := context.WithCancelCause(ctx)
	var work sync.WaitGroup
	work.Go(func() {
		if err := product.Run(running); err != nil {
			stop(err)
		}
	})
	clients := newCrowd(e, sites, p.day/24)
	defer func() {
		cause := context.Cause(running)
		stop(nil)
		work.Wait()
		if err == nil && ctx.Err() == nil && cause != nil {
			err = cause
		}
	}()
	p.screen.say("  Dashboard: %s\n", s.base)
	if p.o.browser {
		openBrowser(s.base)
	}
	if s.clock, err = p.served(running, sites); err != nil {
		return err
	}
	work.Go(func() { clients.run(running) })
	for _, scene := range []func(context.Context) error{s.calm, s.guard, s.apply, s.grow, s.mend} {
		if err := scene(running); err != nil {
			if cause := context.Cause(running); cause != nil && ctx.Err() == nil {
				err = cause
			}
			return err
		}
	}
	var first, latest time.Time
	s.l.served, s.l.refused, first, latest = clients.seen()
	if !first.IsZero() {
		s.l.outageFrom, s.l.outage = s.clock.at(first), latest.Sub(first)*time.Duration(24*time.Hour/p.day)
	}
	end(s.l)
	if p.o.running {
		p.screen.say("\nEverything keeps running, and is renewed every %s. Dashboard: %s (end with Ctrl-C)\n", s.clock.lasts(renewalDue.Sub(opening)).Round(time.Second), s.base)
		<-running.Done()
	}
	return nil
}

// second is the second act while it is played.
type second struct {
	*play
	clock    clock
	estate   *estate.Estate
	sites    []*estate.Site
	pager    *lab.Pager
	config   *config.Config
	l        *ledger
	base     string
	incident string
}

// configure writes what the team of the story would write, with times that fit days of seconds.
func (s *second) configure(state string, listener net.Listener) error {
	c := config.Default()
	c.State, c.Listen, c.BaseURL = config.NewState(state), listener.Addr().String(), s.base
	c.Trust, c.DNS.Servers = config.Trust{s.estate.RootsFile}, []string{s.estate.Zones.ResolverAddr()}
	c.Every, c.TimeToRepair, c.Confirm, c.Gather = config.Duration(time.Second), config.Duration(s.day/2), config.Duration(2*time.Second), config.Duration(s.day/12)
	c.Revocation = config.RevocationOff
	c.Channels = map[string]config.Channel{
		"hook": {Webhook: &config.Webhook{URL: config.NewAddress(s.pager.URL("hook") + "/webhook"), Secret: config.NewSecret(pagerSecret)}},
	}
	c.Routes = map[string]config.Route{"sre": {Mode: config.ModeOwn, Channels: []string{"hook"}}}
	c.DefaultRoute, c.Monitor.Route = "sre", "sre"
	r := &renewal{estate: s.estate, sites: s.sites, life: s.life(), canary: max(s.day/6, time.Second).Round(time.Second)}
	c.Renewers = map[string]config.Renewer{}
	for _, d := range s.estate.Renewers() {
		if d.Name == estate.Azure {
			how := r.renewer(d)
			how.DNS.Azure.ObjectID = estate.ObjectID
			c.Renewers[d.Name] = how
		}
	}
	for _, site := range s.sites {
		cert, err := renewed(site)
		if err != nil {
			return err
		}
		c.Certificates = append(c.Certificates, cert)
	}
	s.config = &c
	return nil
}

// calm tells what notafter sees while all is well: nothing, which is said on its dashboard and nowhere else.
func (s *second) calm(ctx context.Context) error {
	if err := s.clock.wait(ctx, opening); err != nil {
		return err
	}
	s.tell(s.clock, "notafter renews both services itself, looks at every address every second and tries every %s whether it still may write. All is well, and it is quiet.", s.canary())
	return s.clock.wait(ctx, planned)
}

// canary is how often the permission is tried.
func (s *second) canary() time.Duration {
	return s.config.Renewers[estate.Azure].Rehearse.Canary.Std()
}

// guard judges the plan, joined with what notafter renews.
func (s *second) guard(context.Context) error {
	raw, err := fatalPlan(s.estate)
	if err != nil {
		return err
	}
	plan, err := iac.Read(bytes.NewReader(raw), iac.ReadOptions{})
	if err != nil {
		return err
	}
	inv := app.Inventory(s.config, planned)
	for i := range inv.Certificates {
		inv.Certificates[i].Next, inv.Certificates[i].NotAfter = renewalDue, expiry
		inv.Certificates[i].Grants = []string{s.estate.GrantID()}
	}
	v := iac.Judge(plan, inv)
	if v.Class != iac.Lost {
		return fmt.Errorf("the guard lets the plan of 22 September pass: %s", v.Class)
	}
	s.l.refusedAt = s.clock.at(time.Now())
	s.tell(s.clock, "The plan for a second certificate controller, with %d changes, goes through `notafter guard`:", plan.Changing)
	var text strings.Builder
	if err := v.Text(&text, iac.RenderOptions{Now: planned, Inventory: true}); err != nil {
		return err
	}
	s.screen.say("\n%s\n", indent(text.String(), "      "))
	return nil
}

func indent(text, by string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			out.WriteString(by)
		}
		out.WriteString(line)
	}
	return out.String()
}

var ends = regexp.MustCompile(`\(until [^)]*\)`)

// apply takes the grant away, as if nobody had listened, and waits for the page.
func (s *second) apply(ctx context.Context) error {
	if err := s.clock.wait(ctx, applied); err != nil {
		return err
	}
	s.estate.Revoke()
	gone := time.Now()
	s.l.appliedAt = s.clock.at(gone)
	s.tell(s.clock, "It is applied all the same. The role assignment is gone. Nothing is due before %s.", calendar(renewalDue))
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	m, err := s.pager.WaitFor(limit, func(m lab.PagerMessage) bool {
		return m.Event == string(assure.NoticeTrigger) && m.At.After(gone) && strings.Contains(string(m.Body), string(assure.DNSWriteDenied))
	})
	if err != nil {
		return fmt.Errorf("nobody was paged for the lost grant: %w", err)
	}
	s.l.knownAt, s.l.by = s.clock.at(m.At), "a page with the cause"
	s.tell(s.clock, "PAGE, %s after it was applied (here: %s): %s", span(m.At.Sub(gone)*time.Duration(24*time.Hour/s.day)), m.At.Sub(gone).Round(100*time.Millisecond), clip(m.Title, 250))
	// The page names the end of each certificate in our time, of which an hour here is months.
	s.screen.say("%s", ends.ReplaceAllString(stakes(m.Body), "(until "+calendar(expiry)+")"))
	list, err := s.open(ctx)
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("one lost grant is not one incident: %+v", list)
	}
	s.incident = list[0].ID
	if err := s.post(ctx, "/api/v1/incidents/"+s.incident+"/acknowledge", map[string]any{"who": "Ana"}, nil); err != nil {
		return err
	}
	s.tell(s.clock, "Ana acknowledges incident %s.", s.incident)
	return nil
}

// grow waits for the first renewal that fails, which belongs to the same incident.
func (s *second) grow(ctx context.Context) error {
	if err := s.clock.wait(ctx, renewalDue); err != nil {
		return err
	}
	name := nameOf(s.sites[0])
	err := s.until(ctx, "renewal that fails", func() (bool, error) {
		var v struct {
			Attempts []struct {
				Kind, Outcome string
				Ended         time.Time
			}
		}
		if err := s.get(ctx, "/api/v1/certificates/"+name+"/renewal?limit=100", &v); err != nil {
			return false, err
		}
		for _, a := range v.Attempts {
			if a.Kind == string(assure.AttemptRenewal) && a.Outcome == string(assure.Failed) {
				s.l.failedAt = s.clock.at(a.Ended)
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	// What the attempt found is judged a moment later.
	return s.until(ctx, "failed renewal in the incident", func() (bool, error) {
		list, err := s.open(ctx)
		if err != nil {
			return false, err
		}
		var v struct {
			Touched int
			Touches []struct{ Subject string }
		}
		if err := s.get(ctx, "/api/v1/incidents/"+s.incident, &v); err != nil {
			return false, err
		}
		for _, t := range v.Touches {
			s.l.joined = s.l.joined || t.Subject == assure.SubjectRenewal
		}
		if !s.l.joined {
			return false, nil
		}
		if len(list) != 1 || list[0].ID != s.incident {
			return false, fmt.Errorf("the failed renewal is another incident: %+v", list)
		}
		s.tell(s.clock, "The renewal is due, and fails. It joins incident %s, which touches %d claims by now.", s.incident, v.Touched)
		return true, nil
	})
}

// mend restores the grant and waits for the proof.
func (s *second) mend(ctx context.Context) error {
	if err := s.clock.wait(ctx, mendedEarly); err != nil {
		return err
	}
	old := time.Time{}
	for _, site := range s.sites {
		if _, end := site.Life(); end.After(old) {
			old = end
		}
	}
	s.estate.Grant()
	s.l.grantedAt = s.clock.at(time.Now())
	s.tell(s.clock, "The fix is applied: the role is assigned again. The incident stays open: nothing is proven yet.")
	for _, site := range s.sites {
		one := "/api/v1/certificates/" + nameOf(site)
		if err := s.post(ctx, one+"/rehearse", map[string]any{"who": "Ana", "rungs": []string{"permission", "canary"}}, nil); err != nil {
			return err
		}
		if err := s.post(ctx, one+"/renew", map[string]any{"who": "Ana", "force": true}, nil); err != nil {
			return err
		}
	}
	if err := s.fresh(ctx, s.sites, old); err != nil {
		return err
	}
	for _, site := range s.sites {
		for _, address := range site.Addresses() {
			if err := visit(ctx, address, &tls.Config{RootCAs: s.roots(), ServerName: site.Name, MinVersion: tls.VersionTLS12}); err != nil {
				return fmt.Errorf("%s at %s: %w", site.Name, address, err)
			}
		}
	}
	s.l.renewedAt = s.clock.at(time.Now())
	s.tell(s.clock, "Permission asked again, a canary written, both renewals forced: the new certificates are seen on all four addresses.")
	var v struct {
		Incident incidentDoc
		Touches  []touchDoc
	}
	err := s.until(ctx, "proof", func() (bool, error) {
		err := s.get(ctx, "/api/v1/incidents/"+s.incident, &v)
		return v.Incident.State == "resolved", err
	})
	if err != nil {
		return fmt.Errorf("%w; incident %s still touches %+v", err, s.incident, v.Touches)
	}
	s.l.resolvedAt = s.clock.at(v.Incident.ResolvedAt)
	s.tell(s.clock, "Incident %s is resolved: %s", s.incident, v.Incident.Resolution)
	return nil
}
