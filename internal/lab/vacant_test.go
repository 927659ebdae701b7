package lab

import (
	"net"
	"net/netip"
	"testing"
)

// A vacant address can be listened at, and no listener that takes any port gets it.
func TestVacant(t *testing.T) {
	t.Parallel()
	at, err := Vacant("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if p := netip.MustParseAddrPort(at).Port(); p < 10000 || p >= 32768 {
		t.Errorf("port %d may be handed out by the system", p)
	}
	if at, err := Vacant("192.0.2.1"); err == nil {
		t.Errorf("an address of another machine is vacant: %s", at)
	}
}
