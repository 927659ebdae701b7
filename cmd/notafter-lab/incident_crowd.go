package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/lab/estate"
)

// crowd are the clients of the services: they connect to every address all the time, and trust what they should.
type crowd struct {
	roots *x509.CertPool
	sites []*estate.Site
	// every is the pause between two rounds.
	every time.Duration

	mu            sync.Mutex
	served        int
	refused       int
	first, latest time.Time // refusals
}

func newCrowd(e *estate.Estate, sites []*estate.Site, every time.Duration) *crowd {
	c := &crowd{roots: x509.NewCertPool(), sites: sites, every: every}
	c.roots.AppendCertsFromPEM(e.Roots)
	return c
}

// run connects until ctx ends.
func (c *crowd) run(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		for _, s := range c.sites {
			for _, address := range s.Addresses() {
				err := visit(ctx, address, &tls.Config{RootCAs: c.roots, ServerName: s.Name, MinVersion: tls.VersionTLS12})
				if ctx.Err() != nil {
					return
				}
				c.count(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// count notes one visit. Only what the client finds wrong with the certificate counts as refused: that is what the story
// is about.
func (c *crowd) count(err error) {
	var bad *tls.CertificateVerificationError
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.served++
	case errors.As(err, &bad):
		c.refused++
		c.latest = time.Now()
		if c.first.IsZero() {
			c.first = c.latest
		}
	}
}

// seen is how many visits were served and refused so far, and when the first and the latest refusal was.
func (c *crowd) seen() (served, refused int, first, latest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.served, c.refused, c.first, c.latest
}

// uptime is what an uptime checker that ignores TLS errors says: up, as long as anything answers.
func uptime(ctx context.Context, s *estate.Site) bool {
	for _, address := range s.Addresses() {
		if visit(ctx, address, &tls.Config{InsecureSkipVerify: true, ServerName: s.Name}) != nil { //nolint:gosec // the fault that the story is about
			return false
		}
	}
	return true
}

func visit(ctx context.Context, address string, conf *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
