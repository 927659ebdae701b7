package lab

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Silence accepts the connection and never says anything, until the client hangs up.
func Silence() Script {
	return func(_ context.Context, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
}

// Noise sends a megabyte of bytes that are no protocol, and hangs up.
func Noise() Script {
	return func(_ context.Context, conn net.Conn) {
		_, _ = conn.Write(garbage(1 << 20))
	}
}

// PlainHTTP answers what a web server answers to TLS on its port without TLS.
func PlainHTTP() Script {
	return func(_ context.Context, conn net.Conn) {
		r := bufio.NewReader(conn)
		if _, err := http.ReadRequest(r); err != nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nClient sent a request that is not HTTP.\n")
			drain(conn)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
		drain(conn)
	}
}

// Banner says one line, as a service of another protocol does, and waits.
func Banner(line string) Script {
	return func(_ context.Context, conn net.Conn) {
		_, _ = io.WriteString(conn, line+"\r\n")
		drain(conn)
	}
}

// HangUp closes the connection at once.
func HangUp() Script { return func(context.Context, net.Conn) {} }

// Alert answers the first record of the client with a fatal TLS alert of that number (RFC 8446 section 6), such as 40
// for handshake_failure or 112 for unrecognized_name.
func Alert(number byte) Script {
	return func(_ context.Context, conn net.Conn) {
		if readRecord(conn) == nil {
			return
		}
		_, _ = conn.Write([]byte{recordAlert, 3, 3, 0, 2, 2, number})
		drain(conn)
	}
}

// Records answers the first record of the client with the same record over and over.
func Records(record []byte) Script {
	return func(_ context.Context, conn net.Conn) {
		if readRecord(conn) == nil {
			return
		}
		repeat(conn, record)
	}
}

// Types of TLS records (RFC 8446 section 5.1).
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
)

// EmptyRecord is a handshake record without content, which the specification forbids.
func EmptyRecord() []byte { return []byte{recordHandshake, 3, 3, 0, 0} }

// ChangeCipherSpecRecord is the record that TLS 1.3 keeps for middleboxes and tells clients to ignore.
func ChangeCipherSpecRecord() []byte { return []byte{recordChangeCipherSpec, 3, 3, 0, 1, 1} }

// WarningRecord is an alert of the warning level that clients before TLS 1.3 pass over (no_renegotiation).
func WarningRecord() []byte { return []byte{recordAlert, 3, 3, 0, 2, 1, 100} }

// HelloRequestRecord asks the client to begin the handshake anew, in clear text (RFC 5246 section 7.4.1.1).
func HelloRequestRecord() []byte { return []byte{recordHandshake, 3, 3, 0, 4, 0, 0, 0, 0} }

// HugeCertificates speaks TLS 1.2 up to a Certificate message of nearly 16 MiB, the largest that its length can say,
// filled with copies of the leaf.
func HugeCertificates(l *Leaf) Script {
	return func(_ context.Context, conn net.Conn) {
		if readRecord(conn) == nil {
			return
		}
		entry := append(length24(len(l.Cert.Raw)), l.Cert.Raw...)
		copies := (1<<24 - 4) / len(entry)
		list := copies * len(entry)
		var block []byte
		for len(block) < 64<<10 {
			block = append(block, entry...)
		}
		out := handshakeRecords(serverHello12(l))
		head := append([]byte{11}, length24(list+3)...) // certificate
		head = append(head, length24(list)...)
		out = append(out, handshakeRecords(head)...)
		if _, err := conn.Write(out); err != nil {
			return
		}
		for left := list; left > 0; {
			n := min(left, len(block))
			if _, err := conn.Write(handshakeRecords(block[:n])); err != nil {
				return
			}
			left -= n
		}
		drain(conn)
	}
}

// serverHello12 is a TLS 1.2 ServerHello with the suite that every client offers for the leaf's kind of key.
func serverHello12(l *Leaf) []byte {
	suite := tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	if l.Cert.PublicKeyAlgorithm.String() == "RSA" {
		suite = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	}
	body := []byte{3, 3}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	body = append(body, random...)
	body = append(body, 0) // no session: a client that offered TLS 1.3 refuses its own number back (RFC 8446 section 4.1.3)
	body = binary.BigEndian.AppendUint16(body, suite)
	body = append(body, 0) // no compression
	// renegotiation_info, empty (RFC 5746 section 3.6)
	body = append(body, 0, 5, 0xff, 0x01, 0, 1, 0)
	return append(append([]byte{2}, length24(len(body))...), body...)
}

func length24(n int) []byte { return []byte{byte(n >> 16), byte(n >> 8), byte(n)} }

// handshakeRecords puts bytes of handshake messages into records of at most 16 KiB.
func handshakeRecords(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		n := min(len(b), 16<<10)
		out = append(out, recordHandshake, 3, 3, byte(n>>8), byte(n))
		out = append(out, b[:n]...)
		b = b[n:]
	}
	return out
}

// readRecord reads one TLS record and returns its content; nil when there is none.
func readRecord(r io.Reader) []byte {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(r, body); err != nil || len(body) == 0 {
		return nil
	}
	return body
}

// repeat writes a block over and over until the client hangs up.
func repeat(w io.Writer, block []byte) {
	many := block
	for len(many) < 4096 {
		many = append(many, block...)
	}
	for {
		if _, err := w.Write(many); err != nil {
			return
		}
	}
}

// drain waits for the client to hang up, so that what was written reaches it rather than a reset.
func drain(conn net.Conn) {
	if t, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = t.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, conn)
}

// Tamper changes what a server sends: it wraps the connection below TLS, behind any upgrade.
type Tamper func(ctx context.Context, conn net.Conn) net.Conn

// Slowly sends one byte, then pauses, and so on.
func Slowly(pace time.Duration) Tamper {
	return func(ctx context.Context, conn net.Conn) net.Conn {
		return &tampered{Conn: conn, write: func(b []byte) (int, error) {
			if err := writeSlowly(ctx, conn, b, pace); err != nil {
				return 0, err
			}
			return len(b), nil
		}}
	}
}

func writeSlowly(ctx context.Context, conn net.Conn, b []byte, pace time.Duration) error {
	t := time.NewTimer(pace)
	defer t.Stop()
	for i := range b {
		if _, err := conn.Write(b[i : i+1]); err != nil {
			return err
		}
		t.Reset(pace)
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

var errCut = errors.New("the lab cut the connection")

// ResetAfter sends the first n bytes and resets the connection.
func ResetAfter(n int) Tamper {
	return func(_ context.Context, conn net.Conn) net.Conn {
		left := n
		return &tampered{Conn: conn, write: func(b []byte) (int, error) {
			if len(b) < left {
				left -= len(b)
				return conn.Write(b)
			}
			if left > 0 {
				if _, err := conn.Write(b[:left]); err != nil {
					return 0, err
				}
				left = 0
			}
			reset(conn)
			return 0, errCut
		}}
	}
}

// reset closes a connection with RST instead of FIN.
func reset(conn net.Conn) {
	if b, ok := conn.(*buffered); ok {
		conn = b.Conn
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}

// CloseAfter sends the first n TLS records and closes the connection. A server's first record is its ServerHello. In
// TLS 1.2 the second is its Certificate message. In TLS 1.3 the second is a ChangeCipherSpec, the third the encrypted
// extensions and the fourth the Certificate message, unless a client certificate is asked for, which comes fourth then.
func CloseAfter(n int) Tamper {
	return afterRecords(n, func(_ context.Context, conn net.Conn) {
		if b, ok := conn.(*buffered); ok {
			conn = b.Conn
		}
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	})
}

// HoldAfter sends the first n TLS records and then nothing more.
func HoldAfter(n int) Tamper {
	return afterRecords(n, func(ctx context.Context, conn net.Conn) {
		Silence()(ctx, conn)
	})
}

// RepeatAfter sends the first n TLS records and then the same record over and over.
func RepeatAfter(n int, record []byte) Tamper {
	return afterRecords(n, func(_ context.Context, conn net.Conn) { repeat(conn, record) })
}

// afterRecords lets n records through and then calls then once; nothing else is sent after that.
func afterRecords(n int, then func(context.Context, net.Conn)) Tamper {
	return func(ctx context.Context, conn net.Conn) net.Conn {
		left, need := n, 0 // records still to begin, bytes of the present one still to come
		var head []byte
		var once sync.Once
		return &tampered{Conn: conn, write: func(b []byte) (int, error) {
			at := 0
			for at < len(b) {
				if need == 0 && len(head) == 0 && left == 0 {
					break
				}
				if need > 0 {
					k := min(need, len(b)-at)
					need -= k
					at += k
					continue
				}
				k := min(5-len(head), len(b)-at)
				head = append(head, b[at:at+k]...)
				at += k
				if len(head) == 5 {
					need, head = int(binary.BigEndian.Uint16(head[3:])), nil
					left--
				}
			}
			if at > 0 {
				if _, err := conn.Write(b[:at]); err != nil {
					return 0, err
				}
			}
			if at == len(b) && (left > 0 || need > 0 || len(head) > 0) {
				return len(b), nil
			}
			if left == 0 && need == 0 {
				once.Do(func() { then(ctx, conn) })
				drain(conn)
				return at, errCut
			}
			return at, errCut
		}}
	}
}

type tampered struct {
	net.Conn
	write func([]byte) (int, error)
}

func (t *tampered) Write(b []byte) (int, error) { return t.write(b) }
