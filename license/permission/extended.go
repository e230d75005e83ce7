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

func (e *ExtendedUnit) items() []Item {
	var w itemWriter
	w.ms(itemLendDuration, e.MaxDuration)
	w.num(itemLendCount, e.MaxLoans)
	return w.with(e.Extra)
}

func (e *ExtendedUnit) decode(items []Item) error {
	var r itemReader
	for _, it := range items {
		switch it.Tag {
		case itemLendDuration:
			e.MaxDuration = r.ms(it)
		case itemLendCount:
			e.MaxLoans = r.num(it, math.MaxUint32)
		default:
			e.Extra = append(e.Extra, it)
		}
	}
	return r.err
}
