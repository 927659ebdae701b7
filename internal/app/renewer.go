package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/permit"
	"github.com/notafter/notafter/internal/renew"
	"github.com/notafter/notafter/internal/renew/dnscheck"
	"github.com/notafter/notafter/internal/renew/dnswriter"
	"github.com/notafter/notafter/internal/renew/install"
)

// renewer is one renewer of the configuration, built: what its certificates have in common.
type renewer struct {
	ca, staging *renew.CA // staging is nil without one
	zones       renew.Zones
	writer      func() renew.DNS // nil where nothing is written
	asker       renew.Asker      // nil where nobody can be asked
	responder   *renew.Responder // nil where nothing is answered
	shadow      []renew.Installer
}

func (r *renewer) close() {
	for _, ca := range []*renew.CA{r.ca, r.staging} {
		if ca != nil {
			ca.Close()
		}
	}
	if r.responder != nil {
		r.responder.Close()
	}
}

// builder builds renewers.
type builder struct {
	c        *config.Config
	accounts renew.Accounts
	sealer   renew.Sealer
	now      func() time.Time
	log      *slog.Logger
	agent    string
	// child is the command that runs the DNS writer of a child process.
	child []string
}

// renewers builds those that certificates name. Every error names the key.
func (b *builder) renewers() (_ map[string]*renewer, err error) {
	out := map[string]*renewer{}
	defer func() {
		if err != nil {
			for _, r := range out {
				r.close()
			}
		}
	}()
	var problems []error
	tried := map[string]bool{}
	for i := range b.c.Certificates {
		name := b.c.Certificates[i].Renewer
		declared, ok := b.c.RenewerOf(&b.c.Certificates[i])
		if !ok || tried[name] {
			continue
		}
		tried[name] = true
		r, err := b.renewer(name, declared)
		if err != nil {
			problems = append(problems, fmt.Errorf("renewers.%s: %w", name, err))
			continue
		}
		out[name] = r
	}
	return out, errors.Join(problems...)
}

func (b *builder) renewer(name string, d config.Renewer) (*renewer, error) {
	r := &renewer{}
	roots, err := pool(string(d.ACME.Roots))
	if err != nil {
		return nil, fmt.Errorf("acme.roots: %w", err)
	}
	o := renew.CAOptions{
		Directory: d.ACME.Directory.Value(), Contact: d.ACME.Email, Profile: d.ACME.Profile, Roots: roots, Accounts: b.accounts, Sealer: b.sealer,
		Now: b.now, Logger: b.log, UserAgent: b.agent,
	}
	if d.ACME.EAB != nil {
		o.EABKeyID, o.EABKey = d.ACME.EAB.KeyID, d.ACME.EAB.HMAC.Value()
	}
	if r.ca, err = renew.NewCA(o); err != nil {
		return nil, fmt.Errorf("acme.%s: %w", ofCA(err, "directory", "eab"), err)
	}
	if s := d.ACME.Staging.Value(); s != "" {
		o.Directory = s
		o.EABKeyID, o.EABKey = "", ""
		if d.ACME.StagingEAB != nil {
			o.EABKeyID, o.EABKey = d.ACME.StagingEAB.KeyID, d.ACME.StagingEAB.HMAC.Value()
		}
		if r.staging, err = renew.NewCA(o); err != nil {
			return nil, fmt.Errorf("acme.%s: %w", ofCA(err, "staging", "staging_eab"), err)
		}
	}
	zones := dnscheck.Options{Resolvers: withPorts(b.c.DNS.Servers), Now: b.now}
	if d.DNS != nil {
		zones.Public, zones.Port = withPorts(d.DNS.PublicResolvers), d.DNS.AuthoritativePort
	}
	r.zones = dnscheck.New(zones)
	if d.Challenge().WritesDNS() {
		if r.writer, r.asker, err = b.dns(d.DNS); err != nil {
			return nil, fmt.Errorf("dns.%w", err)
		}
	}
	if c := d.Challenge(); c == config.ChallengeHTTP || c == config.ChallengeALPN {
		o := renew.ResponderOptions{HTTP: []string{":80"}, TLS: []string{":443"}, Logger: b.log}
		o.Share = func(l net.Listener) net.Listener { return newFairListener(l, "the responder", b.log, b.now) }
		if d.Responder != nil && d.Responder.HTTP != "" {
			o.HTTP = []string{d.Responder.HTTP}
		}
		if d.Responder != nil && d.Responder.TLS != "" {
			o.TLS = []string{d.Responder.TLS}
		}
		r.responder = renew.NewResponder(o)
	}
	if r.shadow, err = b.installers(d.Rehearse.Shadow, nil); err != nil {
		return nil, fmt.Errorf("rehearse.shadow%w", err)
	}
	return r, nil
}

// ofCA is the key that an error of [renew.NewCA] is about.
func ofCA(err error, directory, eab string) string {
	if errors.Is(err, renew.ErrExternalKey) {
		return eab + ".hmac"
	}
	return directory
}

// pool reads roots; nil for the system's when no file is named.
func pool(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readRegular(path, maxRoots)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: no certificate in PEM form", path)
	}
	return p, nil
}

// dns builds the way to write, and whom to ask about it. This is the list of writers. The first words of an error are the
// key below dns.
func (b *builder) dns(d *config.RenewerDNS) (func() renew.DNS, renew.Asker, error) {
	switch {
	case d.Azure != nil:
		return b.azure(d.Azure, d.TTL.Std())
	case d.RFC2136 != nil:
		return b.rfc2136(d.RFC2136, d.TTL.Std())
	case d.Lego != nil:
		return b.lego(d.Lego)
	}
	return nil, nil, errors.New("nothing is set")
}

func (b *builder) azure(a *config.AzureDNS, ttl time.Duration) (func() renew.DNS, renew.Asker, error) {
	o := dnswriter.AzureOptions{
		Subscription: a.Subscription, ResourceGroup: a.ResourceGroup, Zone: a.Zone, TTL: ttl, Cloud: string(a.Cloud), Endpoint: a.Endpoint.Value(), Authority: a.Authority.Value(),
		Credential: dnswriter.AzureCredential{Tenant: a.Tenant, Client: a.ClientID},
	}
	switch {
	case !a.ClientSecret.IsZero():
		o.Credential.Kind, o.Credential.Secret = dnswriter.AzureSecret, a.ClientSecret.Value()
	case os.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "":
		o.Credential.Kind = dnswriter.AzureWorkload
	default:
		o.Credential.Kind = dnswriter.AzureManaged
	}
	roots, err := pool(string(a.Roots))
	if err != nil {
		return nil, nil, fmt.Errorf("azure.roots: %w", err)
	}
	if roots != nil {
		o.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}
	}
	w, err := dnswriter.NewAzure(o)
	if err != nil {
		return nil, nil, err
	}
	env, err := o.Environment()
	if err != nil {
		return nil, nil, fmt.Errorf("azure: %w", err)
	}
	ask, err := permit.NewAzure(permit.AzureOptions{
		Subscription: a.Subscription, ResourceGroup: a.ResourceGroup, Zone: a.Zone, Object: a.ObjectID, Login: o.Login, Cloud: env, Client: o.Client,
	})
	if err != nil {
		return nil, nil, err
	}
	return func() renew.DNS { return w.Fresh() }, ask, nil
}

// sealer opens what private keys are sealed with.
func (a *App) sealer(c *config.Config) (renew.Sealer, error) {
	identity := c.Keys.Value()
	if identity == "" {
		state := c.State.Value()
		if a.db.Kind() != "sqlite" {
			return nil, errors.New("keys: is needed with PostgreSQL: private keys are sealed with an identity that is not in the database (make one with age-keygen)")
		}
		if info, err := os.Stat(state); err == nil && !info.IsDir() {
			state = filepath.Dir(state)
		}
		var err error
		if identity, err = renew.LoadOrMakeIdentity(filepath.Join(state, "age.key")); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
	}
	s, err := renew.NewAgeSealer(identity)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return s, nil
}

// installers builds what puts certificates in place. The first words of an error are the index in the list.
func (b *builder) installers(list []config.Install, names install.Names) ([]renew.Installer, error) {
	var out []renew.Installer
	for i, in := range list {
		one, err := b.installer(in, names)
		if err != nil {
			return nil, fmt.Errorf("[%d].%w", i, err)
		}
		out = append(out, one)
	}
	return out, nil
}

func (b *builder) installer(in config.Install, names install.Names) (renew.Installer, error) {
	switch {
	case in.Webhook != nil:
		w, err := install.NewWebhook(install.WebhookOptions{URL: in.Webhook.URL.Value(), Secret: in.Webhook.Secret.Value(), Key: in.Webhook.WithKey, Names: names, Now: b.now})
		if err != nil {
			return nil, fmt.Errorf("webhook: %w", err)
		}
		return w, nil
	case in.Kubernetes != nil:
		k, err := b.secret(in.Kubernetes, names)
		if err != nil {
			return nil, fmt.Errorf("kubernetes: %w", err)
		}
		return k, nil
	}
	f, err := b.files(in, names)
	if err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	return f, nil
}

func (b *builder) secret(k *config.KubernetesSecret, names install.Names) (renew.Installer, error) {
	var cluster install.Cluster
	var err error
	if k.Kubeconfig == "" {
		cluster, err = install.InCluster(os.Getenv, install.ServiceAccountDir)
	} else {
		var data []byte
		if data, err = readRegular(string(k.Kubeconfig), maxKubeconfig); err == nil {
			cluster, err = install.ParseKubeconfig(data, filepath.Dir(string(k.Kubeconfig)), k.Context)
		}
	}
	if err != nil {
		return nil, err
	}
	return install.NewKubernetesSecret(install.SecretOptions{Cluster: cluster, Namespace: k.Namespace, Name: k.Name, Names: names, Now: b.now})
}

// maxKubeconfig bounds what is read of a kubeconfig, which may hold certificates.
const maxKubeconfig = 1 << 20

func (b *builder) files(in config.Install, names install.Names) (renew.Installer, error) {
	o := install.FilesOptions{Directory: string(in.Directory), Names: names, Now: b.now}
	for _, what := range slices.Sorted(maps.Keys(in.Files)) {
		f := in.Files[what]
		file := install.File{Part: install.Part(what), Path: string(f.Path), Owner: f.Owner, Group: f.Group}
		if o.Directory != "" {
			file.Path = filepath.Base(file.Path) // the configuration made it a path beside itself
		}
		if f.Mode != "" {
			m, err := strconv.ParseUint(f.Mode, 8, 32)
			if err != nil {
				return nil, fmt.Errorf("%s: mode %q is not octal", what, f.Mode)
			}
			file.Mode = fs.FileMode(m)
		}
		if file.Part == install.PKCS12 {
			file.Password = in.PKCS12Password.Value()
		}
		o.Files = append(o.Files, file)
	}
	if len(in.Reload) > 0 || in.Signal != "" {
		o.Reload = &install.Reload{Command: in.Reload, Timeout: in.Timeout.Std(), PIDFile: string(in.PIDFile), Signal: string(in.Signal)}
	}
	return install.NewFiles(o)
}
