package permission

import "math"

// Items of the loan unit. Source: local.
const (
	itemLendDuration uint8 = 0x01
	itemLendCount    uint8 = 0x02
)

// ExtendedUnit is an extended use condition. Kind is its tag; the only one
// known is TagLend, a loan. Source: IEC 62227 range 0x20-0x2F; content local.
type ExtendedUnit struct {
	Kind        uint8
	MaxDuration int64  // ms, longest loan; 0 = 14 days (E11)
	MaxLoans    uint64 // loans at a time; 0 = 1
	Extra       []Item
}

func (e *ExtendedUnit) code(c *coder) {
	c.begin(e.Kind, e.Extra)
	c.ms(itemLendDuration, &e.MaxDuration)
	c.num(itemLendCount, &e.MaxLoans, math.MaxUint32)
	c.end(&e.Extra)
}
