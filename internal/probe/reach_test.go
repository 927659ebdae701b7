package probe

import (
	"net/netip"
	"testing"
)

func TestReach(t *testing.T) {
	for _, tc := range []struct {
		ip                       string
		public, private, machine bool
	}{
		{"93.184.216.34", true, true, true},
		{"2606:2800:220:1::1", true, true, true},
		{"10.0.0.1", false, true, true},
		{"172.31.255.255", false, true, true},
		{"172.32.0.1", true, true, true},
		{"192.168.1.1", false, true, true},
		{"100.64.0.1", false, true, true},
		{"fd12:3456::1", false, true, true},
		{"127.0.0.1", false, false, true},
		{"127.9.9.9", false, false, true},
		{"::1", false, false, true},
		{"::ffff:127.0.0.1", false, false, true},
		{"::ffff:10.0.0.1", false, true, true},
		{"64:ff9b::a00:1", false, true, true},   // 10.0.0.1 through NAT64
		{"64:ff9b::7f00:1", false, false, true}, // 127.0.0.1 through NAT64
		{"64:ff9b::a9fe:a9fe", false, false, false},
		{"2002:a9fe:a9fe::1", false, false, false}, // 169.254.169.254 through 6to4
		{"::127.0.0.1", false, false, true},
		{"169.254.169.254", false, false, false},
		{"::ffff:169.254.169.254", false, false, false},
		{"fe80::1", false, false, false},
		{"fe80::1%eth0", false, false, false},
		{"fd00:ec2::254", false, false, false},
		{"100.100.100.200", false, false, false},
		{"168.63.129.16", false, false, false},
		{"0.0.0.0", false, false, false},
		{"::", false, false, false},
		{"224.0.0.1", false, false, false},
		{"ff02::1", false, false, false},
		{"255.255.255.255", false, false, false},
	} {
		ip := netip.MustParseAddr(tc.ip)
		got := [3]bool{reachPublic.allow(ip) == nil, reachPrivate.allow(ip) == nil, reachLoopback.allow(ip) == nil}
		if got != [3]bool{tc.public, tc.private, tc.machine} {
			t.Errorf("%s: %v", tc.ip, got)
		}
	}
	if reachPublic.allow(netip.Addr{}) == nil {
		t.Error("no address is allowed")
	}
	for peer, want := range map[string]reach{
		"93.184.216.34": reachPublic, "10.0.0.1": reachPrivate, "fd00::1": reachPrivate, "127.0.0.1": reachLoopback, "::1": reachLoopback,
		"::ffff:127.0.0.1": reachLoopback, "::ffff:192.168.0.1": reachPrivate, "169.254.1.1": reachPublic,
	} {
		if got := reachOf(netip.MustParseAddr(peer)); got != want {
			t.Errorf("%s: %d, want %d", peer, got, want)
		}
	}
}
