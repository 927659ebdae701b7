package lab

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// Flood is what a server sends without end after a handshake. It has to be encrypted like the server's own records;
// crypto/tls offers no way to send such messages, so the keys are derived again from its key log.
type Flood func(ctx context.Context, conn *watched, state tls.ConnectionState)

// EndlessRenegotiation asks for a new handshake over and over, whatever the client answers. It needs a service with
// MaxTLS at 1.2; in TLS 1.3 there is no such message.
func EndlessRenegotiation() Flood {
	return flood(func() []byte { return []byte{0, 0, 0, 0} }) // hello_request
}

// EndlessTickets sends session tickets over and over (RFC 8446 section 4.6.1), in TLS 1.3 only.
func EndlessTickets() Flood {
	return flood(func() []byte {
		body := make([]byte, 0, 64)
		body = append(body, 0, 0, 14, 16)                      // lifetime in seconds
		body = append(body, 1, 2, 3, 4)                        // age add
		body = append(body, 1, 0)                              // nonce
		body = append(body, 0, 32)                             // ticket
		body = append(append(body, make([]byte, 32)...), 0, 0) // no extensions
		return append(append([]byte{4}, length24(len(body))...), body...)
	})
}

func flood(message func() []byte) Flood {
	return func(_ context.Context, conn *watched, state tls.ConnectionState) {
		seal, err := conn.sealer(state)
		if err != nil {
			return // the handshake was of a version in which this message does not exist
		}
		for {
			var block []byte
			for range 16 {
				block = append(block, seal(recordHandshake, message())...)
			}
			if _, err := conn.Conn.Write(block); err != nil {
				return
			}
		}
	}
}

// watched is a server's connection that remembers its first record and keeps the key log.
type watched struct {
	net.Conn
	log keyLog

	mu    sync.Mutex
	first []byte
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	if len(w.first) < 64 {
		w.first = append(w.first, b[:min(len(b), 64)]...)
	}
	w.mu.Unlock()
	return w.Conn.Write(b)
}

// keyLog is a log in the NSS key log format: label, client random and secret, the last two in hex.
type keyLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (k *keyLog) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.Write(b)
}

func (k *keyLog) secret(label string) (clientRandom, secret []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for line := range bytes.Lines(k.text.Bytes()) {
		f := bytes.Fields(line)
		if len(f) != 3 || string(f[0]) != label {
			continue
		}
		if clientRandom, err = hex.DecodeString(string(f[1])); err != nil {
			return nil, nil, fmt.Errorf("read the key log: %w", err)
		}
		if secret, err = hex.DecodeString(string(f[2])); err != nil {
			return nil, nil, fmt.Errorf("read the key log: %w", err)
		}
		return clientRandom, secret, nil
	}
	return nil, nil, fmt.Errorf("read the key log: no %s", label)
}

var errNoFlood = errors.New("the cipher suite is not one that the lab can encrypt for")

// sealer returns a function that makes the server's next encrypted record, for a server that has sent no application
// data and no tickets yet.
func (w *watched) sealer(state tls.ConnectionState) (func(kind byte, content []byte) []byte, error) {
	if state.Version == tls.VersionTLS13 {
		return w.sealer13(state.CipherSuite)
	}
	return w.sealer12(state.CipherSuite)
}

// sealer12: RFC 5246 section 6.3 and RFC 5288 section 3, for AES-128-GCM with SHA-256.
func (w *watched) sealer12(suite uint16) (func(byte, []byte) []byte, error) {
	if suite != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 && suite != tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 {
		return nil, errNoFlood
	}
	client, master, err := w.log.secret("CLIENT_RANDOM")
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	const randomAt = 5 + 4 + 2 // record header, message header, version
	if len(w.first) < randomAt+32 {
		return nil, errors.New("the server's hello was not seen")
	}
	seed := append([]byte("key expansion"), w.first[randomAt:randomAt+32]...)
	block := prf12(master, append(seed, client...), 2*16+2*4)
	aead, err := gcm(block[16:32])
	if err != nil {
		return nil, err
	}
	salt := block[36:40]
	seq := uint64(1) // 0 was the Finished message
	return func(kind byte, content []byte) []byte {
		explicit := binary.BigEndian.AppendUint64(nil, seq)
		extra := append(bytes.Clone(explicit), kind, 3, 3, byte(len(content)>>8), byte(len(content)))
		seq++
		sealed := aead.Seal(bytes.Clone(explicit), append(bytes.Clone(salt), explicit...), content, extra)
		return append([]byte{kind, 3, 3, byte(len(sealed) >> 8), byte(len(sealed))}, sealed...)
	}, nil
}

// prf12 is P_SHA256 of RFC 5246 section 5.
func prf12(secret, seed []byte, n int) []byte {
	mac := func(data ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, d := range data {
			_, _ = h.Write(d)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:n]
}

// sealer13: RFC 8446 sections 5.2, 5.3 and 7.3.
func (w *watched) sealer13(suite uint16) (func(byte, []byte) []byte, error) {
	_, secret, err := w.log.secret("SERVER_TRAFFIC_SECRET_0")
	if err != nil {
		return nil, err
	}
	var newHash func() hash.Hash = sha256.New
	keyLen := 16
	open := gcm
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
	case tls.TLS_AES_256_GCM_SHA384:
		newHash, keyLen = sha512.New384, 32
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		keyLen, open = 32, chacha20poly1305.New
	default:
		return nil, errNoFlood
	}
	expand := func(label string, n int) ([]byte, error) {
		info := binary.BigEndian.AppendUint16(nil, uint16(n))
		info = append(info, byte(len("tls13 ")+len(label)))
		info = append(append(info, "tls13 "+label...), 0)
		return hkdf.Expand(newHash, secret, string(info), n)
	}
	key, err := expand("key", keyLen)
	if err != nil {
		return nil, err
	}
	iv, err := expand("iv", 12)
	if err != nil {
		return nil, err
	}
	aead, err := open(key)
	if err != nil {
		return nil, err
	}
	seq := uint64(0)
	return func(kind byte, content []byte) []byte {
		nonce := bytes.Clone(iv)
		for i, b := range binary.BigEndian.AppendUint64(nil, seq) {
			nonce[4+i] ^= b
		}
		seq++
		n := len(content) + 1 + aead.Overhead()
		head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
		return append(head, aead.Seal(nil, nonce, append(bytes.Clone(content), kind), head)...)
	}, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}
