package config

import "github.com/notafter/notafter/internal/assure"

// Certificate is one certificate that must never expire in service.
type Certificate struct {
	// Name identifies it on pages and in messages. It is unique, at most 100 bytes, without slashes.
	Name string `yaml:"name,required"`
	// Names are the DNS names and IP addresses that it must hold, such as "example.com" and "*.example.com". An endpoint
	// that serves a certificate without one of them is a ticket (reason names_missing). Left out, what is served must
	// hold the host of its endpoint, and nothing more.
	Names []string `yaml:"names"`
	// Endpoints are where it is served, each as [scheme://]host[:port][@ip]. The scheme is tls (the default, port 443),
	// https, h3, or a protocol that switches to TLS: smtp, imap, pop3, ftp, ldap, postgres, mysql. Every address of the
	// host is looked at unless @ip pins one. An endpoint that needs more than its target is written as a mapping.
	Endpoints []Endpoint `yaml:"endpoints,required"`
	// Renewer names what renews it, among those declared under renewers. With "none", or left out, what is claimed is that
	// every endpoint serves it well, and not that its renewal will work. With a renewer, names are needed.
	Renewer string `yaml:"renewer"`
	// Key is the type of its private key, made anew at each renewal. Left out, as its renewer says.
	Key KeyType `yaml:"key"`
	// Install says where new certificates go. Left out, as its renewer says.
	Install []Install `yaml:"install"`
	// Route is whom it concerns. Left out, the default route.
	Route string `yaml:"route"`
	// Owner is who answers for it; shown to people and never interpreted.
	Owner string `yaml:"owner"`
	// Every is how often its endpoints are looked at. Left out, as for all.
	Every Duration `yaml:"every"`
	// TimeToRepair is how long its owners need from being woken to a new certificate in service. Left out, as for all.
	TimeToRepair Duration `yaml:"time_to_repair"`
	// Issued is the path of the certificate file (PEM) as another renewer leaves it; with a renewer of notafter's own it is
	// not needed. An endpoint that serves an older one
	// than this is then found (reason served_stale), although renewal looks fine. While the file cannot be read, its
	// endpoints are unknown (reason blind).
	Issued File `yaml:"issued"`
}

// Endpoint is one place where a certificate is served. Text alone is its target.
type Endpoint struct {
	// Target is where to look: [scheme://]host[:port][@ip].
	Target assure.Target `yaml:"target,required"`
	// ClientCertificate is shown to a server that asks for one.
	ClientCertificate *ClientCertificate `yaml:"client_certificate"`
	// Every is how often to look. Left out, as for the certificate.
	Every Duration `yaml:"every"`
}

func (Endpoint) shorthand() string { return "target" }

// ClientCertificate is what notafter shows to a server that asks for a client certificate.
type ClientCertificate struct {
	// Cert is the path of a PEM file with the certificate and its intermediates.
	Cert File `yaml:"cert,required"`
	// Key is the path of a PEM file with the private key, readable by notafter.
	Key File `yaml:"key,required"`
}
