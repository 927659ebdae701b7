package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/lab/estate"
)

// ledger is what an act came to: the moments of its timeline, in the story's time. A zero moment did not come.
type ledger struct {
	refusedAt  time.Time // the plan was refused
	appliedAt  time.Time
	knownAt    time.Time // when the first person knew
	by         string    // by what
	failedAt   time.Time // the first attempt to renew that failed
	joined     bool      // that attempt joined the incident that was open
	grantedAt  time.Time // the grant was back
	renewedAt  time.Time // and a new certificate in service on every address
	resolvedAt time.Time // the incident was closed by proof
	outage     time.Duration
	outageFrom time.Time
	served     int // visits of clients
	refused    int
}

// twoServices are the hosts of the story's services, each on two addresses.
var twoServices = []string{"hosted." + estate.AzureZone, "docs." + estate.AzureZone}

// life is how long certificates live: from a little before the opening, in whole seconds as the authority wants it.
func (p *play) life() time.Duration {
	return clock{day: p.day}.lasts(expiry.Sub(opening)).Truncate(time.Second) + 3*time.Second
}

// stage starts an estate with the two services, whose certificates end at the story's end of them.
func (p *play) stage(dir string) (e *estate.Estate, sites []*estate.Site, err error) {
	life := p.life()
	due := 1 - (clock{day: p.day}).lasts(expiry.Sub(renewalDue)).Seconds()/life.Seconds()
	if e, err = estate.Start(estate.Options{Life: life, Dir: dir, Due: due}); err != nil {
		return nil, nil, err
	}
	for _, host := range twoServices {
		s, err := e.Site(host, "127.0.0.1", "127.0.0.2")
		if err != nil {
			e.Stop()
			return nil, nil, err
		}
		sites = append(sites, s)
	}
	return e, sites, nil
}

// served waits until every site serves a certificate, and sets the clock by the one that ends first.
func (p *play) served(ctx context.Context, sites []*estate.Site) (clock, error) {
	c := clock{day: p.day}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var end time.Time
		n := 0
		for _, s := range sites {
			if _, e := s.Life(); !e.IsZero() {
				n++
				if end.IsZero() || e.Before(end) {
					end = e
				}
			}
		}
		if n == len(sites) {
			c.end = end
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-tick.C:
		}
	}
}

// tell says what happens at the story's present time.
func (p *play) tell(c clock, format string, args ...any) {
	p.screen.say("  %s  %s\n", calendar(c.at(time.Now())), fmt.Sprintf(format, args...))
}

// without is act 1: the outage as it was.
func (p *play) without(ctx context.Context, dir string) (*ledger, error) {
	p.screen.say("\nACT 1: without notafter\n\n")
	e, sites, err := p.stage(dir)
	if err != nil {
		return nil, err
	}
	defer e.Stop()
	controller, err := e.Controller(ctx)
	if err != nil {
		return nil, err
	}
	defer controller.Close()
	for _, s := range sites {
		if err := controller.Renew(ctx, s); err != nil {
			return nil, err
		}
	}
	c, err := p.served(ctx, sites)
	if err != nil {
		return nil, err
	}
	l := &ledger{}
	var running sync.WaitGroup
	defer running.Wait()
	here, stop := context.WithCancel(ctx)
	defer stop()
	clients := newCrowd(e, sites, p.day/24)
	running.Go(func() { clients.run(here) })

	if err := c.wait(ctx, opening); err != nil {
		return nil, err
	}
	p.tell(c, "The monthly manual check: both services are fine, their certificates end on %s. The next check is on 10 October.", calendar(c.at(c.end)))
	if err := c.wait(ctx, planned); err != nil {
		return nil, err
	}
	p.tell(c, "A Terraform plan for a second certificate controller: 200 resources change, 1 is destroyed. The review approves it.")
	if err := c.wait(ctx, applied); err != nil {
		return nil, err
	}
	e.Revoke()
	l.appliedAt = c.at(time.Now())
	p.tell(c, "Applied. The one that was destroyed is the role assignment by which the controller writes DNS. Everything runs; the change is closed as a success.")

	entries := 0
	for at := renewalDue; at.Before(discovery); at = at.Add(attemptEach) {
		if at.After(expiry) && l.outageFrom.IsZero() {
			if err := p.expire(ctx, c, sites, clients, l); err != nil {
				return nil, err
			}
		}
		if err := c.wait(ctx, at); err != nil {
			return nil, err
		}
		for _, s := range sites {
			err := controller.Renew(ctx, s)
			if err == nil {
				return nil, fmt.Errorf("%s was renewed although the grant is gone", s.Name)
			}
			entries++
			if l.failedAt.IsZero() {
				l.failedAt = c.at(time.Now())
				p.tell(c, "The renewal is due, and fails. The controller's log, which nobody reads: %s", clip(err.Error(), 190))
			}
		}
	}
	if l.outageFrom.IsZero() {
		if err := p.expire(ctx, c, sites, clients, l); err != nil {
			return nil, err
		}
	}
	if err := c.wait(ctx, discovery); err != nil {
		return nil, err
	}
	l.knownAt, l.by = c.at(time.Now()), "people, on Monday morning"
	_, refused, _, _ := clients.seen()
	p.tell(c, "Monday morning. People find it: %d visits were refused by now. The controller's log has %d entries that say why.", refused, entries)
	if err := c.wait(ctx, drift); err != nil {
		return nil, err
	}
	e.Grant()
	l.grantedAt = c.at(time.Now())
	p.tell(c, "A plan shows the drift: the role assignment is missing. It is applied.")
	if err := c.wait(ctx, restored); err != nil {
		return nil, err
	}
	old := c.end
	for _, s := range sites {
		if err := controller.Renew(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := p.fresh(ctx, sites, old); err != nil {
		return nil, err
	}
	l.renewedAt = c.at(time.Now())
	p.tell(c, "A forced renewal works; the new certificates are in service.")
	if err := c.wait(ctx, l.renewedAt.Add(6*time.Hour)); err != nil {
		return nil, err
	}
	stop()
	running.Wait()
	var first, latest time.Time
	l.served, l.refused, first, latest = clients.seen()
	if !first.IsZero() {
		l.outageFrom, l.outage = c.at(first), latest.Sub(first)*time.Duration(24*time.Hour/c.day)
	}
	return l, nil
}

// expire waits for the end of the certificate and tells what is silent then.
func (p *play) expire(ctx context.Context, c clock, sites []*estate.Site, clients *crowd, l *ledger) error {
	if err := c.wait(ctx, expiry.Add(2*time.Hour)); err != nil {
		return err
	}
	_, refused, first, _ := clients.seen()
	if refused == 0 {
		return fmt.Errorf("the certificates ended and clients were not refused")
	}
	l.outageFrom = c.at(first)
	p.tell(c, "The certificates have ended, on a Sunday. Since %s every client is refused.", calendar(l.outageFrom))
	up := 0
	for _, s := range sites {
		if uptime(ctx, s) {
			up++
		}
	}
	p.tell(c, "The uptime checker, which ignores TLS errors: %d of %d services are up. Nobody is called, no ticket is filed.", up, len(sites))
	return nil
}

// fresh waits until every site serves a certificate that ends later.
func (p *play) fresh(ctx context.Context, sites []*estate.Site, than time.Time) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		n := 0
		for _, s := range sites {
			if _, end := s.Life(); end.After(than.Add(time.Second)) {
				n++
			}
		}
		if n == len(sites) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
