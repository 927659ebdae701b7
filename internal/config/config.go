package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Config is the whole file. All durations are text with units, such as "15m", "12h" or "30d"; relative paths begin at
// the directory of the file. Secrets are written by reference only: "env:NAME" or "file:PATH".
type Config struct {
	// Certificates lists what must never expire in service. At least one is needed.
	Certificates []Certificate `yaml:"certificates,required"`
	// Renewers names what renews certificates.
	Renewers map[string]Renewer `yaml:"renewers"`
	// Channels names the ways to tell people. At least one is needed: with nobody to tell, notafter refuses to serve.
	Channels map[string]Channel `yaml:"channels,required"`
	// Routes names groups of channels. Left out, there is one route named "default" that holds every channel.
	Routes map[string]Route `yaml:"routes"`
	// DefaultRoute is the route of certificates that name none. Left out, it is the route named "default", or the only
	// route there is.
	DefaultRoute string `yaml:"default_route"`
	// Monitor is about notafter itself: its heartbeat to an outside party and the control that is bad on purpose.
	Monitor Monitor `yaml:"monitor"`

	// State is where everything is kept: a directory, which then holds a SQLite database, or a reference to a
	// PostgreSQL address (env:NAME or file:PATH leading to postgres://...). Left out, it is $STATE_DIRECTORY, else
	// $XDG_STATE_HOME/notafter, else ~/.local/state/notafter.
	State State `yaml:"state"`
	// Keys refers to the identity (age, "AGE-SECRET-KEY-1...") that private keys are encrypted with where they are kept.
	// Left out, one is made at the first start and kept as age.key in the state directory; with PostgreSQL it is needed as
	// soon as there is a renewer. Without it nothing that was kept can be read: keep a copy elsewhere.
	Keys Secret `yaml:"keys"`
	// Listen is the host:port of the dashboard, the API and the metrics. Anything but a loopback address needs sign_in.
	Listen string `yaml:"listen"`
	// BaseURL is how people reach the dashboard from where they read messages, such as "https://notafter.example.com".
	// Links in messages begin with it. Left out, it is "http://" and the address of listen.
	BaseURL string `yaml:"base_url"`
	// SignIn says who may use the dashboard. Left out, everybody who reaches it, which is why it then listens on
	// loopback only.
	SignIn SignIn `yaml:"sign_in"`
	// Metrics is about sending metrics. They can always be fetched from /metrics.
	Metrics Metrics `yaml:"metrics"`

	// Trust is the set of roots to judge chains by: "system", "mozilla" (Mozilla's list as built into this version), or
	// the path of a PEM file, or a list of such paths.
	Trust Trust `yaml:"trust"`
	// DNS is about finding addresses.
	DNS DNS `yaml:"dns"`
	// Every is how often each endpoint is looked at, at least 10s.
	Every Duration `yaml:"every"`
	// Timeout is the longest that one handshake with one address may take.
	Timeout Duration `yaml:"timeout"`
	// Concurrency is how many endpoints are looked at at the same time.
	Concurrency int `yaml:"concurrency"`
	// TimeToRepair is how long the team needs from being woken to a new certificate in service. A page goes out when no
	// more than that is left, or a tenth of the certificate's lifetime if that is longer; but never before the ticket's
	// point, so that a certificate that lives shorter than this does not page while all is well.
	TimeToRepair Duration `yaml:"time_to_repair"`
	// Confirm is how long a failure that may pass by itself, such as a refused connection, must last before somebody is
	// told. 0s tells at once.
	Confirm Duration `yaml:"confirm"`
	// Gather is how long the first message about an incident waits for what else the same cause touches: four hundred
	// certificates behind one lost role assignment are one page, and that page says so. 0s sends at once; at most 5m.
	Gather Duration `yaml:"gather"`
	// Clear is how many looks in a row must see all well before an incident closes.
	Clear int `yaml:"clear"`
	// Revocation is how much is asked about revocation: "off", "leaf" or "full" (the intermediates too).
	Revocation Revocation `yaml:"revocation"`
	// WithoutSNI looks at each address a second time without sending a server name, so that the default certificate of
	// the server is on record as well.
	WithoutSNI bool `yaml:"without_sni"`

	notes  []Problem
	file   string
	places map[string]place // of what is looked at after parsing: references to secrets, and files
}

// Monitor is about notafter itself.
type Monitor struct {
	// Route is whom it concerns when notafter itself or one of its channels fails. Left out, the default route.
	Route string `yaml:"route"`
	// Heartbeat tells an outside party that the patrol is alive, so that its silence is noticed. Without one, nobody
	// notices when the machine that runs notafter dies.
	Heartbeat Heartbeat `yaml:"heartbeat"`
	// Control keeps an endpoint inside notafter that serves an expired certificate on purpose. Not finding it expired is
	// an incident: then nothing else that notafter says can be trusted either.
	Control bool `yaml:"control"`
}

// Heartbeat is a request to an outside party after each sound cycle of the patrol.
type Heartbeat struct {
	// URL is where the request goes: an https or http address, or a reference to one when it holds a token. Services
	// such as healthchecks.io hand out such addresses.
	URL Address `yaml:"url"`
	// FailURL is asked when a heartbeat is withheld, so that the alarm is raised at once and not only when the heartbeat is
	// missed. For healthchecks.io and its relatives it is the address with /fail at its end. Left out, nothing is sent.
	FailURL Address `yaml:"fail_url"`
	// Every is the time between two heartbeats. Tell the outside party to raise its alarm after three times that.
	Every Duration `yaml:"every"`
}

// DNS is about finding addresses.
type DNS struct {
	// Servers are the resolvers to ask, as IP addresses with or without a port, such as "192.0.2.53" or
	// "[2001:db8::53]:5353". Left out, those of /etc/resolv.conf.
	Servers []string `yaml:"servers"`
}

// Metrics is about sending metrics.
type Metrics struct {
	// OTLP is the address of an OpenTelemetry collector that takes OTLP over HTTP, such as "http://127.0.0.1:4318". Left
	// out, metrics are not sent.
	OTLP Address `yaml:"otlp"`
}

// SignIn says who may use the dashboard.
type SignIn struct {
	// Users may sign in with a password.
	Users []User `yaml:"users"`
	// OIDC lets people sign in through an OpenID Connect provider. It needs base_url.
	OIDC *OIDC `yaml:"oidc"`
}

// On reports whether any way to sign in is configured.
func (s SignIn) On() bool { return len(s.Users) > 0 || s.OIDC != nil }

// User may sign in with a password.
type User struct {
	// Name is what is typed in to sign in, and what acknowledgements are signed with.
	Name string `yaml:"name,required"`
	// PasswordHash refers to the hash of the password as made by "notafter hash-password" (argon2id in the PHC string
	// format).
	PasswordHash Secret `yaml:"password_hash,required"`
}

// OIDC is an OpenID Connect provider. Someone is let in when allow_domains or allow_groups says so; at least one of
// them is needed, or everybody with an account there could sign in.
type OIDC struct {
	// Issuer is the provider's address, such as "https://accounts.google.com". It must be https, or http on loopback.
	Issuer string `yaml:"issuer,required"`
	// ClientID is what the provider calls notafter.
	ClientID string `yaml:"client_id,required"`
	// ClientSecret refers to the secret that the provider gave. The address to register there is base_url followed by
	// "/sign-in/oidc/callback".
	ClientSecret Secret `yaml:"client_secret,required"`
	// AllowDomains lets in whoever has a verified mail address in one of these domains.
	AllowDomains []string `yaml:"allow_domains"`
	// AllowGroups lets in whoever is in one of these groups, by the "groups" claim.
	AllowGroups []string `yaml:"allow_groups"`
}

// Default is what holds where the file says nothing.
func Default() Config {
	return Config{
		Monitor:      Monitor{Control: true, Heartbeat: Heartbeat{Every: Duration(time.Minute)}},
		Listen:       "127.0.0.1:8710",
		Trust:        Trust{TrustSystem},
		Every:        Duration(15 * time.Minute),
		Timeout:      Duration(10 * time.Second),
		Concurrency:  256,
		TimeToRepair: Duration(assure.DefaultTimeToRepair),
		Confirm:      Duration(2 * time.Minute),
		Gather:       Duration(10 * time.Second),
		Clear:        2,
		Revocation:   RevocationLeaf,
	}
}

// pipePatience is how long a pipe may take to hold what is read of it.
const pipePatience = 10 * time.Second

// openSoon opens a file without waiting for anybody. Opening a named pipe that nobody writes to would never end, and a
// reload that waits for it would be the last one; a pipe that somebody writes to, as shells make them, can be read.
func openSoon(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		_ = f.SetReadDeadline(time.Now().Add(pipePatience)) // only pipes and the like know deadlines
	}
	return f, err
}

// maxFile bounds what is read. A hundred thousand endpoints, one a line, need about a third of it.
const maxFile = 16 << 20

// Load reads and parses the file at path. The error is a [*Problems] when the file could be read.
func Load(path string) (*Config, error) {
	f, err := openSoon(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse decodes and validates a file's content. The name is used in problems, and relative paths in the content begin
// at its directory. The error is a [*Problems] that names everything found wrong; the configuration is then nil.
func Parse(name string, data []byte) (*Config, error) {
	d := &decoder{file: name, dir: filepath.Dir(name)}
	if dir, err := filepath.Abs(d.dir); err == nil { // what is installed must not hang on where a process was started
		d.dir = dir
	}
	c := Default()
	d.document(data, &c)
	if d.decoded && !d.full() { // what was not decoded would seem to be missing
		c.complete()
		(&validator{decoder: d, c: &c, installed: map[string]string{}}).all()
	}
	if err := d.result(); err != nil {
		return nil, err
	}
	c.notes = d.notes
	c.remember(d)
	return &c, nil
}

// complete fills in what follows from the rest.
func (c *Config) complete() {
	if len(c.Routes) == 0 && len(c.Channels) > 0 {
		c.Routes = map[string]Route{"default": {Mode: ModeOwn, Channels: sortedKeys(c.Channels)}}
	}
	if c.DefaultRoute == "" {
		if _, ok := c.Routes["default"]; ok {
			c.DefaultRoute = "default"
		} else if len(c.Routes) == 1 {
			c.DefaultRoute = sortedKeys(c.Routes)[0]
		}
	}
	if c.Monitor.Route == "" {
		c.Monitor.Route = c.DefaultRoute
	}
	for i := range c.Certificates {
		if c.Certificates[i].Route == "" {
			c.Certificates[i].Route = c.DefaultRoute
		}
	}
	if c.BaseURL == "" {
		c.BaseURL = "http://" + c.Listen
	}
}

// ForTargets is the configuration of somebody who names endpoints and nothing else: defaults, one certificate for each
// host, and nobody to tell but whoever looks at the dashboard. Its Channels and Routes are empty.
func ForTargets(targets []assure.Target) (*Config, error) {
	if len(targets) == 0 {
		return nil, errors.New("no endpoint is named, so there is nothing to watch")
	}
	c := Default()
	at := map[string]int{}
	seen := map[string]bool{}
	for _, t := range targets {
		if seen[t.String()] {
			continue
		}
		seen[t.String()] = true
		i, ok := at[t.Host]
		if !ok {
			i = len(c.Certificates)
			at[t.Host] = i
			c.Certificates = append(c.Certificates, Certificate{Name: t.Host})
		}
		c.Certificates[i].Endpoints = append(c.Certificates[i].Endpoints, Endpoint{Target: t})
	}
	c.complete()
	return &c, nil
}

// Notes are remarks on what is allowed but rarely meant, in the order of the file.
func (c *Config) Notes() []Problem { return c.notes }
