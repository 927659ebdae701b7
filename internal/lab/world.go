package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Options configures a [World]. The zero value of each field has a meaning.
type Options struct {
	// Life is how long the world's certificates live; zero means six minutes. Everything else goes by it.
	Life time.Duration
	// Dir is where files are written: roots.pem, and the newest issued certificate of each scene as issued/NAME.pem.
	// Empty means a new directory, removed by Stop.
	Dir string
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// Log hears what happens in the world; nil means nobody.
	Log *slog.Logger
	// Pager configures the sink for pages. Its Now is the world's.
	Pager PagerOptions
}

// Scene is one declared certificate in the world, and what will become of it.
type Scene struct {
	Name      string   // of the certificate, such as "shop"
	Names     []string // that the certificate should hold
	Endpoints []string // targets
	// Issued is the file with the newest issued certificate, in PEM form.
	Issued string
	// Watch says what there is to see, in a sentence or two for people.
	Watch string
	// Reasons are what will be found, at once or in the course of a lifetime. Empty: all is well and stays so.
	Reasons []assure.Reason
	// Later: nothing is to be found in the first minute.
	Later bool
}

// World is a small Internet in which things happen: certificates live for minutes, most are renewed in time, and some
// are not. It is safe for concurrent use.
type World struct {
	CA    *CA
	DNS   *DNS
	Pager *Pager
	// Roots is what is to be trusted, in PEM form, also written to RootsFile.
	Roots     []byte
	RootsFile string
	Dir       string
	Life      time.Duration
	// Every, TimeToRepair and Confirm are settings for a patrol that fit certificates this short.
	Every, TimeToRepair, Confirm time.Duration

	now    func() time.Time
	log    *slog.Logger
	scenes []*scene
	stops  []func()
	cancel context.CancelFunc
	work   sync.WaitGroup
	once   sync.Once
}

// scene is a Scene with what makes it go. Only the world's own goroutine calls act.
type scene struct {
	Scene
	act func(now time.Time) error
}

// Start starts a world. It ends when ctx is done or Stop is called; Stop is needed in both cases to wait for the end.
func Start(ctx context.Context, o Options) (*World, error) {
	if o.Life <= 0 {
		o.Life = 6 * time.Minute
	}
	if o.Life < 2*time.Second {
		return nil, fmt.Errorf("start the world: a certificate cannot live for only %s", o.Life)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &World{
		Life: o.Life, Dir: o.Dir, now: o.Now, log: o.Log,
		Every: max(o.Life/72, time.Second), TimeToRepair: o.Life / 8, Confirm: o.Life / 36,
	}
	if err := w.open(o); err != nil {
		w.Stop()
		return nil, fmt.Errorf("start the world: %w", err)
	}
	if err := w.stage(); err != nil {
		w.Stop()
		return nil, fmt.Errorf("start the world: %w", err)
	}
	run, cancel := context.WithCancel(ctx)
	w.cancel = cancel
	w.work.Go(func() { w.run(run) })
	return w, nil
}

// open starts everything but the scenes.
func (w *World) open(o Options) error {
	if w.Dir == "" {
		dir, err := os.MkdirTemp("", "notafter-lab-")
		if err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		w.Dir = dir
		w.stops = append(w.stops, func() { _ = os.RemoveAll(dir) })
	}
	if err := os.MkdirAll(filepath.Join(w.Dir, "issued"), 0o755); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	var err error
	if w.CA, err = NewCA(CAOptions{Now: w.now, Name: "Notafter Lab", Fresh: max(w.Life/6, time.Second)}); err != nil {
		return err
	}
	w.stops = append(w.stops, w.CA.Stop)
	w.Roots, w.RootsFile = w.CA.RootPEM(), filepath.Join(w.Dir, "roots.pem")
	if err := os.WriteFile(w.RootsFile, w.Roots, 0o644); err != nil { //nolint:gosec // a public certificate
		return fmt.Errorf("write the roots: %w", err)
	}
	if w.DNS, err = StartDNS(DNSOptions{}); err != nil {
		return err
	}
	w.stops = append(w.stops, w.DNS.Stop)
	if err := w.DNS.AddZone(Domain); err != nil {
		return err
	}
	o.Pager.Now = w.now
	if w.Pager, err = StartPager(o.Pager); err != nil {
		return err
	}
	w.stops = append(w.stops, w.Pager.Stop)
	return nil
}

// Scenes returns what there is to see.
func (w *World) Scenes() []Scene {
	out := make([]Scene, len(w.scenes))
	for i, s := range w.scenes {
		out[i] = s.Scene
		out[i].Names, out[i].Endpoints, out[i].Reasons = slices.Clone(s.Names), slices.Clone(s.Endpoints), slices.Clone(s.Reasons)
	}
	return out
}

// Stop ends the world and waits for it.
func (w *World) Stop() {
	w.once.Do(func() {
		if w.cancel != nil {
			w.cancel()
		}
		w.work.Wait()
		for _, stop := range slices.Backward(w.stops) {
			stop()
		}
	})
}

// run lets things happen until ctx is done.
func (w *World) run(ctx context.Context) {
	tick := time.NewTicker(min(max(w.Life/360, 20*time.Millisecond), time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := w.now()
		for _, s := range w.scenes {
			if s.act == nil {
				continue
			}
			if err := s.act(now); err != nil {
				w.log.Error("scene", "name", s.Name, "error", err)
			}
		}
	}
}

// publish writes a leaf where a scene's issued certificate is kept, all at once.
func (w *World) publish(name string, l *Leaf) (string, error) {
	path := filepath.Join(w.Dir, "issued", name+".pem")
	next := path + ".next"
	if err := os.WriteFile(next, l.PEM(), 0o644); err != nil { //nolint:gosec // a public certificate
		return "", fmt.Errorf("write the certificate of %s: %w", name, err)
	}
	if err := os.Rename(next, path); err != nil {
		return "", fmt.Errorf("put the certificate of %s in place: %w", name, err)
	}
	return path, nil
}

// start starts a service of the world and gives its names addresses.
func (w *World) start(o ServiceOptions, hosts ...string) (*Service, error) {
	s, err := StartService(o)
	if err != nil {
		return nil, err
	}
	w.stops = append(w.stops, s.Stop)
	addresses := o.Addresses
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1"}
	}
	var all error
	for _, h := range hosts {
		all = errors.Join(all, w.DNS.SetAddresses(h, addresses...))
	}
	return s, all
}
