package assure

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Fact is what one look brought back. The set is closed: [Served], [Rehearsed], [Renewing], [Sight],
// [Heard], [Delivered] and [Blind].
// "We tried and could not see" is a fact too. A fact never carries a verdict.
type Fact interface {
	// Kind names the type, stably; it is stored beside the fact.
	Kind() string
	// Key identifies what was seen, so that two looks at an unchanged world have the same key and are kept as one run.
	// It leaves out what varies without meaning anything: wording of errors, refreshed revocation dates, the TLS version.
	Key() string
}

// Cert is an actual X.509 certificate, seen somewhere. Times are in UTC, as the certificate holds them.
type Cert struct {
	Fingerprint string    `json:"fingerprint_sha256"` // SHA-256 of the DER form, lower-case hex without colons
	Subject     string    `json:"subject"`            // distinguished name, RFC 2253 style
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"` // lower-case hex without leading zeros
	Names       []string  `json:"names"`  // subject alternative names: DNS names and IP addresses, in the order of the certificate
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Key         string    `json:"key"`       // such as "ECDSA P-256", "RSA 2048", "Ed25519"
	Signature   string    `json:"signature"` // such as "ECDSA-SHA384", "SHA1-RSA"
}

// Lifetime is how long the certificate lives, counting both ends (RFC 5280 section 4.1.2.5 makes them inclusive); of one
// that lives longer than a duration holds, 292 years.
func (c Cert) Lifetime() time.Duration {
	d := c.NotAfter.Sub(c.NotBefore)
	return d + min(time.Second, math.MaxInt64-d)
}

// CertOf returns the certificate with that fingerprint.
func (s Served) CertOf(fingerprint string) (Cert, bool) {
	for _, c := range s.Certs {
		if c.Fingerprint == fingerprint {
			return c, true
		}
	}
	return Cert{}, false
}

// Served is what one look at an endpoint brought back: every address, every chain, whatever the verdict.
type Served struct {
	DNS DNS `json:"dns"`
	// Certs holds every distinct certificate seen, and those that chain analysis found behind them. Chains and paths
	// refer to it by fingerprint. It is what a store may keep once and share between endpoints.
	Certs []Cert `json:"certs,omitempty"`
	// Chains holds every distinct presented chain with what is known of it.
	Chains []Chain `json:"chains,omitempty"`
	// Sightings has one element for each handshake that was tried, in the order of addresses. More than one may be of
	// the same address: without a server name, or with the other signature algorithm.
	Sightings []Sighting `json:"sightings,omitempty"`
}

// DNS is how the target's name led to addresses.
type DNS struct {
	Failure DNSFailure `json:"failure,omitempty"`
	Detail  string     `json:"detail,omitempty"`
	Source  string     `json:"source,omitempty"` // dns, hosts, literal or pin
	CNAMEs  []string   `json:"cnames,omitempty"` // the aliases followed, in order, without the name asked for
}

// DNSFailure says why a name led to no address.
type DNSFailure string

const (
	DNSOK        DNSFailure = ""
	DNSNXDomain  DNSFailure = "nxdomain"   // the name does not exist
	DNSNoAddress DNSFailure = "no_address" // the name exists and has neither A nor AAAA
	DNSServfail  DNSFailure = "servfail"   // a server answered that it could not answer (SERVFAIL, REFUSED and the like)
	DNSTimeout   DNSFailure = "timeout"    // no server answered in time
	DNSInvalid   DNSFailure = "invalid"    // the name cannot be asked for, or the answer cannot be understood
)

// Failure says how a handshake ended when it did not complete.
type Failure string

const (
	OK             Failure = ""
	Refused        Failure = "refused"         // the connection was refused
	NoRoute        Failure = "no_route"        // network or host unreachable, or this machine has no such address family
	Timeout        Failure = "timeout"         // silence for longer than the stage allows
	Reset          Failure = "reset"           // connection reset, or closed before the stage was over
	Alert          Failure = "alert"           // the peer sent a TLS alert
	NotTLS         Failure = "not_tls"         // what came back is not TLS
	Malformed      Failure = "malformed"       // TLS, but broken: what came back could not be parsed
	TooLarge       Failure = "too_large"       // more bytes or certificates than one look accepts
	UpgradeRefused Failure = "upgrade_refused" // the protocol in clear text works but does not offer or refused TLS
	UpgradeFailed  Failure = "upgrade_failed"  // what came back in clear text is not the protocol expected
	Panicked       Failure = "panicked"        // a parser of ours panicked on what the peer sent
	LocalFailure   Failure = "local"           // this machine could not try (no file descriptors, no memory, no route of its own)
)

// Stage names of a sighting: where a failed handshake stopped.
const (
	AtConnect   = "connect"
	AtUpgrade   = "upgrade"
	AtHandshake = "handshake"
)

// Sighting is one handshake with one address.
type Sighting struct {
	Address string  `json:"address"`           // ip:port
	NoSNI   bool    `json:"no_sni,omitempty"`  // the handshake was tried without a server name
	Offered string  `json:"offered,omitempty"` // "ecdsa" or "rsa" when only that kind of certificate was accepted; else empty
	Failure Failure `json:"failure,omitempty"`
	At      string  `json:"at,omitempty"`     // stage of the failure: connect, upgrade or handshake
	Detail  string  `json:"detail,omitempty"` // for people; wording not stable
	// Chain is the index into Served.Chains of what was presented, -1 when no certificate was seen. A failure may come
	// after the certificate was seen; both are then set.
	Chain int `json:"chain"`
	// TLS is the version, such as "1.3"; empty when the handshake did not get that far.
	TLS string `json:"tls,omitempty"`
	// ClientCert is true when the server asked for a client certificate.
	ClientCert bool `json:"client_cert,omitempty"`
}

// Chain is one presented list of certificates and what can be said of it without knowing the time.
type Chain struct {
	Certs []string `json:"certs"` // fingerprints as served, leaf first, at most the number that a look keeps
	// Extra counts certificates that were served beyond those kept.
	Extra int `json:"extra,omitempty"`
	// NameMatches is true when the leaf is valid for the target's host (RFC 9525: subject alternative names only).
	NameMatches bool `json:"name_matches"`
	// SelfSigned is true when the leaf is signed by its own key.
	SelfSigned bool `json:"self_signed,omitempty"`
	// ServerAuth is true when the leaf may be used by a TLS server: no extended key usage at all, or one that allows it.
	ServerAuth bool `json:"server_auth"`
	// IsCA is true when the leaf is itself a CA certificate.
	IsCA bool `json:"is_ca,omitempty"`
	// WeakKey names the first key in the presented chain that is too small (RSA or DSA under 2048 bits, an elliptic
	// curve under 256), with its owner; empty when there is none.
	WeakKey string `json:"weak_key,omitempty"`
	// WeakSignature names the first SHA-1, MD5 or MD2 signature that a client has to rely on; empty when there is none.
	WeakSignature string `json:"weak_signature,omitempty"`
	// PublicTrust is true when a path ends at a root of the public web (Mozilla's list), so that the CA/Browser Forum's
	// Baseline Requirements apply.
	PublicTrust bool `json:"public_trust,omitempty"`
	// Paths holds every path from the leaf to the trust store that is correct in everything but time, best (longest
	// lasting) first. Empty when the chain leads nowhere.
	Paths []Path `json:"paths,omitempty"`
	// Completed holds the paths that would exist if the server sent MissingIssuer as well; only looked for when Paths is empty.
	Completed []Path `json:"completed,omitempty"`
	// MissingIssuer is the name of the issuer at which building stopped when Paths is empty: an intermediate that was
	// not served, or a root that is not trusted.
	MissingIssuer string `json:"missing_issuer,omitempty"`
	// UntrustedRoot is true when building stopped at a self-signed certificate that the trust store does not hold.
	UntrustedRoot bool `json:"untrusted_root,omitempty"`
	// PathError says why no path exists in spite of a known issuer (name constraints, path length, purpose).
	PathError string `json:"path_error,omitempty"`
	// Unused lists served certificates, by fingerprint, that no path needs.
	Unused []string `json:"unused,omitempty"`
	// Revocation has an element for each question asked about a certificate of the best path.
	Revocation []Revocation `json:"revocation,omitempty"`
	// Lint holds remarks of the linter about the leaf, as "name: text"; they never change a verdict.
	Lint []string `json:"lint,omitempty"`
	// Unparsed says why the leaf could not be parsed; everything else is then empty.
	Unparsed string `json:"unparsed,omitempty"`
}

// Path is one way from the leaf to a trust anchor.
type Path struct {
	Certs     []string  `json:"certs"` // fingerprints, leaf first; the last is the trust anchor
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`  // earliest end; the anchor's own dates do not count (RFC 5280 section 6.1)
	LimitedBy string    `json:"limited_by"` // fingerprint of the certificate whose end that is
}

// ValidAt reports whether a client would accept the path's dates at t.
func (p Path) ValidAt(t time.Time) bool { return !t.Before(p.NotBefore) && !t.After(p.NotAfter) }

// Revocation answers of one source about one certificate.
type Revocation struct {
	Cert       string    `json:"cert"`          // fingerprint
	Via        string    `json:"via"`           // crl, ocsp or staple
	URL        string    `json:"url,omitempty"` // where it was asked; empty for a staple
	Status     string    `json:"status"`        // good, revoked or unknown
	Detail     string    `json:"detail,omitempty"`
	ThisUpdate time.Time `json:"this_update,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	Reason     string    `json:"reason,omitempty"` // RFC 5280 section 5.3.1, such as keyCompromise
}

// Values of Revocation.Status.
const (
	RevocationGood    = "good"
	RevocationRevoked = "revoked"
	RevocationUnknown = "unknown"
)

// Sight is the patrol's own account of one cycle: was it on time, and did it see anything at all?
type Sight struct {
	Expected int       `json:"expected"`        // claims that should have evidence young enough
	Observed int       `json:"observed"`        // claims that have it
	Tried    int       `json:"tried"`           // distinct hosts looked at lately
	Reached  int       `json:"reached"`         // of those, hosts that answered at all
	Oldest   time.Time `json:"oldest,omitzero"` // observation time of the oldest current evidence
	Backlog  int       `json:"backlog"`         // notices that wait beyond their time
	Late     Seconds   `json:"late"`            // by how much the most overdue shard is behind its due time
}

// Heard is what came of telling the outside party that the patrol is alive.
type Heard struct {
	URL    string `json:"url"`
	OK     bool   `json:"ok"`
	Held   string `json:"held,omitempty"` // why the heartbeat was withheld, when it was
	Detail string `json:"detail,omitempty"`
}

// Delivered is the latest outcome of a channel: of a real notice or of a credential check.
type Delivered struct {
	Channel string       `json:"channel"`
	Class   ReceiptClass `json:"class"`
	Detail  string       `json:"detail,omitempty"`
}

// Blind says that a look was tried and saw nothing, for a reason of our own rather than the endpoint's.
type Blind struct {
	Detail string `json:"detail"`
}

// Seconds is a duration that JSON shows as a number of whole seconds.
type Seconds time.Duration

func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(time.Duration(s)/time.Second), 10), nil
}

func (s *Seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("seconds: %w", err)
	}
	*s = Seconds(time.Duration(n) * time.Second)
	return nil
}

func (Served) Kind() string    { return "served" }
func (Sight) Kind() string     { return "sight" }
func (Heard) Kind() string     { return "heard" }
func (Delivered) Kind() string { return "delivered" }
func (Blind) Kind() string     { return "blind" }

func (f Blind) Key() string     { return "blind" }
func (f Delivered) Key() string { return f.Channel + " " + string(f.Class) }
func (f Heard) Key() string     { return fmt.Sprintf("%s %t %t", f.URL, f.OK, f.Held != "") }

// Key leaves the counts out: they differ each cycle. What matters is judged from the newest run.
func (f Sight) Key() string { return "sight" }

func (s Served) Key() string {
	h := sha256.New()
	w := func(parts ...string) {
		for _, p := range parts {
			_, _ = fmt.Fprintf(h, "%d:%s,", len(p), p)
		}
	}
	w(string(s.DNS.Failure))
	w(s.DNS.CNAMEs...)
	for _, c := range s.Chains {
		w("chain")
		w(c.Certs...)
		w(fmt.Sprint(c.NameMatches, c.SelfSigned, c.ServerAuth, c.Extra), c.WeakKey, c.WeakSignature, c.MissingIssuer, c.Unparsed)
		for _, p := range c.Paths {
			w("path")
			w(p.Certs...)
		}
		for _, r := range c.Revocation {
			w("revocation", r.Cert, r.Via, r.Status)
		}
	}
	for _, g := range s.Sightings {
		w("sighting", g.Address, fmt.Sprint(g.NoSNI), g.Offered, string(g.Failure), g.At, strconv.Itoa(g.Chain))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// DecodeFact is the inverse of json.Marshal for a fact of the given kind.
func DecodeFact(kind string, data []byte) (Fact, error) {
	switch kind {
	case "served":
		return decode[Served](data)
	case "rehearsed":
		return decode[Rehearsed](data)
	case "renewing":
		return decode[Renewing](data)
	case "sight":
		return decode[Sight](data)
	case "heard":
		return decode[Heard](data)
	case "delivered":
		return decode[Delivered](data)
	case "blind":
		return decode[Blind](data)
	}
	return nil, fmt.Errorf("unknown kind of fact %q", strings.ToValidUTF8(kind, "?"))
}

func decode[F Fact](data []byte) (Fact, error) {
	var f F
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("decode %s fact: %w", f.Kind(), err)
	}
	return f, nil
}
