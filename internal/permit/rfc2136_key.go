package permit

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/miekg/dns"
)

// tsigKey is a TSIG key. Its zero value signs nothing. It never shows its secret, however it is printed.
type tsigKey struct {
	name      string // lower case, with trailing dot
	algorithm string // as on the wire
	secret    []byte
}

// tsigHashes are the algorithms of RFC 8945 §6 but MD5, which no server should take any more.
var tsigHashes = map[string]func() hash.Hash{
	dns.HmacSHA1: sha1.New, dns.HmacSHA224: sha256.New224, dns.HmacSHA256: sha256.New, dns.HmacSHA384: sha512.New384, dns.HmacSHA512: sha512.New,
}

// parseTSIG reads the settings of a key. Its errors never hold the secret.
func parseTSIG(name, algorithm, secret string) (tsigKey, error) {
	name, algorithm, secret = strings.TrimSpace(name), strings.ToLower(strings.TrimSpace(algorithm)), strings.Join(strings.Fields(secret), "")
	if name == "" && secret == "" && algorithm == "" {
		return tsigKey{}, nil
	}
	k := tsigKey{name: strings.ToLower(dns.Fqdn(name))}
	if _, ok := dns.IsDomainName(k.name); !ok || k.name == "." || len(k.name) > 254 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return tsigKey{}, errors.New("the TSIG key's name is no domain name")
	}
	if algorithm == "" {
		algorithm = "hmac-sha256"
	}
	if !strings.HasPrefix(algorithm, "hmac-") {
		algorithm = "hmac-" + algorithm
	}
	k.algorithm = dns.Fqdn(algorithm)
	if tsigHashes[k.algorithm] == nil {
		return tsigKey{}, fmt.Errorf("the TSIG key's algorithm %.40q is not known: want hmac-sha256, hmac-sha512, -384, -224 or hmac-sha1", algorithm)
	}
	var err error
	if k.secret, err = base64.StdEncoding.DecodeString(secret); err != nil {
		return tsigKey{}, errors.New("the TSIG key's secret is not base64") // err would quote it
	}
	if len(k.secret) == 0 || len(k.secret) > 1024 {
		return tsigKey{}, errors.New("the TSIG key's secret is empty or longer than 1024 bytes")
	}
	return k, nil
}

func (k tsigKey) String() string   { return "TSIG key " + k.name }
func (k tsigKey) GoString() string { return k.String() }

// Generate and Verify make it a [dns.TsigProvider].
func (k tsigKey) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	if dns.CanonicalName(t.Hdr.Name) != k.name || dns.CanonicalName(t.Algorithm) != k.algorithm {
		return nil, dns.ErrSecret
	}
	h := hmac.New(tsigHashes[k.algorithm], k.secret)
	h.Write(msg)
	return h.Sum(nil), nil
}

// Verify compares in constant time.
func (k tsigKey) Verify(msg []byte, t *dns.TSIG) error {
	want, err := k.Generate(msg, t)
	if err != nil {
		return err
	}
	if got, err := hex.DecodeString(t.MAC); err != nil || !hmac.Equal(got, want) {
		return dns.ErrSig
	}
	return nil
}
