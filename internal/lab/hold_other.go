//go:build !unix

package lab

import "net/netip"

// holdPort does nothing here: a port of a stopped service may be given to somebody else.
func holdPort(netip.Addr, uint16) (release func()) { return func() {} }
