package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/notify"
	"github.com/notafter/notafter/internal/probe"
	"github.com/notafter/notafter/internal/renew"
)

// world is everything that follows from one configuration. It is built completely before it takes the place of the
// one before, and never changed after.
type world struct {
	config    *config.Config
	deliverer *notify.Deliverer
	senders   map[string]notify.Sender
	heartbeat *notify.Heartbeat // nil without one
	analyser  *probe.Analyser
	prober    *probe.Prober
	issued    *issued
	names     map[string][]string // declared names, by certificate
	setting   assure.Setting
	renewers  map[string]*renewer
	keeper    *renew.Keeper // nil when nothing is renewed here
	// over ends when another world takes this one's place.
	over    context.Context
	endOver context.CancelFunc

	closing sync.Once

	mu   sync.Mutex
	kept bool // the keeper runs, and whoever runs it closes the rest
}

// newWorld builds a world from a configuration whose secrets are resolved. Every error names the key.
func (a *App) newWorld(c *config.Config) (*world, error) {
	w := &world{config: c, issued: &issued{log: a.log, at: map[string]*issuedFile{}}, names: map[string][]string{}}
	w.over, w.endOver = context.WithCancel(context.Background())
	var err error
	if w.senders, err = senders(c, a.now); err != nil {
		return nil, err
	}
	list := make([]notify.Sender, 0, len(w.senders))
	for _, s := range w.senders {
		list = append(list, s)
	}
	w.deliverer, err = notify.NewDeliverer(notify.Options{
		Outbox: a.db, Channels: list, Now: a.now, Owner: a.owner, Logger: a.log, BaseURL: c.BaseURL, Outcome: a.delivered, Lease: 30 * time.Second, Retry: a.opts.Retry,
	})
	if err != nil {
		return nil, err
	}
	if !c.Monitor.Heartbeat.URL.IsZero() {
		w.heartbeat, err = notify.NewHeartbeat(notify.HeartbeatConfig{URL: c.Monitor.Heartbeat.URL.Value(), FailURL: c.Monitor.Heartbeat.FailURL.Value()}, notify.HTTPOptions{Now: a.now})
		if err != nil {
			return nil, fmt.Errorf("monitor.heartbeat: %w", err)
		}
	}
	for i := range c.Certificates {
		if names := c.Certificates[i].Names; len(names) > 0 {
			w.names[c.Certificates[i].Name] = names
		}
		if p := string(c.Certificates[i].Issued); p != "" {
			w.issued.at[c.Certificates[i].Name] = &issuedFile{path: p}
		}
	}
	if w.analyser, w.prober, err = newProber(c, a.now, a.log); err != nil {
		return nil, err
	}
	if w.keeper, err = a.newKeeper(w); err != nil {
		w.close()
		return nil, err
	}
	w.setting = assure.Setting{Policy: c.Policy(), Routes: c.RouteChannels(), DefaultRoute: c.DefaultRoute}
	return w, nil
}

// keep runs the keeper until ctx ends or another world takes over; what is under way then ends in peace, and the world is
// closed after it. It does nothing in a world that is over.
func (w *world) keep(ctx context.Context) {
	w.mu.Lock()
	w.kept = w.over.Err() == nil && w.keeper != nil
	kept := w.kept
	w.mu.Unlock()
	if kept {
		w.keeper.Run(ctx)
		w.close()
	}
}

// retire makes way for the next world. Renewals and rehearsals that are the same in it go on to their end.
func (w *world) retire(next *world) {
	w.mu.Lock()
	w.endOver()
	kept := w.kept
	w.mu.Unlock()
	if !kept {
		w.close()
		return
	}
	w.keeper.Drain(func(certificate string) bool { return sameRenewal(w.config, next.config, certificate) })
}

// sameRenewal reports whether a certificate is renewed in the same way by both configurations, so that what one began may
// end under the other. What listens for challenges makes way for its successor.
func sameRenewal(old, next *config.Config, certificate string) bool {
	of := func(c *config.Config) (*config.Certificate, config.Renewer, bool) {
		for i := range c.Certificates {
			if x := &c.Certificates[i]; x.Name == certificate {
				r, ok := c.RenewerOf(x)
				return x, r, ok
			}
		}
		return nil, config.Renewer{}, false
	}
	x, r, was := of(old)
	y, s, is := of(next)
	return was && is && r.Challenge().WritesDNS() && reflect.DeepEqual(x, y) && reflect.DeepEqual(r, s)
}

// close ends what the world runs in the background. Closing it twice does no harm.
func (w *world) close() {
	w.endOver()
	w.closing.Do(func() {
		w.analyser.Close()
		for _, r := range w.renewers {
			r.close()
		}
	})
}

// newProber builds the way of looking that the configuration asks for.
func newProber(c *config.Config, now func() time.Time, log *slog.Logger) (*probe.Analyser, *probe.Prober, error) {
	trust, err := trustStore(c.Trust)
	if err != nil {
		return nil, nil, fmt.Errorf("trust: %w", err)
	}
	certs, err := clientCertificates(c)
	if err != nil {
		return nil, nil, err
	}
	resolver := probe.NewResolver(probe.ResolverOptions{Servers: withPorts(c.DNS.Servers)})
	analyser := probe.NewAnalyser(probe.AnalyserOptions{
		Trust: trust, Revocation: probe.RevocationMode(c.Revocation), Lookup: resolver.Lookup, Now: now, Log: log,
	})
	prober := probe.New(probe.Options{
		Analyser: analyser, Resolver: resolver,
		Timeout: c.Timeout.Std(), TargetTimeout: max(probe.DefaultTargetTimeout, 3*c.Timeout.Std()), WithoutSNI: c.WithoutSNI,
		ClientCertificates: func(t assure.Target) *tls.Certificate { return certs[t.String()] },
	})
	return analyser, prober, nil
}

// withPorts adds the port of DNS (RFC 1035 section 4.2) where none is given.
func withPorts(servers []string) []string {
	out := make([]string, len(servers))
	for i, s := range servers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), strconv.Itoa(53))
		}
		out[i] = s
	}
	return out
}

func clientCertificates(c *config.Config) (map[string]*tls.Certificate, error) {
	out := map[string]*tls.Certificate{}
	var problems []error
	for target, f := range c.ClientCertificates() {
		pair, err := tls.LoadX509KeyPair(string(f.Cert), string(f.Key))
		if err != nil {
			problems = append(problems, fmt.Errorf("client certificate for %s: %w", target, err))
			continue
		}
		out[target] = &pair
	}
	return out, errors.Join(problems...)
}

// maxRoots bounds one file of roots: the whole list of Mozilla is a quarter of a megabyte.
const maxRoots = 16 << 20

func trustStore(t config.Trust) (*probe.TrustStore, error) {
	switch t.Named() {
	case config.TrustSystem:
		return probe.SystemTrust()
	case config.TrustMozilla:
		return probe.MozillaTrust(), nil
	}
	var pem []byte
	for _, path := range t {
		data, err := readRegular(path, maxRoots)
		if err != nil {
			return nil, err
		}
		if _, err := probe.TrustFromPEM(path, data); err != nil {
			return nil, err // of several files, the one at fault is named
		}
		pem = append(append(pem, data...), '\n')
	}
	return probe.TrustFromPEM(strings.Join(t, ", "), pem)
}
