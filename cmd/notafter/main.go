// Command notafter keeps TLS certificates from ever expiring in service: it looks at what endpoints really serve,
// judges it, and wakes somebody while there is still time.
//
// Exit statuses: 0 all upheld or done, 1 something is broken or did not work, 2 wrong use, configuration or unreadable
// input, 3 nothing broken but something could not be determined, 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/config"
)

// Exit statuses.
const (
	exitUpheld      = 0
	exitBroken      = 1
	exitUsage       = 2
	exitUnknown     = 3
	exitInterrupted = 130
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks; from then on a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	p := &program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, login: login, now: time.Now,
		newLooker: newLooker, newService: newService,
	}
	return p.run(ctx, os.Args[1:])
}

// login is the name of the user that runs this process, by the system's list of users. A container may have none.
func login() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// program is everything the commands need from outside, so that a test can give them something else.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	login          func() string // the name of the user that runs this; empty when not known
	now            func() time.Time
	newLooker      func(lookOptions) (looker, error)
	newService     func(serviceOptions) (service, error)
}

// status is an error that carries the exit status it means. Without a message the command has said all already.
type status struct {
	code int
	err  error
}

func (s status) Error() string {
	if s.err == nil {
		return fmt.Sprintf("exit status %d", s.code)
	}
	return s.err.Error()
}

func (s status) Unwrap() error { return s.err }

// failed makes an error end the program with status 1: it was asked rightly and did not work.
func failed(err error) error { return status{code: exitBroken, err: err} }

// determined makes it status 3 when whoever was to be asked could not be: nothing is known to be broken then.
func determined(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		var s status
		if !errors.As(err, &s) || s.code != exitBroken || s.err == nil || errors.Is(err, context.Canceled) {
			return err
		}
		var unheard unheardError
		var refused refusedError
		if errors.As(s.err, &unheard) || errors.As(s.err, &refused) && refused.kept() {
			return status{code: exitUnknown, err: s.err}
		}
		return err
	}
}

func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitUpheld
	}
	s := status{code: exitUsage, err: err}
	errors.As(err, &s)
	if s.err != nil {
		_, _ = fmt.Fprintf(p.stderr, "%s%s\n", speaker(s.err), cleanLines(s.err.Error()))
		var misuse usageError
		if errors.As(err, &misuse) {
			_, _ = fmt.Fprintf(p.stderr, "Try: %s --help\n", cmd.CommandPath())
		}
	}
	return s.code
}

// speaker says who speaks, but not before the problems of a file: each of their lines begins with file:line:column, and
// editors look for that.
func speaker(err error) string {
	var p *config.Problems
	if errors.As(err, &p) && len(p.List) > 0 && p.List[0].File != "" && strings.HasPrefix(err.Error(), p.List[0].File+":") {
		return ""
	}
	return "notafter: "
}

// usageError is a command line that cannot be meant.
type usageError struct{ error }

func misuse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "notafter",
		Short: "Keeps TLS certificates from ever expiring in service",
		Long: `notafter renews TLS certificates, proves ahead of time that the next renewal will work, looks at what
endpoints really serve, on every address, judges it, and tells somebody while there is still time to repair.

Exit statuses
  0    everything is upheld, or what was asked for was done
  1    something is broken, or did not work
  2    wrong use, wrong configuration or unreadable input
  3    nothing is broken, but something could not be determined
  130  interrupted`,
		Example: `  notafter check example.com mail.example.com:465 smtp://mx.example.com
  notafter serve -c notafter.yaml
  notafter serve example.com
  terraform show -json plan.tfplan | notafter guard -`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          commandOf,
		RunE:          func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetVersionTemplate("notafter {{.Version}}\n")
	root.AddCommand(p.check(), p.guard(), p.serve(), p.config(), p.renew(), p.rehearse(), p.prove(), p.drift(), p.apply(), p.account(), p.incidents(), p.ack(), p.hashPassword(), p.dnsWriter(), p.version())
	return root
}

// commandOf refuses what is none of the commands below cmd, and names those that may have been meant.
func commandOf(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // two letters swapped are two edits
	meant := ""
	if list := cmd.SuggestionsFor(args[0]); len(list) > 0 {
		meant = fmt.Sprintf(" (did you mean %s?)", strings.Join(list, " or "))
	}
	return misuse("unknown command %q%s", clip(args[0], 60), meant)
}

// noArgs refuses arguments with a word on what they might have been meant for.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misuse("%s takes no arguments, but got %q", cmd.CommandPath(), clip(args[0], 60))
	}
	return nil
}
