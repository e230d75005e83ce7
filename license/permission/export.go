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

func (e *ExportUnit) code(c *coder) {
	c.begin(TagExport, e.Extra)
	if c.reading {
		for b := c.take(itemSystem); b != nil; b = c.take(itemSystem) {
			e.Systems = append(e.Systems, string(b))
		}
	} else {
		c.before(itemSystem)
	}
	for i, s := range e.Systems {
		if !systemName(s) {
			c.fail(itemSystem, "%q is not a system name", s)
		} else if i > 0 && e.Systems[i-1] >= s {
			c.fail(itemSystem, "%s repeated or not sorted", s)
		}
		if !c.reading {
			put(c, itemSystem, s)
		}
	}
	c.end(&e.Extra)
}

func systemName(s string) bool {
	return s != "" && len(s) <= maxSystem && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}
