package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// renewed checks what a certificate says of its renewal.
func (v *validator) renewed(key string, cert *Certificate) {
	name := cert.Renewer
	if name == "" || name == RenewerNone {
		for _, k := range []string{".key", ".install"} {
			if v.given(key + k) {
				v.bad(key+k, "belongs to a certificate with a renewer, and this one has none")
			}
		}
		return
	}
	r, declared := v.c.Renewers[name]
	switch {
	case !declared:
		v.bad(key+".renewer", "no renewer %s is declared%s; leave the key out to watch only what is served",
			quote(name), suggest(name, append(sortedKeys(v.c.Renewers), RenewerNone)))
		return
	case r.CertManager != nil:
		v.bad(key+".renewer", "renewer %s is a cert-manager, which cannot be watched yet; leave the key out to watch what is served", quote(name))
		return
	case r.ACME == nil:
		return // complained about where it is declared
	}
	if len(cert.Names) == 0 {
		v.bad(key+".names", "names are needed with a renewer: they are what it asks the authority for")
	}
	if len(cert.Names) > maxNames {
		v.bad(key+".names", "more than %d names; certificate authorities take no more on one certificate", maxNames)
	}
	challenge := r.ACME.challenge()
	for i, n := range cert.Names {
		at := fmt.Sprintf("%s.names[%d]", key, i)
		_, err := netip.ParseAddr(n)
		switch {
		case strings.HasPrefix(n, "*.") && !challenge.WritesDNS() && challenge != ChallengeDNSPersist:
			v.bad(at, "a wildcard can only be shown by a challenge that begins with dns, not by %s (RFC 8555 section 7.1.3)", challenge)
		case err == nil && (challenge.WritesDNS() || challenge == ChallengeDNSPersist):
			v.bad(at, "an IP address cannot be shown by %s, only by http-01 or tls-alpn-01 (RFC 8738)", challenge)
		}
	}
	v.inZone(key, name, cert, r)
	if cert.Issued != "" {
		v.note(key+".issued", "is not needed: notafter renews this certificate itself and knows what was issued")
	}
	v.installs(key+".install", cert.Install)
	if len(cert.Install) == 0 && len(r.Install) == 0 {
		v.note(key, "nothing is installed anywhere: neither the certificate nor its renewer has the key install")
	}
	if len(cert.Install) > 0 {
		v.destinations(key+".install", cert, cert.Install)
	} else {
		v.destinations("renewers."+name+".install", cert, r.Install)
	}
}

// inZone remarks on names that no record of the zone that is written could be for, which is right only where an alias
// leads there: most often it is the zone that is misspelt.
func (v *validator) inZone(key, renewer string, cert *Certificate, r Renewer) {
	if r.DNS == nil || !r.ACME.challenge().WritesDNS() {
		return
	}
	zone, at := "", join("renewers", renewer)
	switch d := r.DNS; {
	case d.Azure != nil:
		zone, at = d.Azure.Zone, at+".dns.azure.zone"
	case d.RFC2136 != nil:
		zone, at = d.RFC2136.Zone, at+".dns.rfc2136.zone"
	}
	zone, _ = asciiName(zone)
	if zone == "" {
		return
	}
	for i, n := range cert.Names {
		if n = strings.TrimPrefix(n, "*."); n != zone && !strings.HasSuffix(n, "."+zone) {
			v.note(fmt.Sprintf("%s.names[%d]", key, i), "%s is not in %s, the zone of %s: right only where an alias (CNAME) of _acme-challenge.%s leads into it", quote(n), quote(zone), at, n)
		}
	}
}

// maxNames is the most that Let's Encrypt takes on one certificate (its documentation, "Rate Limits").
const maxNames = 100

// destinations finds two certificates that would be installed to the same place.
func (v *validator) destinations(key string, cert *Certificate, list []Install) {
	expand := func(path File) string { return strings.ReplaceAll(string(path), "{certificate}", cert.Name) }
	keyed := len(list) == 0
	for i, in := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if in.Directory != "" {
			v.oneOnly(at+".directory", expand(in.Directory), cert.Name)
			_, full := in.Files["fullchain"]
			_, key := in.Files["key"]
			keyed = keyed || len(in.Files) == 0 || full && key
			continue
		}
		for _, what := range sortedKeys(in.Files) {
			v.oneOnly(at+".files."+what, expand(in.Files[what].Path), cert.Name)
			keyed = keyed || what == "key" || what == "combined" || what == "pkcs12"
		}
		if k := in.Kubernetes; k != nil {
			v.oneOnly(at+".kubernetes.name", spots("", []Install{in}, cert.Name)[0].place, cert.Name)
		}
		keyed = keyed || in.Kubernetes != nil || in.Webhook != nil
	}
	if !keyed {
		v.note(key, "the private key is installed nowhere, and each renewal makes a new one: a server that keeps the old key refuses the new certificate")
	}
}

func (v *validator) oneOnly(key, place, certificate string) {
	switch other := v.installed[place]; other {
	case "":
	case certificate:
		v.bad(key, "two things would be written to %s", quote(place))
	default:
		v.bad(key, "the certificates %s and %s would be written to the same place; write {certificate} somewhere in its path", quote(other), quote(certificate))
	}
	v.installed[place] = certificate
}

func (v *validator) renewers() {
	for _, name := range sortedKeys(v.c.Renewers) {
		key := join("renewers", name)
		r := v.c.Renewers[name]
		v.label(key, name)
		switch {
		case name == RenewerNone:
			v.bad(key, `"none" stands for no renewer and cannot be declared`)
		case r.ACME != nil && r.CertManager != nil:
			v.bad(key, "both acme and cert_manager are set; a renewer is one of them")
		case r.ACME == nil && r.CertManager == nil:
			if !v.given(key+".acme") && !v.given(key+".cert_manager") {
				v.bad(key, "neither acme nor cert_manager is set; a renewer is one of them")
			}
		case r.CertManager != nil:
			for _, k := range []string{".dns", ".install", ".responder", ".rehearse", ".key"} {
				if v.given(key + k) {
					v.bad(key+k, "belongs to acme, not to cert_manager")
				}
			}
			v.note(key, "the renewer is declared, but a cert-manager cannot be watched yet")
		default:
			v.acme(name, r)
		}
	}
}

var emailShape = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)

func (v *validator) acme(name string, r Renewer) {
	key, a := join("renewers", name), r.ACME
	if a.Email != "" && !emailShape.MatchString(a.Email) {
		v.bad(key+".acme.email", "%s is not a mail address", quote(a.Email))
	}
	for k, d := range map[string]Address{"directory": a.Directory, "staging": a.Staging} {
		if u := d.Value(); strings.HasPrefix(u, "http://") {
			v.bad(key+".acme."+k, "must be https: ACME is not spoken in clear (RFC 8555 section 6.1)")
		}
	}
	challenge := a.challenge()
	switch {
	case challenge.WritesDNS() && r.DNS == nil:
		v.bad(key, "dns is needed: the challenge %s writes a TXT record", challenge)
	case !challenge.WritesDNS() && r.DNS != nil && (r.DNS.Azure != nil || r.DNS.RFC2136 != nil || r.DNS.Lego != nil):
		v.bad(key+".dns", "the challenge %s writes no DNS record; leave the writer out, or take the challenge dns-01", challenge)
	}
	if r.DNS != nil {
		v.writer(key+".dns", r.DNS, challenge)
	}
	if r.Responder != nil {
		v.listens(key+".responder.http", r.Responder.HTTP)
		v.listens(key+".responder.tls", r.Responder.TLS)
	}
	v.installs(key+".install", r.Install)
	v.installs(key+".rehearse.shadow", r.Rehearse.Shadow)
	for _, f := range []struct {
		name  string
		every *Duration
	}{
		{"static", r.Rehearse.Static},
		{"permission", r.Rehearse.Permission},
		{"canary", r.Rehearse.Canary},
		{"authorization", r.Rehearse.Authorization},
		{"full", r.Rehearse.Full},
	} {
		if f.every != nil && f.every.Std() != 0 && f.every.Std() < time.Second {
			v.bad(key+".rehearse."+f.name, "%s is too short: want at least 1s, or 0s to leave the rung out", *f.every)
		}
	}
	if r.Drift != nil && r.Drift.Std() != 0 && r.Drift.Std() < time.Second {
		v.bad(key+".drift", "%s is too short: want at least 1s, or 0s to leave it out", *r.Drift)
	}
	if r.Rehearse.Full != nil && r.Rehearse.Full.Std() > 0 && len(r.Rehearse.Shadow) == 0 {
		v.bad(key+".rehearse.full", "shadow is needed: the rung full installs a staging certificate somewhere, and never where the real one is")
	}
	v.shadows(key+".rehearse.shadow", name, r.Rehearse.Shadow)
	if a.Staging.IsZero() {
		for k, d := range map[string]*Duration{"authorization": r.Rehearse.Authorization, "full": r.Rehearse.Full} {
			if d != nil && d.Std() > 0 {
				v.bad(key+".rehearse."+k, "acme.staging is needed: rehearsals order from there")
			}
		}
		v.note(key+".acme", "no staging directory is named, so that no order is ever rehearsed")
	} else if a.Staging.Value() != "" && a.Staging.Value() == a.Directory.Value() {
		v.bad(key+".acme.staging", "is the directory itself: a rehearsal must not order from the authority in service")
	}
}

func (v *validator) listens(key, address string) {
	if address == "" {
		return
	}
	if _, port, err := net.SplitHostPort(address); err != nil || !isPort(port) {
		v.bad(key, "%s is not an address to listen on: want host:port, or :port", quote(address))
	}
}

func isPort(s string) bool { n, err := strconv.ParseUint(s, 10, 16); return err == nil && n > 0 }

func (v *validator) writer(key string, d *RenewerDNS, challenge Challenge) {
	set := 0
	for _, given := range []bool{d.Azure != nil, d.RFC2136 != nil, d.Lego != nil} {
		if given {
			set++
		}
	}
	if set != 1 && challenge.WritesDNS() && !v.complained(key) {
		v.bad(key, "exactly one of azure, rfc2136 and lego is needed")
	}
	for i, s := range d.PublicResolvers {
		if !isResolver(s) {
			v.bad(fmt.Sprintf("%s.public_resolvers[%d]", key, i), "%s is not an IP address, with or without a port", quote(s))
		}
	}
	if d.AuthoritativePort < 0 || d.AuthoritativePort > 65535 {
		v.bad(key+".authoritative_port", "%d is not a port", d.AuthoritativePort)
	}
	if v.given(key + ".propagation") {
		v.atLeast(key+".propagation", d.Propagation, time.Second)
	}
	if v.given(key + ".ttl") {
		v.atLeast(key+".ttl", d.TTL, time.Second)
		if d.TTL.Std() > 24*time.Hour {
			v.bad(key+".ttl", "%s is too long: nobody must remember a challenge of yesterday's; want at most 1d", d.TTL)
		}
	}
	if a := d.Azure; a != nil {
		v.zone(key+".azure.zone", a.Zone)
		if a.Subscription != "" && !guid.MatchString(a.Subscription) {
			v.bad(key+".azure.subscription", "%s is not the id of a subscription: want a GUID, as az account show --query id prints it; its name is not enough", quote(a.Subscription))
		}
		if !a.ClientSecret.IsZero() && (a.ClientID == "" || a.Tenant == "") {
			v.bad(key+".azure.client_secret", "client_id and tenant are needed with it")
		}
	}
	if r := d.RFC2136; r != nil {
		v.zone(key+".rfc2136.zone", r.Zone)
		if h, port, err := net.SplitHostPort(r.Server); err == nil && (h == "" || !isPort(port)) {
			v.bad(key+".rfc2136.server", "%s is not host or host:port", quote(r.Server))
		}
	}
}

// guid is the form of the ids of Azure's subscriptions.
var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

func isResolver(s string) bool {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return true
	}
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

func (v *validator) zone(key, name string) {
	if name != "" {
		v.dnsName(key, name)
	}
}

var fileKinds = []string{"fullchain", "cert", "chain", "key", "combined", "pkcs12"}

func (v *validator) installs(key string, list []Install) {
	for i, in := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		set := 0
		for _, given := range []bool{len(in.Files) > 0 || in.Directory != "", in.Kubernetes != nil, in.Webhook != nil} {
			if given {
				set++
			}
		}
		if set != 1 && !v.complained(at) {
			v.bad(at, "exactly one of files (or directory), kubernetes and webhook is needed")
		}
		for _, what := range sortedKeys(in.Files) {
			f, fk := in.Files[what], at+".files."+what
			if !slices.Contains(fileKinds, what) {
				v.bad(fk, "unknown kind of file %s%s: want one of %s", quote(what), suggest(what, fileKinds), strings.Join(fileKinds, ", "))
			}
			if f.Mode != "" {
				if m, err := strconv.ParseUint(f.Mode, 8, 32); err != nil || m > 0o777 {
					v.bad(fk+".mode", `%s is not a mode: want octal permissions, such as "0640"`, quote(f.Mode))
				} else if m&0o007 != 0 && (what == "key" || what == "combined" || what == "pkcs12") {
					v.bad(fk+".mode", "lets everybody on the machine at the private key; want no more than 0660")
				}
			}
		}
		if _, p12 := in.Files["pkcs12"]; p12 && in.PKCS12Password.IsZero() {
			v.bad(at+".files.pkcs12", "pkcs12_password is needed: most programs refuse a PKCS#12 file without one")
		}
		switch {
		case len(in.Reload) > 0 && in.Signal != "":
			v.bad(at+".signal", "reload is set as well; the server is told one way")
		case in.Signal != "" && in.PIDFile == "":
			v.bad(at+".signal", "pid_file is needed with it")
		case in.PIDFile != "" && in.Signal == "":
			v.bad(at+".pid_file", "signal is needed with it")
		case len(in.Reload) > 0 && in.Reload[0] == "":
			v.bad(at+".reload", "the command is empty")
		}
		for _, path := range append(paths(in), in.Directory) {
			if rest := strings.ReplaceAll(string(path), "{certificate}", ""); strings.ContainsAny(rest, "{}") {
				v.bad(at, "%s holds braces that are not {certificate}, the only placeholder", quote(string(path)))
			}
		}
		if in.Webhook != nil && in.Webhook.WithKey && strings.HasPrefix(in.Webhook.URL.Value(), "http://") && !loopbackURL(in.Webhook.URL.Value()) {
			v.bad(at+".webhook.with_key", "the address must be https, or on loopback: the private key would travel in clear")
		}
	}
}

func paths(in Install) []File {
	var out []File
	for _, what := range sortedKeys(in.Files) {
		out = append(out, in.Files[what].Path)
	}
	return out
}

func loopbackURL(s string) bool {
	rest := strings.TrimPrefix(s, "http://")
	host, _, _ := strings.Cut(rest, "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return loopbackHost(strings.Trim(host, "[]"))
}

func (a *ACME) challenge() Challenge {
	if a.Challenge == "" {
		return ChallengeDNS
	}
	return a.Challenge
}
