package main

import (
	"net"
	"net/netip"
	"strings"

	"github.com/notafter/notafter/internal/probe"
)

// newLooker builds the real way of looking.
func newLooker(o lookOptions) (looker, error) {
	trust, err := trustStore(o.Roots)
	if err != nil {
		return nil, err
	}
	var servers []string
	for _, s := range o.Resolvers {
		a, err := resolverAddress(s)
		if err != nil {
			return nil, err
		}
		servers = append(servers, a)
	}
	resolver := probe.NewResolver(probe.ResolverOptions{Servers: servers})
	return probe.New(probe.Options{
		Analyser: probe.NewAnalyser(probe.AnalyserOptions{
			Trust: trust, Revocation: probe.RevocationMode(o.Revocation), Lookup: resolver.Lookup, Now: o.Now,
		}),
		Resolver:      resolver,
		Timeout:       o.Timeout,
		TargetTimeout: max(probe.DefaultTargetTimeout, 3*o.Timeout),
		WithoutSNI:    o.WithoutSNI,
	}), nil
}

// trustStore gives the system's roots, or those of the files alone.
func trustStore(paths []string) (*probe.TrustStore, error) {
	if len(paths) == 0 {
		return probe.SystemTrust()
	}
	pem, err := readRoots(paths)
	if err != nil {
		return nil, err
	}
	if len(paths) > 1 {
		for _, path := range paths { // of several files, the one at fault is named
			if _, err := probe.TrustFromFile(path); err != nil {
				return nil, err
			}
		}
	}
	return probe.TrustFromPEM(strings.Join(paths, ", "), pem)
}

// resolverAddress gives ip:port, with the port of DNS (RFC 1035 section 4.2) where none is named.
func resolverAddress(s string) (string, error) {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return net.JoinHostPort(ip.String(), "53"), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return "", misuse("--dns %q is not the IP address of a resolver, with or without a port", clip(s, 60))
	}
	return ap.String(), nil
}
