package httpd

import (
	"cmp"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// TransferWords says what a transfer waits for. peer is the other side's name,
// "" where it has none here; the title is said beside it.
func TransferWords(t trem.Transfer, peer string) string {
	if peer == "" {
		peer = say("other-device")
	}
	switch t.Stage {
	case trem.StageSent:
		if t.Cancelled {
			return say("transfer.asked-back", peer)
		}
		words := say("transfer.sent", peer)
		if t.HoldUntil == 0 && t.Op != trem.OpCopy.String() {
			words += " " + say("transfer.nobody")
		}
		return words
	case trem.StageUnconfirmed:
		return say("transfer.unconfirmed", peer)
	case trem.StageLent:
		if t.Cancelled {
			return say("transfer.called-back", peer, moment(t.Until))
		}
		return say("transfer.lent", peer, moment(t.Until))
	case trem.StageBorrowed:
		return say("transfer.borrowed", peer, moment(t.Until))
	case trem.StageReturned:
		return say("transfer.returned", upper(peer))
	case trem.StageReleased:
		return say("transfer.released", upper(peer))
	case trem.StageInDoubt:
		return say("transfer.doubt", peer)
	}
	return ""
}

func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

// AsideWords says how much of a title is set aside for a device; of one that was not
// seen for 30 days, that it counts as used.
func AsideWords(a home.Aside, lapsed bool) string {
	what := many("plays", a.Plays)
	if a.Plays == 0 {
		what = say("of-play", span(a.MS))
	}
	title := cmp.Or(a.Title, say("unknown-title"))
	if lapsed {
		return say("aside.lapsed", what, title)
	}
	return say("aside", what, title)
}
