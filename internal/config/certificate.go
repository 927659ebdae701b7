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
	// Renewer names what renews it. Only "none" is possible in this version: then what is claimed is that every endpoint
	// serves it well, and not that its renewal will work.
	Renewer string `yaml:"renewer"`
	// Route is whom it concerns. Left out, the default route.
	Route string `yaml:"route"`
	// Owner is who answers for it; shown to people and never interpreted.
	Owner string `yaml:"owner"`
	// Every is how often its endpoints are looked at. Left out, as for all.
	Every Duration `yaml:"every"`
	// TimeToRepair is how long its owners need from being woken to a new certificate in service. Left out, as for all.
	TimeToRepair Duration `yaml:"time_to_repair"`
	// Issued is the path of the certificate file (PEM) as the renewer leaves it. An endpoint that serves an older one
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

// RenewerNone is the renewer of a certificate of which only serving is claimed.
const RenewerNone = "none"

// Renewer renews certificates, or is watched while it does. Exactly one of acme and cert_manager is set.
type Renewer struct {
	// ACME makes notafter itself the client of an ACME certificate authority (RFC 8555).
	ACME *ACME `yaml:"acme"`
	// CertManager is a cert-manager in a Kubernetes cluster, which is watched.
	CertManager *CertManager `yaml:"cert_manager"`
	// DNS is where challenge records are written. It belongs to acme.
	DNS *RenewerDNS `yaml:"dns"`
	// Install says where new certificates go. It belongs to acme.
	Install []Install `yaml:"install"`
}

// ACME is an account at a certificate authority.
type ACME struct {
	// Directory is the address of the authority's directory.
	Directory string `yaml:"directory,required"`
	// Staging is the address of the directory that rehearsals use instead.
	Staging string `yaml:"staging"`
	// Email is whom the authority may write to.
	Email string `yaml:"email"`
	// Profile is the certificate profile to ask for, where the authority offers several.
	Profile string `yaml:"profile"`
}

// CertManager is a cert-manager in a Kubernetes cluster.
type CertManager struct {
	// Kubeconfig is the path of the file with the cluster's address and credentials. Left out, those of the pod.
	Kubeconfig File `yaml:"kubeconfig"`
}

// RenewerDNS is where challenge records are written.
type RenewerDNS struct {
	// Azure is a zone in Azure DNS.
	Azure *AzureDNS `yaml:"azure"`
}

// AzureDNS is a zone in Azure DNS.
type AzureDNS struct {
	// Subscription is the id of the subscription that holds the zone.
	Subscription string `yaml:"subscription,required"`
	// ResourceGroup is the resource group of the zone.
	ResourceGroup string `yaml:"resource_group,required"`
	// Zone is the name of the zone.
	Zone string `yaml:"zone,required"`
}

// Install puts a new certificate where a server reads it, and makes the server read it.
type Install struct {
	// Files maps what to write (cert, chain, fullchain, key) to paths.
	Files map[string]File `yaml:"files"`
	// Reload is the command that makes the server read them, as a list of words.
	Reload []string `yaml:"reload"`
}
