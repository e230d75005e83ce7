package care

import (
	"fmt"
	"strings"
	"time"
)

func good(check, found string) Row     { return Row{Check: check, Mark: OK, Found: found} }
func warn(check, found, do string) Row { return Row{Check: check, Mark: Warn, Found: found, Do: do} }

func fail(check, found, do string) Row { return Row{Check: check, Mark: Fail, Found: found, Do: do} }

// some names the first few of a list.
func some(list []string) string {
	const few = 3
	if len(list) <= few {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:few], ", "), len(list)-few)
}

// rough is a duration as people say it.
func rough(d time.Duration) string {
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}

// size is a number of bytes as people say it.
func size(n uint64) string {
	for _, u := range []struct {
		bytes uint64
		name  string
	}{{1 << 40, "TB"}, {1 << 30, "GB"}, {1 << 20, "MB"}} {
		if n >= u.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprintf("%d KB", n>>10)
}

func initOf(k Kind) string {
	switch k {
	case Home:
		return "lares home init"
	case Device:
		return "lares device init"
	case Issuer:
		return "lares issuer init"
	case Authority:
		return "lares ca ceremony"
	case Module:
	}
	return "it is enrolled by lares home, device or issuer init"
}

func healOf(k Kind) string {
	if k == Device {
		return "Run: lares device heal, with the house reachable."
	}
	return "Let the devices of the house come by: they have copies of the newest state. If none has: lares home restore."
}
