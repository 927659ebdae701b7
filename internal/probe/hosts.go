package probe

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// maxConfFile bounds the hosts file and resolv.conf. Blocklists in hosts files reach a few megabytes.
const maxConfFile = 32 << 20

// watched is a file that is read again when it changed: its modification time, its size or which file it is.
type watched[T any] struct {
	path  string
	parse func([]byte) T

	mu    sync.Mutex
	last  os.FileInfo
	value T
	err   error
}

func newWatched[T any](path string, parse func([]byte) T) *watched[T] {
	return &watched[T]{path: path, parse: parse}
}

// get returns the file's present content. Without the file the content is empty and the error says so; a file that
// cannot be read any more has the content of its last reading.
func (w *watched[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "none" {
		return w.value, nil
	}
	info, err := os.Stat(w.path)
	if err != nil {
		return w.value, err
	}
	if w.last != nil && os.SameFile(info, w.last) && info.Size() == w.last.Size() && info.ModTime().Equal(w.last.ModTime()) {
		return w.value, w.err
	}
	w.last = info
	var data []byte
	data, w.err = readConf(w.path)
	if w.err == nil {
		w.value = w.parse(data)
	}
	return w.value, w.err
}

func readConf(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxConfFile+1))
	if err == nil && len(data) > maxConfFile {
		err = fmt.Errorf("read %s: larger than %d bytes", path, maxConfFile)
	}
	return data, err
}

// hostsTable maps names in lower case to addresses (hosts(5)).
type hostsTable map[string][]netip.Addr

func parseHosts(data []byte) hostsTable {
	t := hostsTable{}
	for line := range bytes.Lines(data) {
		text, _, _ := strings.Cut(string(line), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		// An address with a zone means another host on each machine, so it is no address of an endpoint.
		ip, err := netip.ParseAddr(fields[0])
		if err != nil || ip.Zone() != "" {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.TrimSuffix(strings.ToLower(name), ".")
			if name != "" && len(t[name]) < maxAnswer { // a lone dot names no host
				t[name] = append(t[name], ip)
			}
		}
	}
	for name, list := range t {
		t[name] = sortAddrs(list)
	}
	return t
}

// fromHosts answers from the hosts file. localhost and the names under it are this machine, whatever DNS says (RFC 6761
// section 6.3).
func (r *Resolver) fromHosts(name string) (*answer, bool) {
	table, _ := r.hosts.get() // no hosts file, or one that went away: DNS answers
	if list := table[name]; len(list) > 0 {
		return &answer{addrs: list, dns: assure.DNS{Source: "hosts"}}, true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return &answer{addrs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, dns: assure.DNS{Source: "hosts"}}, true
	}
	return nil, false
}

// resolvConf is what is used of resolv.conf(5).
type resolvConf struct {
	servers []string      // ip:port
	search  []string      // without trailing dots
	timeout time.Duration // of one attempt
}

func parseResolvConf(data []byte) resolvConf {
	var c resolvConf
	for line := range bytes.Lines(data) {
		text := string(line)
		if i := strings.IndexAny(text, "#;"); i >= 0 {
			text = text[:i]
		}
		f := strings.Fields(text)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			// A zone stays: a link-local name server is one of this machine's own network.
			if ip, err := netip.ParseAddr(f[1]); err == nil && len(c.servers) < 8 {
				c.servers = append(c.servers, net.JoinHostPort(ip.String(), "53"))
			}
		case "domain", "search": // the last one counts
			c.search = nil
			for _, s := range f[1:min(len(f), 17)] {
				s = strings.ToLower(strings.Trim(s, "."))
				if s != "" && !slices.Contains(c.search, s) {
					c.search = append(c.search, s)
				}
			}
		case "options":
			for _, opt := range f[1:] {
				if v, ok := strings.CutPrefix(opt, "timeout:"); ok {
					if n, err := strconv.Atoi(v); err == nil && n > 0 {
						c.timeout = time.Duration(min(n, 30)) * time.Second
					}
				}
			}
		}
	}
	return c
}
