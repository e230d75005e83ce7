package caller_test

import (
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/lares-drm/lares/internal/caller"
)

func TestCaller_Spec4_OnlyAProxyOnThisMachineIsBelieved(t *testing.T) {
	for _, tc := range []struct{ remote, header, want string }{
		{"192.0.2.1:99", "", "192.0.2.1"},
		{"192.0.2.1:99", "203.0.113.5", "192.0.2.1"},
		{"127.0.0.1:99", "", "127.0.0.1"},
		{"127.0.0.1:99", "203.0.113.5", "203.0.113.5"},
		{"[::1]:99", "203.0.113.5, 198.51.100.9", "198.51.100.9"}, // what the proxy itself saw
		{"[::1]:99", "[2001:db8::1]:443", "2001:db8::1"},
		{"[::1]:99", "nonsense", "::1"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.RemoteAddr = tc.remote
		if tc.header != "" {
			r.Header.Set("X-Forwarded-For", tc.header)
		}
		if got := caller.Of(r).String(); got != tc.want {
			t.Errorf("%s with %q: %s, want %s", tc.remote, tc.header, got, tc.want)
		}
	}
}

func TestCaller_NetworkOfAHousehold(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := caller.Network(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := caller.Network(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("no address: %v", got)
	}
}
