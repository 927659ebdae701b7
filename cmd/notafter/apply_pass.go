package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

// ran is a command that has ended.
type ran struct {
	started, ended time.Time
	exit           int
	interrupted    bool
}

// pass runs a command with the terminal and with signals passed on, and waits for its end whatever happens, also when ctx
// ends: who applies infrastructure must not be left behind half-way. An error means that it never ran.
func (p *program) pass(ctx context.Context, command []string) (ran, error) {
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // the user's own command is what this is for
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.stdout, p.stderr
	cmd.WaitDelay = 10 * time.Second // for what the command left running with the output in its hands
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, ends()...)
	defer signal.Stop(signals)
	if ctx.Err() != nil {
		return ran{}, status{code: exitInterrupted, err: errors.New("interrupted")}
	}
	r := ran{started: p.now()}
	if err := cmd.Start(); err != nil {
		return ran{}, fmt.Errorf("run the command: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			r.ended = p.now()
			r.exit = exitOf(cmd, err)
			return r, nil
		case s := <-signals:
			r.interrupted = true
			// A terminal tells an interruption to every process in front of it. Told twice, Terraform would drop everything.
			if s == os.Interrupt && p.interactive() {
				continue
			}
			if s == syscall.SIGHUP {
				s = syscall.SIGTERM // a hang-up would end Terraform at once, and leave its lock behind
			}
			_ = cmd.Process.Signal(s) // it may have ended just now
		}
	}
}

// ends are the signals by which people end a program. A connection that is lost is one of them, except under nohup.
func ends() []os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return []os.Signal{os.Interrupt, syscall.SIGTERM}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
}

// interactive reports whether a terminal is in front of the program.
func (p *program) interactive() bool {
	f, ok := p.stdin.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// exitOf is the status of a command that has ended: 128 and the signal's number when one ended it, as shells have it.
func exitOf(cmd *exec.Cmd, err error) int {
	s := cmd.ProcessState
	if s == nil {
		return exitBroken
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	if code := s.ExitCode(); code != 0 || err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return code
	}
	return exitBroken // it ended well, and what it said was lost
}

// untilInterrupted is a context that lives on although ctx may have ended by an interruption before, until the next one.
func (p *program) untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.WithoutCancel(ctx), ends()...)
}
