package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/config"
)

// service is the whole product, running.
type service interface {
	// Run serves until ctx ends and returns nil after a drained stop.
	Run(ctx context.Context) error
	// Reload takes up the configuration anew. On an error the old one stays in force.
	Reload(ctx context.Context) error
}

// serviceOptions is what the whole product needs.
type serviceOptions struct {
	Config     *config.Config
	ConfigPath string // empty when there is no file
	Logger     *slog.Logger
	Stdout     io.Writer
	Version    string
}

type serveOptions struct {
	config, state, listen string
	roots, resolvers      []string
	logFormat, logLevel   string
}

func (p *program) serve() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve (-c FILE | TARGET...)",
		Short: "Run the patrol, the dashboard and the API",
		Long: `serve watches what the configuration declares, keeps the dashboard at the address of the key "listen",
and tells people through its channels. It refuses to start with nobody to tell, nothing to watch, or an
unknown key.

With targets instead of a file it watches those on defaults. Targets of one host count as one certificate,
which has the name of the host, whatever their ports and schemes. There is then nobody to tell but whoever
looks at the dashboard.

SIGHUP takes up the file anew; when the file has a problem, the old configuration stays in force. SIGTERM
and Ctrl-C stop it after what is under way is done; a second one stops it at once. Only one process may
use a state directory; several share one PostgreSQL database.`,
		Example: `  notafter serve -c /etc/notafter/notafter.yaml
  notafter serve example.com smtp://mx.example.com
  notafter serve --state ./state --listen 127.0.0.1:9000 example.com
  systemctl kill --signal HUP notafter      # after a change of the file`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions, // a target is no file
		RunE:              func(cmd *cobra.Command, args []string) error { return p.runServe(cmd.Context(), o, args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.config, "config", "c", "", "the configuration `FILE`")
	f.StringVar(&o.state, "state", "", "with targets: keep state in `DIRECTORY` (default $XDG_STATE_HOME/notafter or ~/.local/state/notafter)")
	f.StringVar(&o.listen, "listen", "", "with targets: `ADDRESS` of the dashboard, on loopback (default "+config.Default().Listen+")")
	f.StringArrayVar(&o.roots, "roots", nil, "with targets: trust the roots in `FILE` (PEM) instead of the system's")
	f.StringArrayVar(&o.resolvers, "dns", nil, "with targets: ask the resolver at `ADDRESS` (IP or IP:port) instead of the system's; may be given more than once")
	f.StringVar(&o.logFormat, "log-format", "", "`FORMAT` of the log on standard error: text, json (default text on a terminal, else json)")
	f.StringVar(&o.logLevel, "log-level", "info", "least `LEVEL` that is logged: debug, info, warn, error")
	completed(cmd, "log-format", "text", "json")
	completed(cmd, "log-level", "debug", "info", "warn", "error")
	return cmd
}

func (p *program) runServe(ctx context.Context, o serveOptions, args []string) error {
	logger, err := p.logger(o.logFormat, o.logLevel)
	if err != nil {
		return err
	}
	// From here on, or a reload asked for while the database is being opened would end the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	c, path, err := p.serveConfig(o, args)
	if err != nil {
		return err
	}
	for _, n := range c.Notes() {
		logger.Warn(n.Text, "key", n.Key, "file", n.File, "line", n.Line)
	}
	svc, err := p.newService(serviceOptions{Config: c, ConfigPath: path, Logger: logger, Stdout: p.stdout, Version: version()})
	var problems *config.Problems
	if errors.As(err, &problems) {
		return problems // each with its place, as those that parsing finds
	}
	if err != nil {
		return failed(err)
	}
	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for {
			select {
			case <-runCtx.Done():
				return
			case <-hup:
				p.reload(runCtx, svc, path, logger)
			}
		}
	}()
	if err := svc.Run(runCtx); err != nil {
		return failed(err)
	}
	logger.Info("stopped: what was under way is done")
	return nil
}

func (p *program) reload(ctx context.Context, svc service, path string, logger *slog.Logger) {
	if path == "" {
		logger.Warn("nothing to reload: the endpoints were given on the command line")
		return
	}
	if ctx.Err() != nil {
		return
	}
	err := svc.Reload(ctx)
	if ctx.Err() != nil {
		logger.Info("the configuration was not read again: notafter is being stopped", "file", path)
		return
	}
	var problems *config.Problems
	if errors.As(err, &problems) {
		for _, one := range problems.List {
			logger.Error(clean(one.Text), "key", one.Key, "file", one.File, "line", one.Line, "column", one.Column)
		}
		logger.Error("the new configuration was refused; the old one stays in force", "file", path, "problems", len(problems.List)+problems.More)
		return
	}
	if err != nil {
		logger.Error("the new configuration was refused; the old one stays in force", "file", path, "error", cleanLines(err.Error()))
	}
}

// serveConfig gives the configuration with its secrets read.
func (p *program) serveConfig(o serveOptions, args []string) (*config.Config, string, error) {
	switch {
	case o.config != "" && len(args) > 0:
		return nil, "", misuse("give either a configuration with -c or targets, not both")
	case o.config == "" && len(args) == 0:
		return nil, "", misuse("nothing to watch: give a configuration with -c, or targets")
	case o.config != "" && (o.state != "" || o.listen != "" || len(o.roots)+len(o.resolvers) > 0):
		return nil, "", misuse("--state, --listen, --roots and --dns go with targets; with -c they are the keys state, listen, trust and dns")
	}
	if o.config != "" {
		path, err := filepath.Abs(o.config)
		if err != nil {
			return nil, "", fmt.Errorf("read configuration: %w", err)
		}
		c, err := config.Load(path)
		if err != nil {
			return nil, "", err
		}
		if err := c.Resolve(); err != nil {
			return nil, "", err
		}
		return c, path, nil
	}
	targets, _, err := p.readTargets(args, nil)
	if err != nil {
		return nil, "", err
	}
	c, err := config.ForTargets(targets)
	if err != nil {
		return nil, "", err
	}
	if o.listen != "" {
		if err := config.CheckListen(o.listen, false); err != nil {
			return nil, "", usageError{fmt.Errorf("--listen: %w", err)}
		}
		c.Listen, c.BaseURL = o.listen, "http://"+o.listen
	}
	if o.state != "" {
		dir, err := filepath.Abs(o.state)
		if err != nil {
			return nil, "", fmt.Errorf("state directory: %w", err)
		}
		c.State = config.NewState(dir)
	}
	if len(o.roots) > 0 {
		c.Trust = config.Trust(o.roots)
	}
	for _, s := range o.resolvers {
		a, err := resolverAddress(s)
		if err != nil {
			return nil, "", err
		}
		c.DNS.Servers = append(c.DNS.Servers, a)
	}
	if err := c.Resolve(); err != nil {
		return nil, "", err
	}
	return c, "", nil
}

func (p *program) logger(format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, misuse("--log-level %q is not possible: want debug, info, warn or error", clip(level, 40))
	}
	_, terminal := terminalColumns(p.stderr)
	if format == "" {
		format = "json"
		if terminal {
			format = "text"
		}
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(p.stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(p.stderr, options)), nil
	}
	return nil, usageError{errors.New("--log-format must be text or json")}
}
