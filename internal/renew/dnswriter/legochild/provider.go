package legochild

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Provider is a DNS provider that the child can write at.
type Provider struct {
	Code  string // lego's
	Title string
	Docs  string // the vendor's description of the API
	// Settings are what it takes, required ones first.
	Settings []Setting
	// Either says which settings belong together when there is a choice of credentials; empty when there is none.
	Either string
	// Permission is the least that the credential must be allowed.
	Permission string
	// Caveat is what a user must know before two programs write at the same name; empty when nothing.
	Caveat string
	// Erases is true when a value that somebody else writes at the same instant can be lost: the provider can only
	// replace a whole set and cannot compare first.
	Erases bool
	// Keeps is true when a value cannot be withdrawn.
	Keeps bool

	// Any is true when settings of any other name are taken too and passed on as environment.
	Any bool

	names []string // settings that name the identity and are no secret
	open  func(Settings) (writer, error)
}

// Setting is one of a provider's settings, under the name that lego gives it.
type Setting struct {
	Name     string
	Meaning  string
	Required bool
	Secret   bool
	Alias    string // another name for the same
}

// Settings are a provider's settings by name.
type Settings map[string]string

func (s Settings) get(names ...string) string {
	for _, n := range names {
		if v := s[n]; v != "" {
			return v
		}
	}
	return ""
}

// whole reads a number of seconds, otherwise the given one.
func (s Settings) whole(name string, otherwise int) int {
	n, err := strconv.Atoi(s[name])
	if err != nil || n < 1 || n > 1<<31-1 {
		return otherwise
	}
	return n
}

// Find returns the provider with the code.
func Find(code string) (Provider, bool) {
	if code == "acmedns" { // lego takes both
		code = "acme-dns"
	}
	ps := Providers()
	i := slices.IndexFunc(ps, func(p Provider) bool { return p.Code == code })
	if i < 0 {
		return Provider{}, false
	}
	return ps[i], true
}

// Check returns what is wrong with the settings, without asking anybody.
func (p Provider) Check(set map[string]string) error {
	known := map[string]bool{}
	for _, s := range p.Settings {
		known[s.Name], known[s.Alias] = true, true
		if s.Required && Settings(set).get(s.Name, s.Alias) == "" {
			return fmt.Errorf("%s needs the setting %s: %s", p.Code, s.Name, s.Meaning)
		}
		if strings.HasSuffix(s.Name, "_TTL") && set[s.Name] != "" {
			if n, err := strconv.Atoi(set[s.Name]); err != nil || n < 1 {
				return fmt.Errorf("%s is not a number of seconds", s.Name)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(set)) {
		if n == "" || strings.ContainsAny(n, "=\x00") || !known[n] && !p.Any {
			return fmt.Errorf("%s has no setting %q", p.Code, n)
		}
		if strings.ContainsRune(set[n], 0) {
			return fmt.Errorf("the setting %s holds a zero byte", n)
		}
	}
	_, err := p.open(set)
	return err
}

// Who names the identity as far as the settings tell it.
func (p Provider) Who(set map[string]string) string {
	for _, n := range p.names {
		if v := set[n]; v != "" {
			return v
		}
	}
	return "the credential for " + p.Title
}

// endpoint reads an address of an API. Plain HTTP is taken only to this machine, as it would show the credential to
// everybody on the way, unless the API is one that people run beside the program (within).
func endpoint(s string, within bool) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return "", fmt.Errorf("the address of the API is not like https://host/path")
	}
	if u.Scheme == "http" && !within {
		ip := net.ParseIP(u.Hostname())
		if u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return "", fmt.Errorf("the address of the API is plain HTTP, which would show the credential to everybody on the way")
		}
	}
	return strings.TrimRight(u.String(), "/"), nil
}
