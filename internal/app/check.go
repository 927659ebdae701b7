package app

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/notify"
	"github.com/notafter/notafter/internal/renew"
	"github.com/notafter/notafter/internal/renew/install"
	"github.com/notafter/notafter/internal/store"
)

// Check builds what follows from a configuration whose secrets are resolved, as far as that takes neither a database nor
// the network, and lets go of it again. What no channel, renewer or trust store accepts is a [*config.Problems] with
// its place in the file. New calls it before anything is made, and "config check --secrets" calls it.
func Check(c *config.Config) error {
	var wrong []error
	_, err := senders(c, time.Now)
	wrong = append(wrong, err)
	if h := c.Monitor.Heartbeat; !h.URL.IsZero() {
		_, err := notify.NewHeartbeat(notify.HeartbeatConfig{URL: h.URL.Value(), FailURL: h.FailURL.Value()}, notify.HTTPOptions{})
		wrong = append(wrong, at("monitor.heartbeat", errors.Unwrap(err)))
	}
	log := slog.New(slog.DiscardHandler)
	analyser, _, err := newProber(c, time.Now, log)
	if err == nil {
		analyser.Close()
	}
	wrong = append(wrong, err)
	if c.Renews() {
		wrong = append(wrong, checkRenewers(c, log)...)
	}
	return c.Refuse(errors.Join(wrong...))
}

// checkRenewers builds the renewers, and what puts their certificates in place, upon a ledger and a sealer that nobody
// uses.
func checkRenewers(c *config.Config, log *slog.Logger) []error {
	var wrong []error
	switch identity := c.Keys.Value(); {
	case identity != "":
		_, err := renew.NewAgeSealer(identity)
		wrong = append(wrong, at("keys", err))
	case strings.HasPrefix(c.State.Value(), "postgres"):
		wrong = append(wrong, errors.New("keys: is needed with PostgreSQL: private keys are sealed with an identity that is not in the database (make one with age-keygen)"))
	}
	b := &builder{c: c, accounts: (*store.DB)(nil), sealer: noSealer{}, now: time.Now, log: log, child: []string{"notafter"}}
	built, err := b.renewers()
	for _, r := range built {
		if err == nil {
			r.close() // otherwise they are closed already
		}
	}
	wrong = append(wrong, err)
	shared := map[string]bool{} // renewers whose own list was looked at
	for i := range c.Certificates {
		cert := &c.Certificates[i]
		declared, ok := c.RenewerOf(cert)
		if !ok {
			continue
		}
		key := fmt.Sprintf("certificates[%d].install", i)
		if len(cert.Install) == 0 {
			if key = "renewers." + cert.Renewer + ".install"; shared[cert.Renewer] {
				continue
			}
			shared[cert.Renewer] = true
		}
		if _, err := b.installers(declared.InstallOf(cert), install.Names(func(string) []string { return cert.Names })); err != nil {
			wrong = append(wrong, fmt.Errorf("%s%w", key, err))
		}
	}
	return wrong
}

func at(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

// noSealer stands where nothing is sealed.
type noSealer struct{}

var errNotInUse = errors.New("nothing is sealed while a configuration is checked")

func (noSealer) Seal([]byte) ([]byte, error) { return nil, errNotInUse }
func (noSealer) Open([]byte) ([]byte, error) { return nil, errNotInUse }
