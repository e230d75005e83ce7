package core

import (
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// TestLicense_2_SignerIsJudgedAtItsEnd: only where another module hands the
// license over, and only when it was issued by then.
func TestLicense_2_SignerIsJudgedAtItsEnd(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	shop := d.Party(pki.LicenseIssuer)
	end := d.Peer(shop).NotAfter()
	before, after := end.Add(-time.Hour), end.Add(time.Hour)
	for name, tc := range map[string]struct {
		issued time.Time
		handed bool
		now    time.Time
		want   time.Time // zero: refused
	}{
		"from the issuer, in time":                   {before, false, before, before},
		"from the issuer, too late":                  {before, false, after, after},
		"handed over, in time":                       {before, true, before, before},
		"handed over, later":                         {before, true, after, end},
		"handed over, issued at the end":             {end, true, after, end},
		"handed over, issued after the end":          {end.Add(time.Millisecond), true, after, time.Time{}},
		"handed over, issued in the future, in time": {after, true, before, before},
	} {
		got, err := signerTime(shop.Chain, tc.issued.UnixMilli(), tc.handed, tc.now)
		if (err != nil) != tc.want.IsZero() || err == nil && !got.Equal(tc.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tc.want)
		}
	}
	for _, chain := range [][][]byte{nil, {{1}}} { // Verify says what is wrong with them
		if got, err := signerTime(chain, 0, true, after); err != nil || !got.Equal(after) {
			t.Errorf("%v: %v, %v", chain, got, err)
		}
	}
}
