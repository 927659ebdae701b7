package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
)

// looker brings back what one endpoint serves on each of its addresses. It never fails: what could not be seen is part
// of what it brings back. Safe for concurrent use.
type looker interface {
	Look(ctx context.Context, t assure.Target) assure.Served
}

// lookOptions says how to look.
type lookOptions struct {
	Roots      []string // paths of PEM files that replace the system's roots; empty for those
	Timeout    time.Duration
	Revocation config.Revocation
	WithoutSNI bool
	Resolvers  []string // ip or ip:port; empty for the system's
	Now        func() time.Time
}

type checkOptions struct {
	lookOptions
	lists       []string
	at          string
	output      string
	concurrency int
	revocation  string
}

var outputs = []string{"table", "json", "jsonl", "junit"}

func (p *program) check() *cobra.Command {
	defaults := config.Default()
	o := checkOptions{lookOptions: lookOptions{Now: p.now}}
	cmd := &cobra.Command{
		Use:   "check TARGET...",
		Short: "Look once at endpoints and judge what they serve",
		Long: `check looks once at every address of every target and judges what is served there. It needs no
configuration. Each problem comes with what it means and what to do.

A target is [scheme://]host[:port][@ip]. The scheme is tls (the default, port 443), https, h3, or a
protocol that switches to TLS: smtp, imap, pop3, ftp, ldap, postgres, mysql. @ip looks at one address
only; otherwise every A and AAAA address is looked at.

On a terminal the result is a table, the worst first; elsewhere it is JSON. The formats json, jsonl and
junit keep the order in which targets were given, but jsonl writes each line as soon as it is known.
A target given twice is looked at once.

Exit statuses
  0    every endpoint is upheld
  1    something is broken
  2    wrong use or unreadable input; nothing was looked at
  3    nothing is broken, but something could not be determined
  130  interrupted; what was not looked at is reported as unknown`,
		Example: `  notafter check example.com
  notafter check example.com:8443 smtp://mx.example.com imap://mail.example.com postgres://db.example.com
  notafter check www.example.com@192.0.2.10             # one address of many
  notafter check --targets endpoints.txt --output junit > report.xml
  kubectl get ingress -A -o json | jq -r '.items[].spec.rules[]?.host' | notafter check --targets -
  notafter check --at +30d example.com                  # will it be upheld in 30 days?
  notafter check --roots corporate-ca.pem intranet.example.com`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions, // a target is no file
		RunE:              func(cmd *cobra.Command, args []string) error { return p.runCheck(cmd.Context(), o, args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVar(&o.lists, "targets", nil, "read targets from `FILE`, one a line, # begins a comment; - is standard input")
	f.StringVarP(&o.output, "output", "o", "", "`FORMAT` of the result: "+strings.Join(outputs, ", ")+" (default table on a terminal, else json)")
	f.StringVar(&o.at, "at", "", "judge as if it were `TIME`: 2026-10-08T15:00:00Z, 2026-10-08, or +30d from now. What is seen is seen now")
	f.StringArrayVar(&o.Roots, "roots", nil, "trust the roots in `FILE` (PEM) instead of the system's; may be given more than once")
	f.StringVar(&o.revocation, "revocation", string(defaults.Revocation), "what to ask about revocation: off, leaf, full")
	f.BoolVar(&o.WithoutSNI, "without-sni", false, "look a second time without sending a server name, and tell of a default certificate that differs")
	f.StringArrayVar(&o.Resolvers, "dns", nil, "ask the resolver at `ADDRESS` (IP or IP:port) instead of the system's; may be given more than once")
	f.IntVar(&o.concurrency, "concurrency", defaults.Concurrency, "look at `N` endpoints at the same time")
	durationVar(f, &o.Timeout, "timeout", defaults.Timeout.Std(), "longest `DURATION` of one handshake with one address")
	completed(cmd, "output", outputs...)
	completed(cmd, "revocation", "off", "leaf", "full")
	return cmd
}

func (p *program) runCheck(ctx context.Context, o checkOptions, args []string) error {
	out := outputOf(p)
	if o.output == "" {
		o.output = "json"
		if out.terminal {
			o.output = "table"
		}
	}
	if !slices.Contains(outputs, o.output) {
		return misuse("--output %q is not possible: want one of %s", clip(o.output, 40), strings.Join(outputs, ", "))
	}
	if !slices.Contains([]string{"off", "leaf", "full"}, o.revocation) {
		return misuse("--revocation %q is not possible: want off, leaf or full", clip(o.revocation, 40))
	}
	o.Revocation = config.Revocation(o.revocation)
	if o.concurrency < 1 || o.concurrency > 65536 {
		return misuse("--concurrency %d is not possible: want a number from 1 to 65536", o.concurrency)
	}
	if o.Timeout <= 0 {
		return misuse("--timeout must be longer than nothing")
	}
	began := p.now()
	var at time.Time
	if o.at != "" {
		var err error
		if at, err = parseAt("--at", o.at, began); err != nil {
			return usageError{err}
		}
	}
	targets, repeated, err := p.readTargets(args, o.lists)
	if err != nil {
		return err
	}
	look, err := p.newLooker(o.lookOptions)
	if err != nil {
		return err
	}
	if repeated > 0 {
		_, _ = fmt.Fprintf(p.stderr, "notafter: %s given again; each target is looked at once\n", count(repeated, "target was", "targets were"))
	}

	r := report{Checked: began.UTC().Truncate(time.Second), Endpoints: make([]endpoint, len(targets))}
	if !at.IsZero() {
		r.Checked = at.UTC().Truncate(time.Second)
	}
	c := checker{look: look, now: p.now, at: at, concurrency: o.concurrency}
	bar := p.progress(len(targets), o.output == "jsonl" && out.terminal)
	var writeErr error
	c.run(ctx, targets, func(i int, e endpoint) {
		r.Endpoints[i] = e
		bar.add(e.Verdict)
		if o.output == "jsonl" && writeErr == nil {
			writeErr = writeJSONLine(p.stdout, e)
		}
	})
	bar.done()
	if writeErr == nil {
		switch o.output {
		case "json":
			writeErr = writeJSON(p.stdout, r)
		case "junit":
			writeErr = writeJUnit(p.stdout, r, p.now().Sub(began))
		case "table":
			writeErr = writeTable(out, r, at, p.now().Sub(began))
		}
	}
	if writeErr != nil {
		return status{exitUsage, fmt.Errorf("write the result: %w", writeErr)}
	}
	if n := r.stopped(); n > 0 {
		_, _ = fmt.Fprintf(p.stderr, "notafter: interrupted: %s not looked at\n", count(n, "endpoint was", "endpoints were"))
		return status{code: exitInterrupted}
	}
	switch r.worst() {
	case assure.Broken:
		return status{code: exitBroken}
	case assure.Unknown:
		return status{code: exitUnknown}
	}
	return nil
}

// parseAt reads a moment: RFC 3339, a date or date and time in UTC, or a duration from now with a sign.
func parseAt(flag, s string, now time.Time) (time.Time, error) {
	in := strings.TrimSpace(s)
	if len(in) > 1 && (in[0] == '+' || in[0] == '-') {
		d, err := config.ParseDuration(in[1:])
		if err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", flag, err)
		}
		if in[0] == '-' {
			return now.Add(-d.Std()), nil
		}
		return now.Add(d.Std()), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, in); err == nil && !t.IsZero() { // the zero time means that none was given
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q is not a time: want RFC 3339 such as 2026-10-08T15:00:00Z, a date, or a duration from now such as +30d", flag, clip(in, 60))
}

// maxRoots bounds a file of roots, in bytes. The largest stores in use are below one MiB.
const maxRoots = 16 << 20

// readAtMost reads a file, which may be a pipe or a device without end.
func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s is larger than %d MiB", path, most>>20)
	}
	return b, err
}

// readRoots reads PEM files one after the other, so that several make one set of roots.
func readRoots(paths []string) ([]byte, error) {
	var all []byte
	var errs []error
	for _, path := range paths {
		b, err := readAtMost(path, maxRoots)
		if err != nil {
			errs = append(errs, fmt.Errorf("read roots: %w", err))
			continue
		}
		all = append(append(all, b...), '\n')
	}
	return all, errors.Join(errs...)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
