package permission

import (
	"slices"
	"strings"
)

const itemSystem uint8 = 0x01 // repeated, sorted

// SystemClearKey names the W3C Clear Key system: a browser of the household
// that plays a link-encrypted stream. Source: local.
const SystemClearKey = "clearkey"

// maxSystem is the longest system name, in bytes. Source: local.
const maxSystem = 32

// ExportUnit is the data export condition: the foreign systems content may be
// relayed to. Source: IEC 62227 data export condition; names are local.
type ExportUnit struct {
	Systems []string // lower case letters, digits, '.', '-'; sorted, each once
	Extra   []Item
}

// Names reports whether the unit lists the system. A nil unit lists none.
func (e *ExportUnit) Names(system string) bool { return e != nil && slices.Contains(e.Systems, system) }

func (e *ExportUnit) items() []Item {
	var w itemWriter
	for _, s := range e.Systems {
		w.bytes(itemSystem, []byte(s))
	}
	return w.with(e.Extra)
}

func (e *ExportUnit) decode(items []Item) error {
	var r itemReader
	for _, it := range items {
		if it.Tag != itemSystem {
			e.Extra = append(e.Extra, it)
			continue
		}
		s := string(it.Value)
		if !systemName(s) || len(e.Systems) > 0 && e.Systems[len(e.Systems)-1] >= s {
			r.fail(it, "system name")
		}
		e.Systems = append(e.Systems, s)
	}
	return r.err
}

func systemName(s string) bool {
	return s != "" && len(s) <= maxSystem && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}
