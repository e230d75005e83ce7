package license_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// A rental is judged before its window, inside it, and when its plays are used up.
func Example() {
	units, _ := permission.ParseText("PLAY; START_TIME=2026-11-24T18:00:00Z; END_TIME=2026-12-24T18:00:00Z; PLAY_COUNT=2")
	code, _ := units.Encode()
	kid, household := ident.Key{1}, ident.Domain{2}
	contentKey := []byte("0123456789abcdef") // 16 bytes, from the packager
	start := time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC)

	issuerKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	signed, err := license.Sign(issuerKey, []byte("the issuer's certificate"), &license.Info{
		ID: ident.License{3}, Issuer: "shop.example", IssuedAt: start.UnixMilli(), Content: "film-1", Version: 1,
		Subject: license.DomainSubject(household, 1), Code: code, Policy: license.Policy{Duration: 75_000},
		Keys: []license.KeyRef{{KID: kid, Tier: license.TierHD, Check: license.KeyCheck(kid, "film-1", contentKey), BPS: 1_000_000}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	lic, err := license.Parse(signed)
	if err != nil {
		fmt.Println(err)
		return
	}

	in := license.Input{
		Env:     license.Env{Accepted: true, Domains: []license.Membership{{Domain: household, Generation: 1}}, Level: 1, Anchor: 1, Keys: []ident.Key{kid}},
		Request: license.Request{Action: permission.Play, Output: license.Output{Class: license.OutputInternal}},
	}
	show := func(now time.Time) {
		in.Clock = license.Clock{Lo: now.UnixMilli(), Est: now.UnixMilli(), Q: license.Secure}
		d := lic.Evaluate(in)
		fmt.Println(d.Allow, d.Tier, *d.Counters.PlaysLeft)
		for _, r := range d.Reasons {
			fmt.Println(" ", r.Code, r.Have, r.Need, r.Remedy)
		}
	}
	show(start.Add(-time.Hour))
	show(start.Add(time.Hour))
	in.State.Consumed = map[permission.Permission]uint64{permission.Play: 2}
	show(start.Add(time.Hour))
	// Output:
	// false HD 2
	//   NOT_YET 2026-11-24T17:00:00Z >= 2026-11-24T18:00:00Z WAIT_UNTIL
	// true HD 2
	// false HD 0
	//   COUNT_EXHAUSTED 2 used fewer than 2 BUY
}
