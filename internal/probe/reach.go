package probe

import (
	"fmt"
	"net/netip"
	"syscall"
)

// reach says how far into a network the certificates of one peer may send us. Who serves a certificate chooses the
// addresses in it, so a server on the Internet must not make this process knock at doors inside the network where it
// runs; a server that is inside itself may name its neighbours.
type reach uint8

const (
	reachPublic   reach = iota // addresses of the public Internet only
	reachPrivate               // private networks as well: the peer is in one
	reachLoopback              // this machine as well: the peer is on it
)

// reachOf is the reach of a peer's certificates. An invalid address gets the smallest.
func reachOf(peer netip.Addr) reach {
	peer = peer.Unmap()
	switch {
	case !peer.IsValid():
		return reachPublic
	case peer.IsLoopback():
		return reachLoopback
	case isPrivate(peer):
		return reachPrivate
	}
	return reachPublic
}

// Special-purpose networks (IANA special-purpose address registries). Nobody's certificate has any business in the
// first list. The second is inside somebody's network.
var (
	neverAsked = prefixes(
		"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", // this network, link-local (with the metadata services), multicast, reserved
		"100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::/32", // metadata services outside link-local: Alibaba, Azure, AWS, Google
		"192.0.0.0/24", "::/128", "fe80::/10", "fec0::/10", "ff00::/8", "100::/64",
	)
	privateNets = prefixes(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7",
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", // documentation: somebody uses them inside
	)
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixTo = netip.MustParsePrefix("2002::/16")    // RFC 3056
	ipv4C = netip.MustParsePrefix("::/96")        // RFC 4291 section 2.5.5.1, deprecated
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func isPrivate(ip netip.Addr) bool { return within(privateNets, ip) }

// embedded returns the IPv4 address that a transition mechanism would lead an IPv6 address to.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	b := ip.As16()
	switch {
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixTo.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case ipv4C.Contains(ip) && ip != netip.IPv6Loopback():
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return netip.Addr{}, false
}

// blockedError says that an address is out of reach.
type blockedError struct{ ip netip.Addr }

func (e *blockedError) Error() string {
	return fmt.Sprintf("the address %s is not one that this certificate may send us to", e.ip)
}

// allow reports whether ip is within the reach.
func (r reach) allow(ip netip.Addr) error {
	ip = ip.WithZone("").Unmap()
	if !ip.IsValid() || within(neverAsked, ip) {
		return &blockedError{ip}
	}
	if ip.Is6() {
		if v4, ok := embedded(ip); ok {
			return r.allow(v4)
		}
	}
	if ip.IsLoopback() && r < reachLoopback || isPrivate(ip) && r < reachPrivate {
		return &blockedError{ip}
	}
	return nil
}

// control is the net.Dialer hook: it sees the address that is really connected to, after every name was resolved.
func (r reach) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	return r.allow(ap.Addr())
}
