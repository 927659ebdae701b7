package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Vacant is an address of this machine, as ip:port, at which nobody listens, for a server that is started later and must
// be told where. Its port is none that a system hands out by itself (49152 and up by RFC 6335 section 6; Linux from 32768,
// ip_local_port_range): such a port may go to somebody else before that server is there, and whoever asks it then talks to
// a stranger.
func Vacant(ip string) (string, error) {
	var last error
	for range 50 {
		at := net.JoinHostPort(ip, strconv.Itoa(10000+rand.IntN(22000)))
		l, err := net.Listen("tcp", at)
		if err != nil {
			last = err
			continue
		}
		return at, l.Close()
	}
	return "", fmt.Errorf("find a vacant address: %w", last)
}
