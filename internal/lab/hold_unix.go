//go:build unix

package lab

import (
	"net/netip"
	"syscall"
)

// holdPort keeps a port of a stopped service from being given to somebody else: it is bound and nobody listens, so that
// connections are refused. It is a courtesy, not a guarantee: where it cannot be had, release does nothing.
func holdPort(ip netip.Addr, port uint16) (release func()) {
	var domain int
	var at syscall.Sockaddr
	if ip.Is4() {
		domain, at = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(port), Addr: ip.As4()}
	} else {
		domain, at = syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(port), Addr: ip.As16()}
	}
	fd, err := syscall.Socket(domain, syscall.SOCK_STREAM, 0)
	if err != nil {
		return func() {}
	}
	syscall.CloseOnExec(fd)
	if err := syscall.Bind(fd, at); err != nil {
		_ = syscall.Close(fd)
		return func() {}
	}
	return func() { _ = syscall.Close(fd) }
}
