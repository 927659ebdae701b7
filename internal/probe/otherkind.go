package probe

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"

	"github.com/notafter/notafter/internal/assure"
)

// Which certificate a TLS 1.3 server shows depends on the signature schemes that the client offers, and crypto/tls
// always offers all it has. So for a server that has nothing but TLS 1.3, the half of the handshake up to the server's
// proof that it holds the key is spoken here. The connection then ends; nothing is ever sent over it.

// schemesOf are the signature schemes that a certificate of one kind can sign the handshake with (RFC 8446 section
// 4.2.3).
func schemesOf(kind string) []uint16 {
	if kind == kindRSA {
		return []uint16{0x0804, 0x0805, 0x0806} // rsa_pss_rsae
	}
	return []uint16{0x0403, 0x0503, 0x0603, 0x0807} // ecdsa on P-256, P-384, P-521; ed25519
}

// chainSchemes may sign the certificates themselves, which are not what is asked for here.
var chainSchemes = []uint16{0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201}

var (
	errHelloRetry = errors.New("the server wants a key share of another group")
	errBadProof   = errors.New("the server's proof that it holds the certificate's key is wrong")
)

// shares are the two key shares of a hello, by group.
type shares map[uint16]*ecdh.PrivateKey

// helloFor builds a ClientHello that only certificates of the kind satisfy.
func helloFor(kind, sni string) (message []byte, keys shares, err error) {
	keys = shares{}
	for group, curve := range map[uint16]ecdh.Curve{uint16(tls.X25519): ecdh.X25519(), uint16(tls.CurveP256): ecdh.P256()} {
		if keys[group], err = curve.GenerateKey(rand.Reader); err != nil {
			return nil, nil, fmt.Errorf("make a key share: %w", err)
		}
	}
	var random [64]byte // the client's random, and the session number of middlebox compatibility (RFC 8446 appendix D.4)
	if _, err := rand.Read(random[:]); err != nil {
		return nil, nil, fmt.Errorf("make a random number: %w", err)
	}
	groups := []uint16{uint16(tls.X25519), uint16(tls.CurveP256)}
	var b cryptobyte.Builder
	extension := func(b *cryptobyte.Builder, kind uint16, f cryptobyte.BuilderContinuation) {
		b.AddUint16(kind)
		b.AddUint16LengthPrefixed(f)
	}
	list16 := func(list []uint16) cryptobyte.BuilderContinuation {
		return func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, v := range list {
					b.AddUint16(v)
				}
			})
		}
	}
	b.AddUint8(1) // client_hello
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(tls.VersionTLS12)
		b.AddBytes(random[:32])
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(random[32:]) })
		list16([]uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256})(b)
		b.AddUint8(1) // one compression method: none
		b.AddUint8(0)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			if sni != "" {
				extension(b, 0, func(b *cryptobyte.Builder) {
					b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
						b.AddUint8(0)
						b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(sni)) })
					})
				})
			}
			extension(b, 10, list16(groups))
			extension(b, 13, list16(schemesOf(kind)))
			extension(b, 50, list16(chainSchemes))
			extension(b, 43, func(b *cryptobyte.Builder) {
				b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(tls.VersionTLS13) })
			})
			extension(b, 51, func(b *cryptobyte.Builder) {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					for _, g := range groups {
						b.AddUint16(g)
						b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(keys[g].PublicKey().Bytes()) })
					}
				})
			})
		})
	})
	message, err = b.Bytes()
	return message, keys, err
}

// serverSecret derives the server's handshake traffic secret (RFC 8446 section 7.1). transcript is the hash of both
// hellos.
func serverSecret(h func() hash.Hash, shared, transcript []byte) ([]byte, error) {
	zero := make([]byte, h().Size())
	early, err := hkdf.Extract(h, zero, nil)
	if err != nil {
		return nil, err
	}
	derived, err := expandLabel(h, early, "derived", h().Sum(nil), len(zero))
	if err != nil {
		return nil, err
	}
	handshake, err := hkdf.Extract(h, shared, derived)
	if err != nil {
		return nil, err
	}
	return expandLabel(h, handshake, "s hs traffic", transcript, len(zero))
}

// halfway speaks the server's half of a TLS 1.3 handshake and fills in what it shows. It is used by one goroutine.
type halfway struct {
	hello      []byte
	keys       shares
	transcript hash.Hash
	opener     *opener
	leaf       *x509.Certificate
	certs      [][]byte
	extra      int
	certReq    bool
	done       bool
}

// read takes one handshake message.
func (w *halfway) read(kind byte, message []byte) error {
	switch kind {
	case messageServerHello:
		h, ok := parseServerHello(message)
		newHash, _, _ := suiteParts(h.suite)
		switch {
		case !ok || w.opener != nil || newHash == nil || h.version != tls.VersionTLS13:
			return errOverheard
		case h.share == nil || w.keys[h.group] == nil:
			return errHelloRetry
		}
		theirs, err := w.keys[h.group].Curve().NewPublicKey(h.share)
		if err != nil {
			return fmt.Errorf("read the server's key share: %w", err)
		}
		shared, err := w.keys[h.group].ECDH(theirs)
		if err != nil {
			return fmt.Errorf("agree on a key: %w", err)
		}
		w.transcript = newHash()
		_, _ = w.transcript.Write(w.hello)
		_, _ = w.transcript.Write(message)
		secret, err := serverSecret(newHash, shared, w.transcript.Sum(nil))
		if err != nil {
			return fmt.Errorf("derive the secret: %w", err)
		}
		w.opener, err = newOpener(h.suite, secret)
		return err
	case messageVerify:
		if w.leaf == nil {
			return errOverheard
		}
		w.done = true
		return w.proof(message)
	case messageCertificate:
		var ok bool
		if w.certs, w.extra, ok = parseCertificates(message, true); !ok || w.opener == nil {
			return errOverheard
		}
		leaf, err := x509.ParseCertificate(w.certs[0])
		if err != nil {
			return fmt.Errorf("parse the certificate: %w", err)
		}
		w.leaf = leaf
	case 13: // certificate_request
		w.certReq = true
	}
	if w.transcript == nil {
		return errOverheard
	}
	_, _ = w.transcript.Write(message)
	return nil
}

// proof checks a CertificateVerify message (RFC 8446 section 4.4.3).
func (w *halfway) proof(message []byte) error {
	s := cryptobyte.String(message[4:])
	var scheme uint16
	var signature cryptobyte.String
	if !s.ReadUint16(&scheme) || !s.ReadUint16LengthPrefixed(&signature) {
		return errOverheard
	}
	signed := append([]byte(strings.Repeat(" ", 64)+"TLS 1.3, server CertificateVerify\x00"), w.transcript.Sum(nil)...)
	hashes := map[uint16]crypto.Hash{0x0403: crypto.SHA256, 0x0503: crypto.SHA384, 0x0603: crypto.SHA512, 0x0804: crypto.SHA256, 0x0805: crypto.SHA384, 0x0806: crypto.SHA512}
	var digest []byte
	h, hashed := hashes[scheme]
	if hashed {
		d := h.New()
		_, _ = d.Write(signed)
		digest = d.Sum(nil)
	}
	good := false
	switch key := w.leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		good = hashed && scheme>>8 == 8 && rsa.VerifyPSS(key, h, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	case *ecdsa.PublicKey:
		good = hashed && scheme>>8 != 8 && ecdsa.VerifyASN1(key, digest, signature)
	case ed25519.PublicKey:
		good = scheme == 0x0807 && ed25519.Verify(key, signed, signature)
	}
	if !good {
		return errBadProof
	}
	return nil
}

// run sends the hello and reads until the server has proven that it holds the key.
func (w *halfway) run(conn io.ReadWriter, kind, sni string) error {
	var err error
	if w.hello, w.keys, err = helloFor(kind, sni); err != nil {
		return err
	}
	n := len(w.hello)
	if _, err := conn.Write(append([]byte{recordHandshake, 3, 1, byte(n >> 8), byte(n)}, w.hello...)); err != nil {
		return err
	}
	var head [5]byte
	var plain []byte
	for !w.done {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		n := int(head[3])<<8 | int(head[4])
		if head[1] != 3 || n > 1<<14+256 {
			return errOverheard
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(conn, body); err != nil {
			return err
		}
		inner := head[0]
		if w.opener != nil && inner == recordApplication {
			if inner, body, err = w.opener.open(head[:], body); err != nil {
				return fmt.Errorf("decrypt what the server sent: %w", err)
			}
		} else if inner == 20 && w.opener != nil {
			continue // change_cipher_spec of middlebox compatibility
		}
		if inner == 21 && len(body) == 2 {
			return alertError(body[1])
		}
		if inner != recordHandshake || len(body) == 0 {
			return errOverheard
		}
		if plain = append(plain, body...); len(plain) > maxOverheard {
			return errTooMuch
		}
		for !w.done {
			kind, message, rest, ok := nextMessage(plain)
			if !ok {
				break
			}
			plain = rest
			if err := w.read(kind, message); err != nil {
				return err
			}
		}
	}
	return nil
}

// alertError is an alert that the server sent.
type alertError uint8

func (a alertError) Error() string { return tls.AlertError(a).Error() }

// shake13 asks a server that has nothing but TLS 1.3 for its certificate of one kind.
func (p *Prober) shake13(ctx context.Context, e *errand, at netip.AddrPort, kind string) (g glimpse) {
	return p.connect(ctx, e, at, manner{kind: kind}, func(conn *wire, g *glimpse) {
		var w halfway
		err := w.run(conn, kind, e.sni)
		g.ClientCert = w.certReq
		if w.certs != nil {
			g.TLS, g.der, g.extra = "1.3", w.certs, w.extra
			if w.leaf != nil {
				g.leafKind = kindOf(w.leaf.PublicKeyAlgorithm)
			}
		}
		if err == nil {
			return
		}
		var alert alertError
		if errors.As(err, &alert) {
			g.alert = alert.Error()
			g.fail(assure.Alert, assure.AtHandshake, "the server sent the alert: "+strings.TrimPrefix(g.alert, "tls: "))
			return
		}
		f, detail := tlsFailure(err, conn.looksLikeTLS())
		g.fail(f, assure.AtHandshake, detail)
	})
}

// other shakes hands accepting only certificates of one kind. In TLS 1.2 the cipher suites say so, which crypto/tls can
// be told; a server that will not have TLS 1.2 is asked in TLS 1.3.
func (p *Prober) other(ctx context.Context, e *errand, at netip.AddrPort, first glimpse, kind string) glimpse {
	g := p.shake(ctx, e, at, manner{kind: kind})
	// handshake_failure says that TLS 1.2 is spoken, and that there is no such certificate (RFC 5246 section 7.2.2).
	if g.der != nil || first.TLS != "1.3" || g.At != assure.AtHandshake || g.Failure == assure.Timeout || g.alert == tls.AlertError(40).Error() {
		return g
	}
	return p.shake13(ctx, e, at, kind)
}
