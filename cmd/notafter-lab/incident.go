package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/lab/estate"
)

type incidentOptions struct {
	listen  string
	act     int
	speed   float64
	running bool
	browser bool
	verbose bool
}

func incidentCommand(out io.Writer) *cobra.Command {
	o := incidentOptions{}
	cmd := &cobra.Command{
		Use:   "incident",
		Short: "Replay the outage that notafter was made for: as it was, and as it would be",
		Long: `Plays 22 September to 11 October 2023 in minutes, in real parts: an ACME authority, name servers, a stand-in for
Azure that enforces its role assignments, two HTTPS services on two addresses each, and a pager.

Act 1 is the outage as it was: a Terraform change deletes one role assignment among two hundred harmless changes, the
certificate controller fails in silence, the uptime checker ignores TLS errors, and on a Sunday every client is refused.
Act 2 is the same with notafter. It ends with the two timelines side by side.

A day lasts six seconds; --speed makes it shorter or longer. Ends by itself, and leaves nothing behind; the exit status is
130 when it was interrupted before.`,
		Example: `  notafter-lab incident
  notafter-lab incident --act 2 --keep-running
  notafter-lab incident --speed 2 --browser=false`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return incident(cmd.Context(), o, out) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8710", "address of the dashboard in act 2; another port is taken if this one is")
	f.IntVar(&o.act, "act", 0, "play one act only: 1 without notafter, 2 with it (0: both)")
	f.Float64Var(&o.speed, "speed", 1, "how fast: 2 makes a day last three seconds")
	f.BoolVar(&o.running, "keep-running", false, "leave everything running after the last act, to look around, until interrupted")
	f.BoolVar(&o.browser, "browser", true, "open the dashboard in a browser, where there is one")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the product's log as well")
	_ = cmd.RegisterFlagCompletionFunc("act", cobra.FixedCompletions([]string{"0", "1", "2"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// slowest and fastest keep a day between a minute and a second and a half: below that the parts cannot keep up.
const fastest, slowest = 4, 0.1

func incident(ctx context.Context, o incidentOptions, out io.Writer) (err error) {
	if o.act < 0 || o.act > 2 {
		return fmt.Errorf("--act %d: there are the acts 1 and 2", o.act)
	}
	if math.IsNaN(o.speed) || o.speed < slowest || o.speed > fastest {
		return fmt.Errorf("--speed %v: want a number from %v to %v", o.speed, slowest, fastest)
	}
	if err := estate.Possible(); err != nil {
		return err
	}
	temporary, err := makeDirectory("notafter-incident-")
	if err != nil {
		return err
	}
	defer func() {
		switch e := temporary.remove(); {
		case e != nil:
			err = errors.Join(err, e)
		case errors.Is(err, errInterrupted):
			_, _ = fmt.Fprintln(out, "\nInterrupted. Nothing is left behind.")
		}
	}()
	dir := temporary.path
	log := slog.New(slog.DiscardHandler)
	if o.verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	p := &play{o: o, screen: &screen{out: out}, day: time.Duration(float64(wholeDay) / o.speed).Round(time.Millisecond), log: log}
	p.screen.say("The outage of 8 October 2023, replayed. A day lasts %s. Everything listens on loopback.\n", p.day)
	var past *ledger
	if o.act != 2 {
		if past, err = p.without(ctx, filepath.Join(dir, "act1")); err != nil {
			return ended(ctx, err)
		}
	}
	if o.act != 1 {
		if err := p.with(ctx, filepath.Join(dir, "act2"), func(l *ledger) { p.compare(past, l) }); err != nil {
			return ended(ctx, err)
		}
	} else {
		p.compare(past, nil)
	}
	p.screen.say("\nNothing is left behind.\n")
	return nil
}

// errInterrupted is the end of a play that somebody ended before it was over: what it would have shown, it has not.
var errInterrupted = errors.New("interrupted")

// ended is why an act ended early.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// play is one performance.
type play struct {
	o      incidentOptions
	screen *screen
	day    time.Duration // how long a day lasts here
	log    *slog.Logger
}
