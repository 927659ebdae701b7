// Package estate is everything that a renewal touches, on one machine: an authority and its staging twin (Pebble), two
// DNS zones on three name servers each, of which one is written through the Azure stand-in and the other by dynamic
// update, and TLS servers that read their certificate from files and read it again when they are told to.
package estate

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/lab/arm"
	"github.com/notafter/notafter/internal/lab/authority"
	"github.com/notafter/notafter/internal/lab/zones"
)

// Names of what is in every estate.
const (
	AzureZone = "azure.test" // written through the Azure stand-in
	BindZone  = "bind.test"  // written by dynamic update
	Group     = "dns"        // the resource group of the Azure zone

	ClientID     = "c11e0000-0000-4000-8000-000000000001"
	ObjectID     = "0b1ec700-0000-4000-8000-000000000001"
	ClientSecret = "the lab's client secret"
	// ContributorRole is Azure's built-in role DNS Zone Contributor.
	ContributorRole = "befefa01-2a29-4197-83a8-272ff33ce314"

	KeyName   = "renewer.key"
	KeySecret = "bm90YWZ0ZXIgbGFiIHRzaWcga2V5IG9mIDMyIGJ5dGU="

	Profile = "short"       // certificates live for a lifetime
	Longer  = "long"        // for half as long again
	Domain  = "lab.example" // what the authorities go by in CAA
)

// Options configures an [Estate]. The zero value of each field has a meaning.
type Options struct {
	// Life is how long certificates live, in whole seconds; zero means a minute.
	Life time.Duration
	// Dir is where files are written; empty means a new directory, removed by Stop.
	Dir string
	// Due is the share of its lifetime, between 0 and 1, at which the authority asks for the renewal of a certificate that a
	// [Site] serves, in a window a twentieth of the lifetime wide (RFC 9773). Zero leaves it to Pebble, whose windows are
	// days wide, so that any time is good.
	Due float64
	// AuthzReuse is how many in a hundred orders of the staging authority use a valid authorization again.
	AuthzReuse int
	// HTTPPort and TLSPort are where both authorities validate http-01 and tls-alpn-01; zero means a port that nobody
	// listens on.
	HTTPPort, TLSPort int

	Log *slog.Logger // nil means nobody listens
}

// ErrNotHere says that this machine lacks something that an estate needs.
var ErrNotHere = errors.New("this machine has not got what is needed")

// Possible returns nil where an estate can be started, and else an error with [ErrNotHere] in its chain that says what is
// missing: name servers need loopback addresses of their own (macOS has only 127.0.0.1 unless told), and sites a shell.
func Possible() error {
	if runtime.GOOS == "windows" {
		return fmt.Errorf("%w: a POSIX shell, by which servers are told to read their certificates again", ErrNotHere)
	}
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		return fmt.Errorf("%w: the address 127.0.0.2 and those that follow, one for each name server (%w)", ErrNotHere, err)
	}
	_ = l.Close()
	return nil
}

// Estate is running. It is safe for concurrent use, and everything in it may be changed and broken while it runs.
type Estate struct {
	Zones       *zones.Lab
	Azure       *arm.Server
	CA, Staging *authority.Authority
	// CAProxy and StagingProxy stand in front of the authorities and misbehave when told to.
	CAProxy, StagingProxy *authority.Proxy
	Dir                   string
	// Roots is what certificates of CA chain to, and RootsFile its path; CARoots and AzureRoots are paths of what to trust for
	// the addresses of both authorities and of Azure.
	Roots                          []byte
	RootsFile, CARoots, AzureRoots string

	life  time.Duration
	due   float64
	stops []func()

	mu    sync.Mutex
	grant string // the id of the role assignment
}

// Start starts an estate with a grant in place. Call Stop when done.
func Start(o Options) (_ *Estate, err error) {
	if o.Life <= 0 {
		o.Life = time.Minute
	}
	e := &Estate{Dir: o.Dir, life: o.Life.Truncate(time.Second), due: o.Due}
	defer func() {
		if err != nil {
			e.Stop()
			err = fmt.Errorf("start the estate: %w", err)
		}
	}()
	if e.Dir == "" {
		if e.Dir, err = os.MkdirTemp("", "notafter-estate-"); err != nil {
			return nil, err
		}
		dir := e.Dir
		e.stops = append(e.stops, func() { _ = os.RemoveAll(dir) })
	} else if err := os.MkdirAll(e.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, renewer := range []string{Azure, Bind} {
		if err := os.MkdirAll(e.shadow(renewer), 0o755); err != nil {
			return nil, err
		}
	}
	if err := e.dns(); err != nil {
		return nil, err
	}
	if err := e.cloud(); err != nil {
		return nil, err
	}
	return e, e.authorities(o)
}

func (e *Estate) dns() (err error) {
	if e.Zones, err = zones.Start(zones.Options{TTL: 1, Forgetful: true}); err != nil {
		return err
	}
	e.stops = append(e.stops, e.Zones.Stop)
	errs := []error{e.Zones.AddZone("test", "ns1.test", "ns2.test")}
	for _, z := range []string{AzureZone, BindZone} {
		errs = append(errs, e.Zones.AddZone(z, "ns1."+z, "ns2."+z, "ns3."+z))
	}
	errs = append(errs, e.Zones.SetKey(KeyName, "hmac-sha256", KeySecret), e.Zones.Allow(KeyName, "*."+BindZone))
	return errors.Join(errs...)
}

func (e *Estate) cloud() (err error) {
	e.Azure, err = arm.Start(arm.Options{OnTXT: func(zone, name string, values []string) { _ = e.Zones.SetTXT(zone, name, values) }})
	if err != nil {
		return err
	}
	e.stops = append(e.stops, e.Azure.Stop)
	e.AzureRoots = filepath.Join(e.Dir, "azure-roots.pem")
	e.Azure.AddPrincipal(ClientID, ObjectID, ClientSecret)
	e.Azure.AddZone(Group, AzureZone)
	// Whoever renews may read the zone and its grants, as the guide advises: it can be told what it may not.
	e.Azure.Assign(ObjectID, arm.Reader, e.Azure.ZoneScope(Group, AzureZone))
	e.Grant()
	return os.WriteFile(e.AzureRoots, e.Azure.PEM(), 0o644) //nolint:gosec // a public certificate
}

// Grant gives the renewer the role at the Azure zone.
func (e *Estate) Grant() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.grant = e.Azure.Assign(ObjectID, ContributorRole, e.Azure.ZoneScope(Group, AzureZone))
}

// Revoke takes the grant away, as a Terraform apply did that nobody looked at.
func (e *Estate) Revoke() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Azure.Unassign(e.grant)
}

// GrantID is the id of the role assignment that [Estate.Grant] made last.
func (e *Estate) GrantID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.grant
}

func (e *Estate) authorities(o Options) (err error) {
	profiles := map[string]time.Duration{Profile: e.life, Longer: (e.life * 3 / 2).Truncate(time.Second)}
	common := authority.Options{Resolver: e.Zones.ResolverAddr(), Profiles: profiles, Log: o.Log, CAAIdentities: []string{Domain}, HTTPPort: o.HTTPPort, TLSPort: o.TLSPort}
	staging := common
	staging.AuthzReuse = o.AuthzReuse
	var pem []byte
	for _, a := range []struct {
		o     authority.Options
		ca    **authority.Authority
		proxy **authority.Proxy
	}{{common, &e.CA, &e.CAProxy}, {staging, &e.Staging, &e.StagingProxy}} {
		if *a.ca, err = authority.Start(a.o); err != nil {
			return err
		}
		e.stops = append(e.stops, (*a.ca).Stop)
		if *a.proxy, err = authority.StartProxy(*a.ca); err != nil {
			return err
		}
		e.stops = append(e.stops, (*a.proxy).Stop)
		pem = append(pem, (*a.proxy).PoolPEM()...)
	}
	e.Roots, e.RootsFile, e.CARoots = e.CA.Roots(), filepath.Join(e.Dir, "roots.pem"), filepath.Join(e.Dir, "ca-roots.pem")
	return errors.Join(
		os.WriteFile(e.RootsFile, e.Roots, 0o644), //nolint:gosec // a public certificate
		os.WriteFile(e.CARoots, pem, 0o644),       //nolint:gosec // a public certificate
	)
}

// Stop ends the estate and waits for it.
func (e *Estate) Stop() {
	for _, stop := range slices.Backward(e.stops) {
		stop()
	}
	e.stops = nil
}

// Leftovers lists the TXT values that are left at challenge records of both zones, as "name value".
func (e *Estate) Leftovers(names ...string) []string {
	var out []string
	for _, n := range names {
		record := "_acme-challenge." + n
		for _, z := range []string{AzureZone, BindZone} {
			for _, s := range []string{"ns1.", "ns2.", "ns3."} {
				values, err := e.Zones.Values(s+z, z, record, dns.TypeTXT)
				if err != nil {
					continue
				}
				for _, v := range values {
					out = append(out, record+" "+v)
				}
			}
		}
	}
	return out
}
