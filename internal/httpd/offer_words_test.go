package httpd_test

import (
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/service/issuer"
)

func wordsOf(t *testing.T, o issuer.Offer) string {
	t.Helper()
	w, err := httpd.WordsOfOffer(&o, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(append(append(w.What, w.Closing...), w.Privacy...), "\n")
	if bad := internalWords.FindString(all); bad != "" {
		t.Errorf("%s: the words for people say %q:\n%s", o.Terms, bad, all)
	}
	return all
}

func TestOfferWords_Spec4_SayWhatTheTermsSay(t *testing.T) {
	for _, tc := range []struct {
		o    issuer.Offer
		want []string // in this order
	}{
		{issuer.Offer{Kind: issuer.Rental, Terms: "PLAY; PLAY_COUNT=2; INTERVAL=48h; STORAGE_DURATION=30d; CHARGE=RENTAL"}, []string{
			"You may watch it for 48 hours from the first start, 2 times.", "Begin within 30 days of fetching it.", "every quality", "browsers do not play it.",
			"plays to its end as promised", "Nobody sees what you watch",
		}},
		{issuer.Offer{Kind: issuer.Purchase, Tiers: []uint64{1, 2, 3}, Terms: "PLAY; COPY=FREE; MOVE=DOMAIN; LEND; EXPORT=clearkey; CHARGE=PURCHASE; BACKUP=household"}, []string{
			"as often as you like, without an end", "these qualities: Sound, SD, HD.", "copy it to the devices", "move it between", "lend it to another house for up to 14 days", "in the browsers of your house",
			"keeps playing by the same rules", "The recovery code of your house brings it back",
		}},
		{issuer.Offer{Kind: issuer.Purchase, Terms: "PLAY; CHARGE=PURCHASE; DOMAIN_DEVICES=5; DOMAIN_NEW=1"}, []string{"At most 5 devices of your house may have it", "In a year 1 device may get"}},
		{issuer.Offer{Kind: issuer.Purchase, Terms: "PLAY; CHARGE=PURCHASE"}, []string{"After a loss the shop gives it again. A shop that has closed cannot"}},
		{issuer.Offer{Kind: issuer.Gift, Terms: "PLAY; CHARGE=GIFT"}, []string{"It is in no backup"}},
		{issuer.Offer{Kind: issuer.Loan, Terms: "PLAY; END_TIME=2026-12-24T18:00:00Z; RESOLUTION<=1920x1080; CHARGE=LOAN; TERRITORY=AT,DE"}, []string{
			"until 24 Dec 2026, 18:00 UTC.", "2 million dots (HD)", "these countries only: AT, DE.", "plays to its end as promised",
		}},
		{issuer.Offer{Kind: issuer.Preview, Licenses: 3, Terms: "PLAY; PLAY_COUNT=1; ACCUMULATED=10m; OUTPUT_PROTECTION=HDCP_2_2; CHARGE=FREE; MIN_LEVEL=2"}, []string{
			"once, for 10 minutes in all", "copy protection (HDCP 2.2 or better)", "keys are in hardware", "fetched 3 times",
		}},
	} {
		t.Run(tc.o.Terms, func(t *testing.T) {
			all := wordsOf(t, tc.o)
			rest := all
			for _, want := range tc.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("%q is not said, or not in its place:\n%s", want, all)
				}
				rest = after
			}
		})
	}
	if _, err := httpd.WordsOfOffer(&issuer.Offer{Terms: "PLAY; X.10.81=01"}, nil); err == nil {
		t.Error("terms with a condition that has no words were put into words")
	}
}
