package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/notify"
	"github.com/notafter/notafter/internal/patrol"
	"github.com/notafter/notafter/internal/store"
	"github.com/notafter/notafter/internal/web"
)

// Options of the product. Config is required; its secrets are resolved by [New].
type Options struct {
	Config *config.Config
	// ConfigPath is read again by [App.Reload]; empty when the configuration came from arguments.
	ConfigPath string
	Logger     *slog.Logger
	// Stdout receives the few lines meant for a person at a terminal; nil means nowhere.
	Stdout  io.Writer
	Version string
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// Listener, when set, is used instead of listening on the configured address.
	Listener net.Listener
	// Tick is how often due work is looked for (default 1 s), Scan how often stale evidence is (default 15 s).
	Tick, Scan time.Duration
	// Retry is the pauses between attempts to deliver; nil means those that the documentation promises.
	Retry []time.Duration
	// Lease is how long a renewal stays taken, and a TXT value unswept, after the death of the process that was at it
	// (default 1 m).
	Lease time.Duration
	// Self is the command that runs this program, for child processes; nil means the executable that runs now.
	Self []string
}

// App is the product. Make it with [New], run it once with [App.Run].
type App struct {
	opts  Options
	log   *slog.Logger
	tries *slog.Logger // for what tries again by itself: what repeats is one line a minute
	now   func() time.Time
	owner string
	// started is when New was called.
	started time.Time
	db      *store.DB
	patrol  *patrol.Patrol
	web     *web.Server
	reg     *prometheus.Registry

	world   atomic.Pointer[world]
	control *control
	reloads sync.Mutex
	changes *broadcast
	// refreshed is when each forgetful channel was last told again; only keepHouse uses it.
	refreshed map[string]time.Time
	listener  net.Listener

	// running ends when the app does; errands are what somebody asked for and goes on in the background.
	running context.Context
	end     context.CancelFunc
	errands sync.WaitGroup
	// errand holds whether the claims were declared for an errand on the command line, of an App that does not run.
	errand   sync.Mutex
	declared bool
	// progress hears of the steps of attempts, for an errand on the command line.
	progress atomic.Pointer[func(assure.Attempt)]
}

// ErrNobodyToTell is why a configuration without channels does not serve.
var ErrNobodyToTell = errors.New("nobody to tell: no channel is configured")

// New opens the database, builds everything and listens, so that what is wrong shows before anything runs. Close it or
// run it.
func New(o Options) (_ *App, err error) {
	if o.Config == nil {
		return nil, errors.New("no configuration")
	}
	a := &App{opts: o, log: o.Logger, now: o.Now, changes: newBroadcast(), reg: prometheus.NewRegistry()}
	a.running, a.end = context.WithCancel(context.Background())
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.tries = withoutRepeats(a.log)
	if a.now == nil {
		a.now = time.Now
	}
	if a.opts.Stdout == nil {
		a.opts.Stdout = io.Discard
	}
	if a.opts.Tick <= 0 {
		a.opts.Tick = time.Second
	}
	if a.opts.Scan <= 0 {
		a.opts.Scan = 15 * time.Second
	}
	a.owner, a.started = ownerName(), a.now()
	if err := o.Config.Resolve(); err != nil {
		return nil, err
	}
	if err := Check(o.Config); err != nil { // before there is a database
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a.db, err = store.Open(ctx, store.Options{DSN: o.Config.State.Value(), Logger: a.tries, Now: a.now})
	if err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	// The addresses that are told come before those that the system chooses, which might be the same.
	if a.listener = o.Listener; a.listener == nil {
		if a.listener, err = net.Listen("tcp", o.Config.Listen); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", o.Config.Listen, err)
		}
	}
	w, err := a.newWorld(o.Config)
	if err != nil {
		return nil, err
	}
	a.world.Store(w)
	if o.Config.Monitor.Control {
		if a.control, err = startControl(a.now()); err != nil {
			return nil, err
		}
	}
	a.patrol = a.newPatrol()
	a.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if a.web, err = a.newWeb(o.Config); err != nil {
		return nil, err
	}
	return a, nil
}

// ownerName is different for every process, so that a lease is never taken for another's.
func ownerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}

func (a *App) newPatrol() *patrol.Patrol {
	m := &patrol.Monitor{}
	p := patrol.New(patrol.Options{
		Ledger: ledger{a.db},
		Checks: map[assure.Link]patrol.Check{
			assure.Serving:    patrol.CheckFunc(a.lookAtEndpoint),
			assure.Permission: patrol.CheckFunc(a.lookAtBooks),
			assure.Renewal:    patrol.CheckFunc(a.lookAtBooks),
			assure.Issuance:   patrol.CheckFunc(a.lookAtBooks),
			assure.People: patrol.CheckFunc(channelCheck(func(name string) notify.Sender {
				return a.world.Load().senders[name]
			})),
			assure.Monitor: m,
		},
		Setting: func() assure.Setting { return a.world.Load().setting },
		Promised: func(certificate string) ([]string, *assure.Cert, string) {
			w := a.world.Load()
			if w.keeper != nil && w.keeper.Has(certificate) {
				f, _ := w.keeper.Books(certificate)
				return w.names[certificate], f.Newest, ""
			}
			cert, problem := w.issued.newest(certificate, a.now())
			return w.names[certificate], cert, problem
		},
		Enqueue: a.db.EnqueueShards, Now: a.now, Logger: a.tries, Owner: a.owner, Observer: "probe@" + hostOf(a.owner),
		Concurrency: a.opts.Config.Concurrency, Changed: a.changes.signal,
	})
	m.Patrol = p
	if a.control != nil {
		m.Control = func(ctx context.Context) assure.Served { return a.world.Load().prober.Look(ctx, a.control.target) }
	}
	m.Beat = func(ctx context.Context, s assure.Sight) assure.Heard {
		if h := a.world.Load().heartbeat; h != nil {
			return h.Beat(ctx, s)
		}
		return assure.Heard{}
	}
	m.Withhold = func(ctx context.Context, why string) assure.Heard {
		if h := a.world.Load().heartbeat; h != nil {
			return h.Withhold(ctx, why)
		}
		return assure.Heard{}
	}
	return p
}

func (a *App) lookAtEndpoint(ctx context.Context, c assure.Claim) assure.Fact {
	t, err := assure.ParseTarget(c.Subject)
	if err != nil {
		return assure.Blind{Detail: err.Error()}
	}
	return a.world.Load().prober.Look(ctx, t)
}

// delivered keeps the outcome of a delivery as evidence about its channel.
func (a *App) delivered(ctx context.Context, d assure.Delivered) {
	err := a.patrol.Record(ctx, assure.Look{Claim: assure.NewClaimID(assure.People, "", d.Channel), Fact: d, Observer: "delivery@" + hostOf(a.owner), At: a.now()})
	if err != nil {
		a.tries.Error("record the outcome of a delivery", "channel", d.Channel, "error", err)
	}
}

// Start runs in the background; the channel yields what [App.Run] returned.
func (a *App) Start(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return done
}

// Coverage tells how much of what should be watched has fresh evidence now.
func (a *App) Coverage(ctx context.Context) (assure.Sight, error) {
	return a.db.Coverage(ctx, a.now(), time.Minute)
}

// Addr is where the dashboard listens.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// Claims makes the configuration a source of claims.
func (w *world) Claims(_ context.Context, now time.Time) ([]assure.Claim, error) {
	return w.config.Claims(now), nil
}

// Run patrols, delivers and serves until ctx ends; it then stops taking work, lets what is under way finish, and
// returns nil. Any other error means that it could not go on.
func (a *App) Run(ctx context.Context) error {
	defer func() {
		if err := a.Close(); err != nil {
			a.log.Error("close", "error", err)
		}
	}()
	if err := a.patrol.Declare(ctx, a.world.Load()); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it had begun
		}
		return err
	}
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	background := func(what string, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(work); err != nil && work.Err() == nil {
				stop(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	server := &http.Server{
		Handler: inTime(a.web.Handler()), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	listener := newFairListener(a.listener, "the dashboard", a.log, a.now)
	background("serve the dashboard", func(context.Context) error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	background("run the queue", func(ctx context.Context) error {
		return a.db.Run(ctx, store.Work{Shard: a.patrol.Shard, Deliver: a.deliver, Workers: 32})
	})
	background("patrol", func(ctx context.Context) error { a.patrol.Run(ctx, a.opts.Tick, a.opts.Scan); return nil })
	background("renew", a.renewals)
	background("keep house", func(ctx context.Context) error { a.keepHouse(ctx); return nil })
	background("keep the inventory", a.keepInventory)
	if u := a.opts.Config.Metrics.OTLP.Value(); u != "" {
		push, err := pushMetrics(ctx, u, a.reg, a.opts.Version)
		if err != nil {
			return err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := push(ctx); err != nil {
				a.log.Warn("push metrics for the last time", "error", err)
			}
		}()
	}
	_, _ = fmt.Fprintf(a.opts.Stdout, "notafter watches %s of %s. Dashboard: http://%s\n",
		plural(countEndpoints(a.opts.Config), "endpoint"), plural(len(a.opts.Config.Certificates), "certificate"), a.listener.Addr())
	<-work.Done()
	a.log.Info("draining")
	down, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a.changes.close() // ends the event streams, which would keep the server from shutting down
	err := server.Shutdown(down)
	a.end()
	wg.Wait()
	a.errands.Wait()
	if cause := context.Cause(work); ctx.Err() == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if err != nil {
		a.log.Warn("shut down the dashboard", "error", err)
	}
	return nil
}

// deliver makes one attempt and leaves the next one to the sweep.
func (a *App) deliver(ctx context.Context, id int64) error {
	_, err := a.world.Load().deliverer.Deliver(ctx, id)
	a.changes.signal()
	return err
}

// keepHouse tells forgetful services again and drops old history.
func (a *App) keepHouse(ctx context.Context) {
	refresh, prune := time.NewTicker(time.Minute), time.NewTicker(time.Hour)
	defer refresh.Stop()
	defer prune.Stop()
	say := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			a.log.Error(what, "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-refresh.C:
			say("tell forgetful channels again", a.refresh(ctx))
		case <-prune.C:
			say("prune old history", a.prune(ctx))
		}
	}
}

// prune drops what is older than the store keeps, in small batches so that nothing waits for it.
func (a *App) prune(ctx context.Context) error {
	const batch, most = 500, 200
	for range most {
		n, err := a.db.Prune(ctx, a.now(), batch)
		if err != nil || n < batch {
			return err
		}
	}
	return nil
}

// Reload reads the configuration again. A bad one changes nothing: the one in force goes on, and the error says what is
// wrong. Settings that are only read at the start must not change.
func (a *App) Reload(ctx context.Context) error {
	a.reloads.Lock()
	defer a.reloads.Unlock()
	if a.opts.ConfigPath == "" {
		return errors.New("reload: the configuration came from arguments, there is no file to read again")
	}
	c, err := config.Load(a.opts.ConfigPath)
	if err != nil {
		return fmt.Errorf("reload: the configuration in force stays: %w", err)
	}
	if err := c.Resolve(); err != nil {
		return fmt.Errorf("reload: the configuration in force stays: %w", err)
	}
	if err := Check(c); err != nil {
		return fmt.Errorf("reload: the configuration in force stays: %w", err)
	}
	old := a.world.Load()
	if err := needsRestart(old.config, c); err != nil {
		return fmt.Errorf("reload: the configuration in force stays: %w", err)
	}
	w, err := a.newWorld(c)
	if err != nil {
		return fmt.Errorf("reload: the configuration in force stays: %w", err)
	}
	a.world.Store(w)
	if err := a.patrol.Declare(ctx, w); err != nil {
		a.world.Store(old)
		w.close()
		return fmt.Errorf("reload: the configuration in force stays: %w", err)
	}
	old.retire(w)
	a.changes.signal()
	a.log.Info("configuration reloaded", "certificates", len(c.Certificates), "endpoints", countEndpoints(c))
	return nil
}

// needsRestart refuses changes of what is only read at the start, so that nobody believes them to be in force.
func needsRestart(old, c *config.Config) error {
	var keys []string
	for _, k := range []struct {
		name    string
		changed bool
	}{
		{"listen", old.Listen != c.Listen},
		{"state", old.State.Value() != c.State.Value()},
		{"base_url", old.BaseURL != c.BaseURL && (old.Listen == c.Listen || c.BaseURL != "http://"+c.Listen)},
		{"sign_in", !sameSignIn(old.SignIn, c.SignIn)},
		{"metrics.otlp", old.Metrics.OTLP.Value() != c.Metrics.OTLP.Value()},
		{"monitor.control", old.Monitor.Control != c.Monitor.Control},
		{"keys", old.Keys.Value() != c.Keys.Value()},
		{"concurrency", old.Concurrency != c.Concurrency},
	} {
		if k.changed {
			keys = append(keys, k.name)
		}
	}
	if len(keys) > 0 {
		return fmt.Errorf("a restart is needed to change %s", strings.Join(keys, ", "))
	}
	return nil
}

// Close gives everything back. It is called by Run; calling it again does nothing.
func (a *App) Close() error {
	a.end()
	a.errands.Wait()
	a.changes.close()
	var errs []error
	if a.listener != nil {
		if err := a.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if a.control != nil {
		a.control.stop()
	}
	if w := a.world.Load(); w != nil {
		w.close()
	}
	if a.db != nil {
		errs = append(errs, a.db.Close())
	}
	return errors.Join(errs...)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func countEndpoints(c *config.Config) int {
	n := 0
	for i := range c.Certificates {
		n += len(c.Certificates[i].Endpoints)
	}
	return n
}
