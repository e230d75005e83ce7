package permission

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Items of the classification unit. Source: the eight fields are of IEC 62227;
// their numbers and values are local.
const (
	itemDisclosure  uint8 = 0x01
	itemPurpose     uint8 = 0x02
	itemCharge      uint8 = 0x03
	itemBilling     uint8 = 0x04
	itemApplication uint8 = 0x05
	itemSponsor     uint8 = 0x06
	itemTerritory   uint8 = 0x07
	itemUsageClass  uint8 = 0x08
)

// Charge is a charge model. Source: local values.
type Charge uint8

// The charge models.
const (
	ChargePurchase     Charge = 1
	ChargeRental       Charge = 2
	ChargeSubscription Charge = 3
	ChargeLoan         Charge = 4
	ChargeFree         Charge = 5
	ChargeAdvertising  Charge = 6 // free with advertising
	ChargePoints       Charge = 7 // coupons or points
	ChargeGift         Charge = 8 // giveaways
)

// UsageClassLive marks content without an end, such as a live stream. Source: local.
const UsageClassLive uint8 = 2

// ClassificationUnit classifies a permission; it is no condition, except that
// Territory and Charge give the evaluator its defaults. 0 means absent.
type ClassificationUnit struct {
	Disclosure  uint8
	Purpose     uint8
	Charge      Charge
	Billing     uint8
	Application uint8
	Sponsor     string   // UTF-8, without ';'
	Territory   []string // ISO 3166-1 alpha-2 codes, sorted
	UsageClass  uint8
	Extra       []Item
}

func (u *ClassificationUnit) code(c *coder) {
	c.begin(TagClassification, u.Extra)
	c.code(itemDisclosure, &u.Disclosure, math.MaxUint8)
	c.code(itemPurpose, &u.Purpose, math.MaxUint8)
	c.code(itemCharge, (*uint8)(&u.Charge), math.MaxUint8)
	c.code(itemBilling, &u.Billing, math.MaxUint8)
	c.code(itemApplication, &u.Application, math.MaxUint8)
	text(c, itemSponsor, &u.Sponsor)
	if u.Sponsor != "" && !plainText(u.Sponsor) {
		c.fail(itemSponsor, "not plain text")
	}
	u.territory(c)
	c.code(itemUsageClass, &u.UsageClass, math.MaxUint8)
	c.end(&u.Extra)
}

// territory carries country codes, which stand in one item without separators.
func (u *ClassificationUnit) territory(c *coder) {
	if c.reading {
		for code := range slices.Chunk(c.once(itemTerritory), 2) {
			u.Territory = append(u.Territory, string(code))
		}
	}
	for i, code := range u.Territory {
		if len(code) != 2 || !capital(code[0]) || !capital(code[1]) {
			c.fail(itemTerritory, "%q is not a country code of two letters", code)
		} else if i > 0 && u.Territory[i-1] >= code {
			c.fail(itemTerritory, "%s repeated or not sorted", code)
		}
	}
	if c.reading {
		return
	}
	if c.before(itemTerritory); len(u.Territory) > 0 {
		put(c, itemTerritory, strings.Join(u.Territory, ""))
	}
}

func capital(b byte) bool { return b >= 'A' && b <= 'Z' }

// plainText reports whether s may stand in the text form: printable, without
// the separator, and without space at its ends.
func plainText(s string) bool {
	for _, r := range s {
		if r == ';' || r == utf8.RuneError || unicode.IsControl(r) {
			return false
		}
	}
	return s != "" && strings.TrimSpace(s) == s
}
