package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/notafter/notafter/internal/assure"
)

// validator holds a decoded configuration against what must be true of it. Values that could not be decoded are zero
// and have been complained about, so it is silent about those.
type validator struct {
	*decoder
	c *Config
	// installed maps each file that a renewer writes to the certificate that goes there.
	installed map[string]string
}

func (v *validator) bad(key, format string, args ...any) {
	v.fail(v.place(key), key, format, args...)
}

func (v *validator) note(key, format string, args ...any) {
	v.notes = append(v.notes, v.problem(v.place(key), key, fmt.Sprintf(format, args...)))
}

func (v *validator) all() {
	v.numbers()
	v.certificates()
	v.renewers()
	v.channels()
	v.routes()
	v.serving()
	v.looking()
	v.monitor()
}

// given reports whether the file names the key at all, well or badly.
func (v *validator) given(key string) bool { _, ok := v.places[key]; return ok }

func (v *validator) numbers() {
	c := v.c
	v.atLeast("every", c.Every, 10*time.Second)
	v.atLeast("timeout", c.Timeout, 100*time.Millisecond)
	if c.Timeout.Std() > 5*time.Minute {
		v.bad("timeout", "%s is too long: one silent host must not hold up the rest; want at most 5m", c.Timeout)
	}
	if c.Concurrency < 1 || c.Concurrency > 65536 {
		v.bad("concurrency", "want a number from 1 to 65536")
	}
	if c.Gather.Std() > 5*time.Minute {
		v.bad("gather", "%s is too long: a page must not wait for it; want at most 5m", c.Gather)
	}
	if c.Clear < 1 || c.Clear > 100 {
		v.bad("clear", "want a number from 1 to 100")
	}
	v.atLeast("time_to_repair", c.TimeToRepair, time.Minute)
	v.atLeast("monitor.heartbeat.every", c.Monitor.Heartbeat.Every, 10*time.Second)
}

func (v *validator) atLeast(key string, d Duration, least time.Duration) {
	if d.Std() < least && !v.complained(key) {
		v.bad(key, "%s is too short: want at least %s", d, Duration(least))
	}
}

// label checks names that end up in identities, addresses of pages and tables.
func (v *validator) label(key, name string) bool {
	switch {
	case name == "":
		return false
	case len(name) > 100:
		v.bad(key, "the name is longer than 100 bytes")
	case strings.ContainsFunc(name, func(r rune) bool { return r == '/' || !unicode.IsPrint(r) }):
		v.bad(key, "the name holds a slash or an unprintable character")
	case strings.Trim(name, ".") == "":
		v.bad(key, "the name is only dots, which no address of a page can hold")
	case strings.TrimSpace(name) != name:
		v.bad(key, "the name begins or ends with a space")
	default:
		return true
	}
	return false
}

func (v *validator) certificates() {
	if len(v.c.Certificates) == 0 {
		if !v.complained("certificates") {
			v.bad("certificates", "nothing to watch: at least one certificate with an endpoint is needed")
		}
		return
	}
	names := map[string]int{}
	credentials := map[string]ClientCertificate{}
	for i := range v.c.Certificates {
		if v.full() {
			return
		}
		cert := &v.c.Certificates[i]
		key := fmt.Sprintf("certificates[%d]", i)
		if v.label(key+".name", cert.Name) {
			if before, twice := names[cert.Name]; twice {
				v.bad(key+".name", "the name %s is taken already by certificates[%d]", quote(cert.Name), before)
			} else {
				names[cert.Name] = i
			}
		}
		if cert.Every != 0 || v.given(key+".every") {
			v.atLeast(key+".every", cert.Every, 10*time.Second)
		}
		if v.given(key + ".time_to_repair") {
			v.atLeast(key+".time_to_repair", cert.TimeToRepair, time.Minute)
		}
		for j, name := range cert.Names {
			if v.full() {
				return
			}
			at := fmt.Sprintf("%s.names[%d]", key, j)
			v.dnsName(at, name)
			ascii, err := asciiName(name)
			cert.Names[j] = ascii
			switch r, ok := v.c.RenewerOf(cert); {
			case v.complained(at):
			case err != nil && ok && r.ACME != nil:
				v.bad(at, "%s cannot be on a certificate: labels are letters, digits and hyphens", quote(name))
			case slices.Contains(cert.Names[:j], ascii):
				v.note(at, "%s is listed twice", quote(name))
			}
		}
		v.endpoints(key, cert, credentials)
		v.renewed(key, cert)
		if _, known := v.c.Routes[cert.Route]; !known && v.given(key+".route") && cert.Route != "" {
			v.bad(key+".route", "no route %s is declared%s", quote(cert.Route), suggest(cert.Route, sortedKeys(v.c.Routes)))
		}
	}
}

func (v *validator) endpoints(key string, cert *Certificate, credentials map[string]ClientCertificate) {
	if len(cert.Endpoints) == 0 && v.given(key+".endpoints") && !v.complained(key+".endpoints") {
		v.bad(key+".endpoints", "nothing to watch: at least one endpoint is needed, where the certificate is served")
	}
	seen := map[string]bool{}
	for j, e := range cert.Endpoints {
		if v.full() {
			return
		}
		at := fmt.Sprintf("%s.endpoints[%d]", key, j)
		if e.Target == (assure.Target{}) {
			continue
		}
		target := e.Target.String()
		if seen[target] {
			v.bad(at, "the endpoint %s is listed twice for this certificate", quote(target))
		}
		seen[target] = true
		if v.given(at + ".every") {
			v.atLeast(at+".every", e.Every, 10*time.Second)
		}
		if e.ClientCertificate != nil {
			if other, known := credentials[target]; known && other != *e.ClientCertificate {
				v.bad(at+".client_certificate", "another certificate lists the same endpoint with another client certificate")
			}
			credentials[target] = *e.ClientCertificate
		}
		if len(cert.Names) > 0 && !covered(e.Target.Host, cert.Names) {
			v.note(at, "the host %s is not among the names of this certificate", quote(e.Target.Host))
		}
	}
}

func covered(host string, names []string) bool {
	_, parent, _ := strings.Cut(host, ".")
	for _, n := range names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if n == host || parent != "" && n == "*."+parent {
			return true
		}
	}
	return false
}

func (v *validator) dnsName(key, name string) {
	if name == "" {
		return
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return
	}
	// A certificate's name is a host name, or one with a wildcard as its whole first label (RFC 6125 section 6.4.3).
	rest, wild := strings.CutPrefix(name, "*.")
	t, err := assure.ParseTarget(rest)
	switch {
	case err != nil || t.String() != strings.ToLower(strings.TrimSuffix(rest, ".")):
		v.bad(key, "%s is neither a DNS name nor an IP address", quote(name))
	case wild && (t.IsIP() || !strings.Contains(t.Host, ".")):
		v.bad(key, "%s: a wildcard needs a domain of at least two labels after it", quote(name))
	}
}

// asciiName is a name as it stands on a certificate: lower case, each label in ASCII (RFC 5890), without a full stop at
// the end. With an error, which says that it cannot stand on one, it is as near to that as it can be.
func asciiName(name string) (string, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().String(), nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	base, wild := strings.CutPrefix(name, "*.")
	ascii, err := idna.Lookup.ToASCII(base)
	if err != nil {
		return name, err
	}
	if wild {
		ascii = "*." + ascii
	}
	return ascii, nil
}

func (v *validator) address(key, s string) {
	if s == "" {
		return
	}
	if err := checkURL(s); err != nil {
		v.bad(key, "%s", err)
	}
}

// serving is about the dashboard and who may see it.
func (v *validator) serving() {
	c := v.c
	if err := CheckListen(c.Listen, c.SignIn.On() || v.given("sign_in.users") || v.given("sign_in.oidc")); err != nil {
		v.bad("listen", "%s", err)
	}
	if v.given("base_url") && c.BaseURL != "" {
		v.address("base_url", c.BaseURL)
		if u, err := url.Parse(c.BaseURL); err == nil && (u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "") {
			v.bad("base_url", "must not have a path, a query or a fragment: the dashboard is at the root of its host")
		}
	}
	names := map[string]bool{}
	for i, u := range c.SignIn.Users {
		key := fmt.Sprintf("sign_in.users[%d].name", i)
		if v.label(key, u.Name) && names[u.Name] {
			v.bad(key, "the user %s is listed twice", quote(u.Name))
		}
		names[u.Name] = true
	}
	if o := c.SignIn.OIDC; o != nil {
		v.address("sign_in.oidc.issuer", o.Issuer)
		if u, err := url.Parse(o.Issuer); err == nil && u.Scheme == "http" && !loopbackHost(u.Hostname()) {
			v.bad("sign_in.oidc.issuer", "must be https: sign-in must not rest on a connection that anybody can change")
		}
		if len(o.AllowDomains) == 0 && len(o.AllowGroups) == 0 {
			v.bad("sign_in.oidc", "allow_domains or allow_groups is needed, or everybody with an account at the provider could sign in")
		}
		if !v.given("base_url") {
			v.bad("sign_in.oidc", "base_url is needed: the provider sends people back there")
		}
	}
	if !v.c.SignIn.On() && v.given("sign_in") && !v.given("sign_in.users") && !v.given("sign_in.oidc") {
		v.bad("sign_in", "holds neither users nor oidc")
	}
}

// CheckListen says what is wrong with an address to listen on. Beyond loopback somebody else can reach it, so signing
// in must then be possible.
func CheckListen(listen string, signIn bool) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%s is not host:port, such as 127.0.0.1:8710", quote(listen))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return fmt.Errorf("the port of %s is not a number from 0 to 65535", quote(listen))
	}
	if !signIn && !loopbackHost(host) {
		return fmt.Errorf("%s is reachable from other machines, which needs sign_in; listen on 127.0.0.1 or declare sign_in", quote(listen))
	}
	return nil
}

func loopbackHost(h string) bool {
	if h == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(h)
	return err == nil && ip.Unmap().IsLoopback()
}

// looking is about roots and resolvers.
func (v *validator) looking() {
	for i, t := range v.c.Trust {
		key := fmt.Sprintf("trust[%d]", i)
		if !v.given(key) {
			key = "trust"
		}
		switch {
		case t == "":
			v.bad(key, "is empty: want system, mozilla or the path of a PEM file")
		case t != TrustSystem && t != TrustMozilla:
			v.c.Trust[i] = v.path(t)
		case len(v.c.Trust) > 1:
			v.bad(key, "%s stands alone; it cannot be mixed with others", quote(t))
		}
	}
	if len(v.c.Trust) == 0 {
		v.bad("trust", "is empty: want system, mozilla or the path of a PEM file")
	}
	for i, s := range v.c.DNS.Servers {
		if s == "" {
			continue
		}
		if a, err := resolverAddress(s); err != nil {
			v.bad(fmt.Sprintf("dns.servers[%d]", i), "%s", err)
		} else {
			v.c.DNS.Servers[i] = a
		}
	}
}

// resolverAddress gives ip:port, with port 53 where none is named.
func resolverAddress(s string) (string, error) {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return netip.AddrPortFrom(ip, 53).String(), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return "", fmt.Errorf("%s is not the IP address of a resolver, with or without a port", quote(s))
	}
	return ap.String(), nil
}

func (v *validator) monitor() {
	m := v.c.Monitor
	if _, known := v.c.Routes[m.Route]; !known && m.Route != "" && v.given("monitor.route") {
		v.bad("monitor.route", "no route %s is declared%s", quote(m.Route), suggest(m.Route, sortedKeys(v.c.Routes)))
	}
	if m.Heartbeat.URL.IsZero() && !v.given("monitor.heartbeat.url") {
		if v.given("monitor.heartbeat") {
			v.bad("monitor.heartbeat", "the key %s is missing", quote("url"))
			return
		}
		v.note("monitor", "no heartbeat is configured: nobody outside will notice when notafter itself dies")
	}
	if !m.Control {
		v.note("monitor.control", "the control is switched off: nothing proves that notafter still finds what is bad")
	}
}

func mailAddress(s string) error {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("holds a control character")
	}
	if _, err := mail.ParseAddress(s); err != nil {
		return fmt.Errorf("%s is not a mail address", quote(s))
	}
	return nil
}
