package permission

import (
	"slices"
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

func (c *ClassificationUnit) items() []Item {
	var w itemWriter
	w.num(itemDisclosure, uint64(c.Disclosure))
	w.num(itemPurpose, uint64(c.Purpose))
	w.num(itemCharge, uint64(c.Charge))
	w.num(itemBilling, uint64(c.Billing))
	w.num(itemApplication, uint64(c.Application))
	w.bytes(itemSponsor, []byte(c.Sponsor))
	var t []byte
	for _, code := range c.Territory {
		t = append(t, code...)
	}
	w.bytes(itemTerritory, t)
	w.num(itemUsageClass, uint64(c.UsageClass))
	return w.with(c.Extra)
}

func (c *ClassificationUnit) decode(items []Item) error {
	var r itemReader
	code := func(it Item) uint8 { return uint8(r.num(it, 255)) } //nolint:gosec // <= 255
	for _, it := range items {
		switch it.Tag {
		case itemDisclosure:
			c.Disclosure = code(it)
		case itemPurpose:
			c.Purpose = code(it)
		case itemCharge:
			c.Charge = Charge(code(it))
		case itemBilling:
			c.Billing = code(it)
		case itemApplication:
			c.Application = code(it)
		case itemSponsor:
			c.Sponsor = string(r.bytes(it))
			if !utf8.ValidString(c.Sponsor) || !plainText(c.Sponsor) {
				r.fail(it, "sponsor text")
			}
		case itemTerritory:
			c.Territory = territory(&r, it)
		case itemUsageClass:
			c.UsageClass = code(it)
		default:
			c.Extra = append(c.Extra, it)
		}
	}
	return r.err
}

func territory(r *itemReader, it Item) []string {
	b := r.bytes(it)
	var out []string
	for ; len(b) >= 2; b = b[2:] {
		if b[0] < 'A' || b[0] > 'Z' || b[1] < 'A' || b[1] > 'Z' {
			r.fail(it, "country code")
		}
		out = append(out, string(b[:2]))
	}
	if len(b) > 0 || !slices.IsSorted(out) || len(slices.Compact(slices.Clone(out))) != len(out) {
		r.fail(it, "country codes")
	}
	return out
}

// plainText reports whether s may stand in the text form: printable, without
// the separator, and without space at its ends.
func plainText(s string) bool {
	for _, c := range s {
		if c < ' ' || c == ';' || c == 0x7f || c == utf8.RuneError {
			return false
		}
	}
	return s != "" && s[0] != ' ' && s[len(s)-1] != ' '
}
