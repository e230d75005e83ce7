package issuer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/service/issuer"
)

func TestSunset_1_TermsSayIt(t *testing.T) {
	key := make([]byte, license.NoticeKeyLen)
	two := int64(issuer.DefaultSilence)
	for _, tc := range []struct {
		name  string
		kind  issuer.Kind
		terms string
		key   []byte
		want  *license.Sunset
		err   bool
	}{
		{"a purchase", issuer.Purchase, "PLAY", key, &license.Sunset{Mode: license.SunsetRebind, SilenceMS: two, NoticeKey: key}, false},
		{"a gift", issuer.Gift, "PLAY", key, &license.Sunset{Mode: license.SunsetRebind, SilenceMS: two, NoticeKey: key}, false},
		{"a purchase that says none", issuer.Purchase, "PLAY; SUNSET=none", key, nil, false},
		{"a rental", issuer.Rental, "PLAY; PLAY_COUNT=2", key, nil, false},
		{"of an issuer without a key", issuer.Purchase, "PLAY", nil, nil, false},
		{"a promise without a key", issuer.Purchase, "PLAY; SUNSET=release", nil, nil, true},
		{
			"release by date", issuer.Purchase, "PLAY; SUNSET=release; SILENCE=400d; FREE_AFTER=2036-01-01T00:00:00Z", key,
			&license.Sunset{Mode: license.SunsetRelease, SilenceMS: 400 * 86_400_000, NoticeKey: key, FreeAfter: 2082758400000}, false,
		},
		{"a day without a mode", issuer.Purchase, "PLAY; FREE_AFTER=2036-01-01T00:00:00Z", key, nil, true},
		{"none, on a day", issuer.Purchase, "PLAY; SUNSET=none; FREE_AFTER=2036-01-01T00:00:00Z", key, nil, true},
		{"another mode", issuer.Purchase, "PLAY; SUNSET=soon", key, nil, true},
	} {
		got, err := issuer.SunsetOf(&issuer.Offer{Kind: tc.kind, Terms: tc.terms}, tc.key)
		if (err != nil) != tc.err || (got == nil) != (tc.want == nil) {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
			continue
		}
		if got != nil && (got.Mode != tc.want.Mode || got.SilenceMS != tc.want.SilenceMS || got.FreeAfter != tc.want.FreeAfter) {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// TestSunset_1_LicenseHasIt: the grant keeps it, and the license says it.
func TestSunset_1_LicenseHasIt(t *testing.T) {
	s := newShop(t)
	s.noticeKey = make([]byte, license.NoticeKeyLen)
	s.open()
	_, err := s.Grant(context.Background(), issuer.Grant{Domain: house, Content: film, Kind: issuer.Purchase, Terms: "PLAY; SUNSET=release"})
	if err != nil {
		t.Fatal(err)
	}
	s.send(request(1))
	if got := s.trem.last.Info.Sunset; got == nil || got.Mode != license.SunsetRelease || got.SilenceMS != issuer.DefaultSilence {
		t.Errorf("%+v", got)
	}
	if _, err := s.Grant(context.Background(), issuer.Grant{Domain: house, Content: film, Terms: "PLAY; SUNSET=release; SILENCE=364d"}); !errors.Is(err, issuer.ErrTerms) {
		t.Errorf("a silence of less than a year: %v", err)
	}
}
