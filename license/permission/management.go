package permission

import "math"

// Items of the data management condition unit. Source: the subject of the
// unit is of IEC 62227 (copy control, move); numbers and values are local.
const (
	itemCopyMode   uint8 = 0x01
	itemCopyCount  uint8 = 0x02
	itemGeneration uint8 = 0x03
	itemMove       uint8 = 0x04
	itemTransfer   uint8 = 0x05
)

// CopyMode says whether and how copies may be made (evaluator E8).
type CopyMode uint8

// The copy modes; absent means that COPY is not granted.
const (
	CopyAbsent  CopyMode = 0
	CopyFree    CopyMode = 1
	CopyCounted CopyMode = 2
	CopyOnce    CopyMode = 3
	CopyNoMore  CopyMode = 4
	CopyNever   CopyMode = 5
)

func (m CopyMode) grants() bool { return m == CopyFree || m == CopyCounted || m == CopyOnce }

// MoveScope says where an instance may move.
type MoveScope uint8

// The scopes of MOVE.
const (
	MoveNone   MoveScope = 0
	MoveDomain MoveScope = 1 // between the devices of one domain
	MoveAny    MoveScope = 2
)

// ManagementUnit is the data management condition. 0 means absent.
type ManagementUnit struct {
	Copy          CopyMode
	CopyCount     uint64 // COPY_COUNT; with CopyCounted only
	MaxGeneration uint64 // 0 = 1
	Move          MoveScope
	Transfer      uint64 // how often the subject may change
	Extra         []Item
}

func (m *ManagementUnit) items() []Item {
	var w itemWriter
	w.num(itemCopyMode, uint64(m.Copy))
	w.num(itemCopyCount, m.CopyCount)
	w.num(itemGeneration, m.MaxGeneration)
	w.num(itemMove, uint64(m.Move))
	w.num(itemTransfer, m.Transfer)
	return w.with(m.Extra)
}

func (m *ManagementUnit) decode(items []Item) error {
	var r itemReader
	for _, it := range items {
		switch it.Tag {
		case itemCopyMode:
			m.Copy = CopyMode(r.num(it, uint64(CopyNever))) //nolint:gosec // checked against the registry
		case itemCopyCount:
			m.CopyCount = r.num(it, math.MaxUint32)
			if m.Copy != CopyCounted {
				r.fail(it, "count without the counted mode")
			}
		case itemGeneration:
			m.MaxGeneration = r.num(it, math.MaxUint8)
		case itemMove:
			m.Move = MoveScope(r.num(it, uint64(MoveAny))) //nolint:gosec // checked against the registry
		case itemTransfer:
			m.Transfer = r.num(it, math.MaxUint32)
		default:
			m.Extra = append(m.Extra, it)
		}
	}
	if r.err == nil && m.Copy == CopyCounted && m.CopyCount == 0 {
		r.fail(Item{Tag: itemCopyCount}, "counted mode without a count")
	}
	return r.err
}
