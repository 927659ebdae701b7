package config

import "time"

// RenewerNone is the renewer of a certificate of which only serving is claimed.
const RenewerNone = "none"

// Renewer renews certificates, or is watched while it does. Exactly one of acme and cert_manager is set.
type Renewer struct {
	// ACME makes notafter itself the client of an ACME certificate authority (RFC 8555).
	ACME *ACME `yaml:"acme"`
	// CertManager is a cert-manager in a Kubernetes cluster. It may be declared here, but no certificate can name it yet.
	CertManager *CertManager `yaml:"cert_manager"`
	// DNS is where challenge records are written. It belongs to acme, and is needed for the challenges that begin with dns.
	DNS *RenewerDNS `yaml:"dns"`
	// Responder answers the challenges http-01 and tls-alpn-01. It belongs to acme.
	Responder *Responder `yaml:"responder"`
	// Key is the type of the certificates' private keys. Left out, ecdsa-p256.
	Key KeyType `yaml:"key"`
	// Install says where new certificates go: all of these, in this order. It belongs to acme. {certificate} in a path
	// stands for the certificate's name.
	Install []Install `yaml:"install"`
	// Rehearse says how often each rung of a rehearsal is climbed. It belongs to acme.
	Rehearse Rehearse `yaml:"rehearse"`
	// Drift is how often what the permission to write rests on is compared with what is expected, whatever is rehearsed and
	// how often: see the guide to drift. Left out, 15m; 0s leaves it out. It belongs to acme, and does something only where
	// whoever runs the zone can be asked.
	Drift *Duration `yaml:"drift"`
}

// ACME is an account at a certificate authority.
type ACME struct {
	// Directory is the address of the authority's directory, such as
	// "https://acme-v02.api.letsencrypt.org/directory".
	Directory Address `yaml:"directory,required"`
	// Staging is the address of the directory that rehearsals order from. Without one, the rungs authorization and full
	// are not climbed.
	Staging Address `yaml:"staging"`
	// Email is whom the authority may write to.
	Email string `yaml:"email"`
	// Profile is the certificate profile to ask for, where the authority offers several.
	Profile string `yaml:"profile"`
	// EAB binds the account to one that the authority knows you by (RFC 8555 section 7.3.4), where it asks for that.
	EAB *EAB `yaml:"eab"`
	// StagingEAB is the same for the staging directory. Left out, the account there is bound to none.
	StagingEAB *EAB `yaml:"staging_eab"`
	// Challenge is how control of the names is shown. Left out, dns-01.
	Challenge Challenge `yaml:"challenge"`
	// PreferredChain is the common name of the root that is wanted, where the authority offers several chains.
	PreferredChain string `yaml:"preferred_chain"`
	// Roots is the path of a PEM file with the roots to trust for the authority's own address. Left out, the system's.
	Roots File `yaml:"roots"`
}

// EAB is an external account.
type EAB struct {
	// KeyID is what the authority calls the external account.
	KeyID string `yaml:"key_id,required"`
	// HMAC refers to the key, in base64url, as the authority gave it.
	HMAC Secret `yaml:"hmac,required"`
}

// Challenge is the type of an ACME challenge.
type Challenge string

// Challenges.
const (
	ChallengeDNS        Challenge = "dns-01"
	ChallengeDNSAccount Challenge = "dns-account-01"
	ChallengeDNSPersist Challenge = "dns-persist-01"
	ChallengeHTTP       Challenge = "http-01"
	ChallengeALPN       Challenge = "tls-alpn-01"
)

func (Challenge) choices() []string {
	return []string{string(ChallengeDNS), string(ChallengeHTTP), string(ChallengeALPN), string(ChallengeDNSAccount), string(ChallengeDNSPersist)}
}

// WritesDNS reports whether TXT values are written for the challenge.
func (c Challenge) WritesDNS() bool { return c == ChallengeDNS || c == ChallengeDNSAccount }

// KeyType is the type of a private key.
type KeyType string

// Types of keys.
const KeyP256 KeyType = "ecdsa-p256"

func (KeyType) choices() []string {
	return []string{string(KeyP256), "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"}
}

// CertManager is a cert-manager in a Kubernetes cluster.
type CertManager struct {
	// Kubeconfig is the path of the file with the cluster's address and credentials. Left out, those of the pod.
	Kubeconfig File `yaml:"kubeconfig"`
}

// RenewerDNS is where challenge records are written. Exactly one of azure, rfc2136 and lego is set.
type RenewerDNS struct {
	// Azure is a zone in Azure DNS.
	Azure *AzureDNS `yaml:"azure"`
	// RFC2136 is a server that takes dynamic updates, such as BIND, Knot or PowerDNS.
	RFC2136 *RFC2136 `yaml:"rfc2136"`
	// Lego is one of the providers that lego knows; see the guide to DNS writers.
	Lego *Lego `yaml:"lego"`
	// Propagation is how long a new record may take until every server shows it. Left out, 10m.
	Propagation Duration `yaml:"propagation"`
	// TTL is for how long resolvers may remember what is written, from 1s to 1d. Left out, 1m. Lego's writers have settings of
	// their own for it.
	TTL Duration `yaml:"ttl"`
	// PublicResolvers are asked for the record once all authoritative servers show it, as IP addresses with or without a
	// port. Left out, none are.
	PublicResolvers []string `yaml:"public_resolvers"`
	// AuthoritativePort is the port of authoritative servers. Left out, 53.
	AuthoritativePort int `yaml:"authoritative_port"`
}

// AzureDNS is a zone in Azure DNS, and who writes there.
type AzureDNS struct {
	// Subscription is the id (a GUID) of the subscription that holds the zone.
	Subscription string `yaml:"subscription,required"`
	// ResourceGroup is the resource group of the zone.
	ResourceGroup string `yaml:"resource_group,required"`
	// Zone is the name of the zone.
	Zone string `yaml:"zone,required"`
	// Tenant is the id of the directory that knows the identity. Needed with client_secret.
	Tenant string `yaml:"tenant"`
	// ClientID is the application's id, or that of a managed identity. Left out, the only one there is.
	ClientID string `yaml:"client_id"`
	// ClientSecret refers to the application's secret. Left out, a workload identity (where AZURE_FEDERATED_TOKEN_FILE
	// is set) or a managed identity is used.
	ClientSecret Secret `yaml:"client_secret"`
	// ObjectID is the principal's object id, by which permissions are asked for. Left out, it is read from the token.
	ObjectID string `yaml:"object_id"`
	// Cloud is "public", "china" or "usgovernment". Left out, public.
	Cloud AzureCloud `yaml:"cloud"`
	// Endpoint is the address of the resource manager of a cloud of your own (Azure Stack). Left out, that of cloud.
	Endpoint Address `yaml:"endpoint"`
	// Authority is the address where tokens come from. Left out, that of cloud.
	Authority Address `yaml:"authority"`
	// Roots is the path of a PEM file with the roots to trust for both addresses. Left out, the system's.
	Roots File `yaml:"roots"`
}

// AzureCloud is one of Azure's clouds.
type AzureCloud string

func (AzureCloud) choices() []string { return []string{"public", "china", "usgovernment"} }

// RFC2136 is a server that takes dynamic updates, signed with a key (TSIG, RFC 8945).
type RFC2136 struct {
	// Server is the primary, as host or host:port.
	Server string `yaml:"server,required"`
	// Zone is the zone to write in. Left out, it is found by asking.
	Zone string `yaml:"zone"`
	// Key is the name of the TSIG key.
	Key string `yaml:"key,required"`
	// Algorithm is the key's algorithm. Left out, hmac-sha256.
	Algorithm TSIGAlgorithm `yaml:"algorithm"`
	// Secret refers to the key itself, in base64.
	Secret Secret `yaml:"secret,required"`
}

// TSIGAlgorithm is the algorithm of a TSIG key.
type TSIGAlgorithm string

func (TSIGAlgorithm) choices() []string {
	return []string{"hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1"}
}

// Lego is a DNS provider that is written to by lego, in a process of its own.
type Lego struct {
	// Provider is its code, such as "route53".
	Provider string `yaml:"provider,required"`
	// Settings are what lego documents for the provider as environment variables. Values that are secrets are written by
	// reference. Nothing else of notafter's own environment reaches it.
	Settings map[string]Text `yaml:"settings"`
}

// Responder answers challenges over HTTP and TLS.
type Responder struct {
	// HTTP is the host:port where http-01 is answered; the authority asks port 80. Left out, ":80".
	HTTP string `yaml:"http"`
	// TLS is the host:port where tls-alpn-01 is answered; the authority asks port 443. Left out, ":443".
	TLS string `yaml:"tls"`
}

// Rehearse says how often each rung is climbed. 0s leaves a rung out.
type Rehearse struct {
	// Static is how often account, directory, profile, CAA and delegation are looked at. Left out, 15m.
	Static *Duration `yaml:"static"`
	// Permission is how often the cloud is asked whether the identity may write. Left out, 5m.
	Permission *Duration `yaml:"permission"`
	// Canary is how often a TXT value is written, read back from every authoritative server, and withdrawn. Left out, 15m.
	Canary *Duration `yaml:"canary"`
	// Authorization is how often an order at the staging authority is validated and then given back. Left out, 24h; it
	// needs acme.staging.
	Authorization *Duration `yaml:"authorization"`
	// Full is how often a certificate of the staging authority is installed to the shadow target. Left out, 7d where a
	// shadow is named.
	Full *Duration `yaml:"full"`
	// Shadow is where certificates of the rung full go, reload included. It must not be where those in service go.
	Shadow []Install `yaml:"shadow"`
}

// Rung is how often one rung is climbed; zero when it is left out.
func rung(d *Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Std()
}

// Install puts a new certificate where a server reads it, and makes the server read it. Exactly one of files or directory,
// kubernetes and webhook is set.
type Install struct {
	// Directory makes a directory of versions, in which the link "current" leads to the newest: a server that reads
	// DIRECTORY/current/fullchain.pem and DIRECTORY/current/privkey.pem never sees a certificate without its key. It may
	// hold {certificate}. With it, the paths under files are plain names; left out, fullchain and key are written.
	Directory File `yaml:"directory"`
	// Files maps what to write to where: fullchain (leaf and intermediates), cert (leaf), chain (intermediates), key,
	// combined (key, then full chain) and pkcs12. A path alone is enough.
	Files map[string]InstallFile `yaml:"files"`
	// PKCS12Password refers to the password of the pkcs12 file.
	PKCS12Password Secret `yaml:"pkcs12_password"`
	// Reload is the command that makes the server read them, as a list of words, without a shell.
	Reload []string `yaml:"reload"`
	// Signal is sent to the process in pid_file instead of running a command.
	Signal Signal `yaml:"signal"`
	// PIDFile is the path of the file with the process's number.
	PIDFile File `yaml:"pid_file"`
	// Timeout is how long the reload may take. Left out, 30s.
	Timeout Duration `yaml:"timeout"`
	// Kubernetes is a secret of the type kubernetes.io/tls.
	Kubernetes *KubernetesSecret `yaml:"kubernetes"`
	// Webhook posts the certificate to a program of your own.
	Webhook *InstallWebhook `yaml:"webhook"`
}

// InstallFile is one file to write. Text alone is its path.
type InstallFile struct {
	// Path is where. {certificate} stands for the certificate's name.
	Path File `yaml:"path,required"`
	// Mode is its permissions, in octal. Left out, "0600" for what holds a key and "0644" for the rest.
	Mode string `yaml:"mode"`
	// Owner is the user it belongs to, by name or number. Left out, whoever runs notafter.
	Owner string `yaml:"owner"`
	// Group is the group it belongs to, by name or number. Left out, that of whoever runs notafter.
	Group string `yaml:"group"`
}

func (InstallFile) shorthand() string { return "path" }

// Signal is sent to a process.
type Signal string

func (Signal) choices() []string { return []string{"HUP", "USR1", "USR2", "TERM"} }

// KubernetesSecret is a secret of the type kubernetes.io/tls.
type KubernetesSecret struct {
	// Namespace holds the secret.
	Namespace string `yaml:"namespace,required"`
	// Name is the secret's name. {certificate} stands for the certificate's name.
	Name string `yaml:"name,required"`
	// Kubeconfig is the path of the file with the cluster's address and credentials. Left out, those of the pod.
	Kubeconfig File `yaml:"kubeconfig"`
	// Context is the context of the kubeconfig to use. Left out, its current one.
	Context string `yaml:"context"`
}

// InstallWebhook posts the certificate to a program of your own, signed as messages are.
type InstallWebhook struct {
	// URL is where to post: an address, or a reference to one when it holds a token.
	URL Address `yaml:"url,required"`
	// Secret signs each request (HMAC-SHA256).
	Secret Secret `yaml:"secret,required"`
	// WithKey sends the private key as well. The address must then be https, or on loopback.
	WithKey bool `yaml:"with_key"`
}

// Defaults of a rehearsal.
const (
	defaultStatic        = 15 * time.Minute
	defaultPermission    = 5 * time.Minute
	defaultCanary        = 15 * time.Minute
	defaultAuthorization = 24 * time.Hour
	defaultFull          = 7 * 24 * time.Hour
	defaultDrift         = 15 * time.Minute
	defaultPropagation   = 10 * time.Minute
	defaultTTL           = time.Minute
)
