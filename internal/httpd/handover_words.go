package httpd

import (
	"fmt"
	"time"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// TransferWords says what a transfer waits for. peer is the other side's name,
// "" where it has none here; the title is said beside it.
func TransferWords(t trem.Transfer, peer string) string {
	if peer == "" {
		peer = "the other device"
	}
	switch t.Stage {
	case trem.StageSent:
		if t.Cancelled {
			return fmt.Sprintf("It was asked back from %s, which has not answered yet. Either it comes back, or it was there already.", peer)
		}
		words := fmt.Sprintf("It is on its way to %s and waits until that is on and says that it has it. It can be asked back until then.", peer)
		if t.HoldUntil == 0 && t.Op != trem.OpCopy.String() {
			words += " If that device is lost before it has it, nobody else can decide this."
		}
		return words
	case trem.StageUnconfirmed:
		return fmt.Sprintf("It is here and plays. It cannot go on to another device until %s has heard that it arrived.", peer)
	case trem.StageLent:
		if t.Cancelled {
			return fmt.Sprintf("It was called back from %s. It comes back when that hears it, and by itself after %s.", peer, day(t.Until))
		}
		return fmt.Sprintf("It is lent to %s and comes back by itself after %s.", peer, day(t.Until))
	case trem.StageBorrowed:
		return fmt.Sprintf("It is borrowed from %s until %s.", peer, day(t.Until))
	case trem.StageReturned:
		return fmt.Sprintf("It was given back. %s has not heard it yet.", upper(peer))
	case trem.StageReleased:
		return fmt.Sprintf("It was given back and is here again. %s has not heard that yet, and cannot use it any more.", upper(peer))
	case trem.StageInDoubt:
		return fmt.Sprintf("What %s says of it contradicts what is noted here. It stays locked until that is settled.", peer)
	}
	return ""
}

func day(ms int64) string { return time.UnixMilli(ms).Local().Format("2 Jan 2006, 15:04") }

func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

// AsideWords says how much of a title is set aside for a device; of one that was not
// seen for 30 days, that it counts as used.
func AsideWords(a home.Aside, lapsed bool) string {
	title, what := a.Title, count(a.Plays, "play", "plays")
	if title == "" {
		title = "a title that is not in the library"
	}
	if a.Plays == 0 {
		what = span(a.MS) + " of play"
	}
	if what += " of " + title + " set aside for it"; lapsed {
		return what + "; it counts as used as long as the device is not back"
	}
	return what
}
