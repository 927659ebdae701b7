// Command notafter-lab starts a small Internet on this machine and the real product on top of it: an authority, DNS, a
// dozen and more TLS services with certificates that live for minutes, and somebody to page. It needs no network, no
// root and no configuration, and leaves nothing behind.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := command(os.Stdout).ExecuteContext(ctx)
	if err == errInterrupted { //nolint:errorlint // joined with something else, it is told
		stop()
		os.Exit(130) //nolint:gocritic // as the shell has it; stop was called
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notafter-lab:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

type options struct {
	listen  string
	life    time.Duration
	lasting time.Duration
	browser bool
	verbose bool
	// alone leaves the part that renews out.
	alone bool
}

func command(out io.Writer) *cobra.Command {
	o := options{}
	cmd := &cobra.Command{
		Use:   "notafter-lab",
		Short: "A small Internet on this machine, with notafter watching it",
		Long: `Starts a certificate authority, an authoritative DNS server, TLS services of which some are faulty or soon
will be, a sink for pages, and the real notafter on top of them. Beside them stand an ACME authority with its staging
twin, two zones on three name servers each and a stand-in for Azure, in which notafter renews and rehearses by
itself, and where permissions are lost, reloads fail and name servers lag. Certificates live for minutes, so that
things happen while you watch. Everything listens on loopback; nothing needs root or a network, and nothing is left
behind.`,
		Example: `  notafter-lab
  notafter-lab --life 2m --for 5m
  notafter-lab --no-renewal
  notafter-lab --listen 127.0.0.1:9000 --browser=false`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o, out) },
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8710", "address of the dashboard; another port is taken if this one is")
	cmd.Flags().DurationVar(&o.life, "life", 6*time.Minute, "how long the certificates live")
	cmd.Flags().DurationVar(&o.lasting, "for", 0, "end after this time (default: when interrupted)")
	cmd.Flags().BoolVar(&o.browser, "browser", true, "open the dashboard in a browser, where there is one")
	cmd.Flags().BoolVar(&o.alone, "no-renewal", false, "leave out what notafter renews itself, and only watch")
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show the product's log as well")
	cmd.AddCommand(incidentCommand(out))
	return cmd
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.lasting > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.lasting)
		defer cancel()
	}
	listener, err := listen(o.listen)
	if err != nil {
		return err
	}
	temporary, err := makeDirectory("notafter-lab-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, temporary.remove()) }()
	dir := temporary.path
	world, err := lab.Start(ctx, lab.Options{Life: o.life, Dir: filepath.Join(dir, "world"), Pager: lab.PagerOptions{Secret: pagerSecret}})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer world.Stop()
	c, err := settings(world, filepath.Join(dir, "state"), "http://"+listener.Addr().String())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	screen := &screen{out: out}
	renewal, err := settle(o, world, filepath.Join(dir, "estate"), c)
	switch {
	case errors.Is(err, estate.ErrNotHere):
		screen.say("Nothing is renewed here: %v.\n\n", err)
	case err != nil:
		return errors.Join(err, listener.Close())
	case renewal != nil:
		defer renewal.estate.Stop()
	}
	log := slog.New(slog.DiscardHandler)
	if o.verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	product, err := app.New(app.Options{Config: c, Logger: log, Listener: listener, Version: "lab", Tick: 200 * time.Millisecond, Scan: 2 * time.Second})
	if err != nil {
		return err
	}
	introduce(screen, world, renewal, listener.Addr().String())
	if o.browser {
		openBrowser("http://" + listener.Addr().String())
	}
	var listening sync.WaitGroup
	defer listening.Wait()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	listening.Go(func() { tellPages(watching, screen, world.Pager) })
	if renewal != nil {
		listening.Go(func() { renewal.story(watching, screen) })
	}
	if err := product.Run(ctx); err != nil {
		return err
	}
	screen.say("\nThe lab is closed; nothing is left behind.\n")
	return nil
}

// listen takes the wanted address, or any port of the same host when that one is taken.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	host, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return nil, err
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

// screen lets several goroutines write whole lines.
type screen struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.out, format, args...)
}

func introduce(s *screen, w *lab.World, r *renewal, address string) {
	s.say("notafter's lab: a small Internet on this machine. Its certificates live for %s.\n\n", w.Life)
	for _, scene := range w.Scenes() {
		when := ""
		if scene.Later {
			when = " (later)"
		}
		s.say("  %-12s %s%s\n", scene.Name, scene.Watch, when)
	}
	if r != nil {
		r.introduce(s)
	}
	s.say("\nDashboard: http://%s\nMetrics:   http://%s/metrics\nAPI:       http://%s/api/v1\n", address, address, address)
	s.say("\nLook by hand, too:\n  go run ./cmd/notafter check --roots %s --dns %s %s\n",
		w.RootsFile, w.DNS.Addr(), w.Scenes()[0].Endpoints[0])
	if r != nil {
		r.byHand(s, address)
	}
	s.say("\nPages as they arrive, and what the lab does (end with Ctrl-C):\n")
}

// tellPages shows what the on-call person's pager shows.
func tellPages(ctx context.Context, s *screen, p *lab.Pager) {
	shown := 0
	for {
		n := 0
		m, err := p.WaitFor(ctx, func(lab.PagerMessage) bool { n++; return n > shown })
		if err != nil {
			return
		}
		shown = n
		if m.Channel == "hook" && m.Event != string(assure.NoticeSupersede) {
			s.say("  %s  %s\n%s", m.At.Format("15:04:05"), clip(m.Title, 230), stakes(m.Body))
		}
	}
}

// stakes is what else a page about a lost permission says: what hangs on it until when, and what to do.
func stakes(body []byte) string {
	var m struct {
		Kind, Text string
		Incident   struct{ Link assure.Link }
	}
	if json.Unmarshal(body, &m) != nil || m.Kind != string(assure.NoticeTrigger) || m.Incident.Link != assure.Permission {
		return ""
	}
	var out strings.Builder
	for line := range strings.Lines(m.Text) {
		if strings.HasPrefix(line, "Touches: ") || strings.HasPrefix(line, "Do next: ") {
			out.WriteString("            " + strings.TrimRight(line, "\n") + "\n")
		}
	}
	return out.String()
}

// clip shortens a line that names resources of a cloud to what a terminal shows at a glance.
func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// openBrowser opens the dashboard where a desktop is likely to be. That it could not is no news: the address was shown.
func openBrowser(url string) {
	name := ""
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "linux", "freebsd", "openbsd", "netbsd":
		if os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "" {
			name = "xdg-open"
		}
	}
	if name == "" {
		return
	}
	if cmd := exec.Command(name, url); cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}
