package probe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"hash"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"
)

// crypto/tls gives certificates away late. In TLS 1.2 it waits for the message after them; in any version it gives up
// without a word on a certificate that it cannot parse or a key that it does not know, be it an intermediate that
// nobody needs. So what the server sends is also read by ourselves, from what came over the wire: in the clear up to
// TLS 1.2, with the handshake's secret (as for a key log) in TLS 1.3.

// Record and handshake message types (RFC 8446 sections 5.1 and 4).
const (
	recordHandshake   = 22
	recordApplication = 23

	messageServerHello = 2
	messageCertificate = 11
	messageVerify      = 15
)

// maxOverheard is how much of a connection is kept for reading it again: the largest Certificate message that
// crypto/tls takes, and some room.
const maxOverheard = 320 << 10

var errOverheard = errors.New("what was sent is not a TLS handshake")

// records splits what came over the wire into records, as far as they are complete.
func records(wire []byte, each func(kind byte, head, body []byte) error) error {
	for len(wire) >= 5 {
		n := int(wire[3])<<8 | int(wire[4])
		if len(wire) < 5+n {
			return nil
		}
		if wire[1] != 3 || n > 1<<14+256 {
			return errOverheard
		}
		if err := each(wire[0], wire[:5], wire[5:5+n]); err != nil {
			return err
		}
		wire = wire[5+n:]
	}
	return nil
}

// nextMessage takes one complete handshake message off the front of b; ok is false when there is none.
func nextMessage(b []byte) (kind byte, message, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, b, false
	}
	n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if len(b) < 4+n {
		return 0, nil, b, false
	}
	return b[0], b[:4+n], b[4+n:], true
}

// serverHello is what matters of a ServerHello (RFC 8446 section 4.1.3).
type serverHello struct {
	version, suite, group uint16
	share                 []byte
}

func parseServerHello(message []byte) (h serverHello, ok bool) {
	s := cryptobyte.String(message)
	var session, extensions, data cryptobyte.String
	var compression uint8
	if !s.Skip(4) || !s.ReadUint16(&h.version) || !s.Skip(32) || !s.ReadUint8LengthPrefixed(&session) || !s.ReadUint16(&h.suite) || !s.ReadUint8(&compression) {
		return h, false
	}
	if s.Empty() {
		return h, true
	}
	if !s.ReadUint16LengthPrefixed(&extensions) {
		return h, false
	}
	for !extensions.Empty() {
		var kind uint16
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return h, false
		}
		switch kind {
		case 43: // supported_versions
			if !data.ReadUint16(&h.version) {
				return h, false
			}
		case 51: // key_share
			var share cryptobyte.String
			if !data.ReadUint16(&h.group) {
				return h, false
			}
			if data.Empty() {
				continue // a HelloRetryRequest names a group only
			}
			if !data.ReadUint16LengthPrefixed(&share) {
				return h, false
			}
			h.share = share
		}
	}
	return h, true
}

// parseCertificates reads the list out of a Certificate message of either form (RFC 5246 section 7.4.2, RFC 8446
// section 4.4.2). At most keptCerts are returned, and the number of those beyond.
func parseCertificates(message []byte, tls13 bool) (der [][]byte, extra int, ok bool) {
	s := cryptobyte.String(message)
	var context, list, one, extensions cryptobyte.String
	if !s.Skip(4) || tls13 && !s.ReadUint8LengthPrefixed(&context) || !s.ReadUint24LengthPrefixed(&list) {
		return nil, 0, false
	}
	for !list.Empty() {
		if !list.ReadUint24LengthPrefixed(&one) || tls13 && !list.ReadUint16LengthPrefixed(&extensions) {
			return nil, 0, false
		}
		if len(der) < keptCerts {
			der = append(der, one)
		} else {
			extra++
		}
	}
	return der, extra, len(der) > 0
}

// overhear finds the certificates in what came over the wire. secret is the server's handshake traffic secret, nil
// when there is none: then only TLS up to 1.2 can be read. version is what the server chose, 0 when it did not get so
// far.
func overhear(wire, secret []byte) (version uint16, der [][]byte, extra int) {
	var plain []byte
	var o *opener
	_ = records(wire, func(kind byte, head, body []byte) error {
		switch {
		case kind == recordHandshake && o == nil:
		case kind == recordApplication && o != nil:
			inner, text, err := o.open(head, body)
			if err != nil || inner != recordHandshake {
				return errors.Join(err, errOverheard)
			}
			body = text
		default:
			return nil // change_cipher_spec and alerts
		}
		plain = append(plain, body...)
		for {
			kind, message, rest, ok := nextMessage(plain)
			if !ok {
				return nil
			}
			plain = rest
			switch kind {
			case messageServerHello:
				h, ok := parseServerHello(message)
				if !ok {
					return errOverheard
				}
				version = h.version
				if h.version == tls.VersionTLS13 && secret != nil {
					var err error
					if o, err = newOpener(h.suite, secret); err != nil {
						return err
					}
				}
			case messageCertificate:
				der, extra, _ = parseCertificates(message, o != nil)
				return errOverheard // all that was wanted
			}
		}
	})
	return version, der, extra
}

// opener decrypts the records of one direction of TLS 1.3 (RFC 8446 section 5.2).
type opener struct {
	aead cipher.AEAD
	iv   []byte
	n    uint64
}

func newOpener(suite uint16, secret []byte) (*opener, error) {
	h, size, make := suiteParts(suite)
	if h == nil || len(secret) != h().Size() {
		return nil, errOverheard
	}
	key, err := expandLabel(h, secret, "key", nil, size)
	if err != nil {
		return nil, err
	}
	iv, err := expandLabel(h, secret, "iv", nil, 12)
	if err != nil {
		return nil, err
	}
	aead, err := make(key)
	if err != nil {
		return nil, err
	}
	return &opener{aead: aead, iv: iv}, nil
}

// suiteParts are the hash and the cipher of a TLS 1.3 cipher suite; nil for one that is not known.
func suiteParts(suite uint16) (h func() hash.Hash, key int, aead func([]byte) (cipher.AEAD, error)) {
	gcm := func(key []byte) (cipher.AEAD, error) {
		b, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(b)
	}
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
		return sha256.New, 16, gcm
	case tls.TLS_AES_256_GCM_SHA384:
		return sha512.New384, 32, gcm
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return sha256.New, 32, chacha20poly1305.New
	}
	return nil, 0, nil
}

// open decrypts one record and tells the type of what was in it.
func (o *opener) open(head, body []byte) (kind byte, text []byte, err error) {
	nonce := append([]byte(nil), o.iv...)
	for i := range 8 {
		nonce[4+i] ^= byte(o.n >> (56 - 8*i))
	}
	o.n++
	text, err = o.aead.Open(nil, nonce, body, head)
	if err != nil {
		return 0, nil, err
	}
	for i := len(text) - 1; i >= 0; i-- { // padding is zeros after the type
		if text[i] != 0 {
			return text[i], text[:i], nil
		}
	}
	return 0, nil, errOverheard
}

// expandLabel is HKDF-Expand-Label of RFC 8446 section 7.1.
func expandLabel(h func() hash.Hash, secret []byte, label string, context []byte, n int) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16(uint16(n)) //nolint:gosec // G115: the size of a key
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("tls13 " + label)) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(context) })
	info, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return hkdf.Expand(h, secret, string(info), n)
}

// keyLog is the writer that crypto/tls gives a connection's secrets to, in the format of RFC 9850. It keeps one.
type keyLog struct{ secret []byte }

func (k *keyLog) Write(line []byte) (int, error) {
	f := strings.Fields(string(line))
	if len(f) == 3 && f[0] == "SERVER_HANDSHAKE_TRAFFIC_SECRET" {
		if b, err := hex.DecodeString(f[2]); err == nil {
			k.secret = b
		}
	}
	return len(line), nil
}
