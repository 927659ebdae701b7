package app

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/permit"
	"github.com/notafter/notafter/internal/renew"
	"github.com/notafter/notafter/internal/renew/dnswriter"
)

func (b *builder) rfc2136(r *config.RFC2136, ttl time.Duration) (func() renew.DNS, renew.Asker, error) {
	server := r.Server
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "53")
	}
	w, err := dnswriter.NewRFC2136(dnswriter.RFC2136Options{
		Servers: []string{server}, Zone: r.Zone, KeyName: r.Key, Algorithm: string(r.Algorithm), Secret: r.Secret.Value(), TTL: uint32(ttl / time.Second), Now: b.now, //nolint:gosec // G115: at most a day
	})
	if err != nil {
		return nil, nil, fmt.Errorf("rfc2136: %w", err)
	}
	ask, err := permit.NewRFC2136(permit.RFC2136Options{
		Servers: []string{server}, Zone: r.Zone, KeyName: r.Key, Algorithm: string(r.Algorithm), Secret: r.Secret.Value(), Now: b.now,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("rfc2136: %w", err)
	}
	return func() renew.DNS { return w }, ask, nil // each update is signed anew; there is nothing to be stale
}

// lego builds a writer in a child process. Each operation is a process of its own, so that there is no token from before.
func (b *builder) lego(l *config.Lego) (func() renew.DNS, renew.Asker, error) {
	settings := make(map[string]string, len(l.Settings))
	for name, value := range l.Settings {
		settings[name] = value.Value()
	}
	for _, p := range dnswriter.Providers() {
		if p.Code != l.Provider {
			continue
		}
		for _, s := range p.Settings {
			if v := l.Settings[s.Name]; s.Secret && !v.IsZero() && v.Reference() == v.Value() {
				return nil, nil, fmt.Errorf("lego.settings.%s: is a secret and must be a reference, env:NAME or file:PATH", s.Name)
			}
		}
	}
	w, err := dnswriter.NewLego(dnswriter.LegoOptions{Provider: l.Provider, Settings: settings, Command: b.child, Now: b.now})
	if err != nil {
		return nil, nil, fmt.Errorf("lego: %w", err)
	}
	ask, err := askerOf(l.Provider, settings, b.now)
	if err != nil {
		return nil, nil, fmt.Errorf("lego.settings: %w", err)
	}
	return func() renew.DNS { return w }, ask, nil
}

// askerOf builds whoever can be asked about the permissions at a provider; nil where nobody can. It goes by the settings
// that the writer has.
func askerOf(provider string, settings map[string]string, now func() time.Time) (renew.Asker, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := settings[n]; v != "" {
				return v
			}
		}
		return ""
	}
	switch provider {
	case "route53":
		return asker(permit.NewAWS(permit.AWSOptions{HostedZone: settings["AWS_HOSTED_ZONE_ID"], Settings: settings}))
	case "cloudflare":
		token := first("CF_DNS_API_TOKEN", "CLOUDFLARE_DNS_API_TOKEN")
		if token == "" {
			return nil, nil // an account's global key may do everything, and nobody can be asked about it
		}
		return asker(permit.NewCloudflare(permit.CloudflareOptions{Token: token, Now: now}))
	case "gcloud":
		o := permit.GoogleOptions{Project: settings["GCE_PROJECT"], Zone: settings["GCE_ZONE_ID"], Impersonate: settings["GCE_IMPERSONATE_SERVICE_ACCOUNT"]}
		switch key, file := settings["GCE_SERVICE_ACCOUNT"], settings["GCE_SERVICE_ACCOUNT_FILE"]; {
		case key != "":
			o.Key = []byte(key)
		case file != "":
			data, err := readRegular(file, maxKey)
			if err != nil {
				return nil, fmt.Errorf("GCE_SERVICE_ACCOUNT_FILE: %w", err)
			}
			o.Key = data
		}
		return asker(permit.NewGoogle(o))
	}
	return nil, nil
}

// maxKey bounds the file of a service account's key, which has two kilobytes.
const maxKey = 1 << 20

// asker makes an interface of what a constructor returned, nil when it failed.
func asker[A renew.Asker](a A, err error) (renew.Asker, error) {
	if err != nil {
		return nil, err
	}
	return a, nil
}

// selfCommand is how this program is run again as a DNS writer.
func (a *App) selfCommand() []string {
	if len(a.opts.Self) > 0 {
		return append(append([]string(nil), a.opts.Self...), "dns-writer")
	}
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	return []string{exe, "dns-writer"}
}
