package httpd

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// hand is a way of handing a title over, as its page offers it.
type hand struct {
	Do    string // the name in messages and in the path
	Allow bool
	Why   []Why
}

// hands are the ways, in the order of the page.
var hands = []struct {
	do     string
	op     trem.Op
	action permission.Permission
}{
	{"lend", trem.OpLend, permission.Lend},
	{"move", trem.OpMove, permission.Move},
	{"copy", trem.OpCopy, permission.Copy},
	{"give", trem.OpTransfer, permission.Transfer},
}

// maxLoan bounds a loan that a page gives, in days. Source: local.
const maxLoan = 365

type titlePage struct {
	formed
	TitleView
	Hands      []hand
	Devices    []home.Device
	Moving     []TransferView // of this title
	Line       []lineMark
	OwnFilm    *protectedFilm // that the house has protected itself; nil: another title
	Loan       bool           // of a library: it can be given back
	Returns    bool           // from this page
	Adults     []home.Person  // whose PIN lets it be played once; none: it needs none, or that would not help
	Rates      bool           // who looks may say from which age it is
	RatedWords string         // from which age it is
}

func (s *server) pageTitle(w http.ResponseWriter, r *http.Request) {
	t, err := s.title(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := titlePage{formed: s.formed(w, r), Devices: s.Home.Devices(), Returns: s.Return != nil, OwnFilm: s.protectedFilm(r, t)}
	if v.TitleView, err = s.view(r, t); err == nil {
		err = s.fillTitle(r, t, &v)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "title", v.Title, v)
}

func (s *server) fillTitle(r *http.Request, t *home.Title, v *titlePage) error {
	if len(v.Held) > 0 {
		for _, h := range hands {
			d, err := s.Home.May(r.Context(), t.Content, h.action)
			if err != nil {
				return err
			}
			v.Hands = append(v.Hands, hand{h.do, d.Allow, reasonsOf(&d)})
		}
	}
	list, err := s.transfers(r)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x.Content == t.Content {
			v.Moving = append(v.Moving, x)
		}
	}
	for _, h := range v.Held {
		v.Loan = v.Loan || isLoan(h)
	}
	if slices.Equal(v.Words.Device, v.Words.Why) {
		v.Words.Device = nil // said above
	}
	who := home.WatcherIn(r.Context())
	v.Rates, v.RatedWords = who != nil && who.Administers(), say("why.unrated")
	if v.Rated != nil {
		v.RatedWords = say("rate.from", *v.Rated)
	}
	for _, reason := range v.Browser.Reasons {
		if reason.Code == license.PersonCode && reason.Closed && v.Adults == nil {
			v.Adults = slices.DeleteFunc(s.Home.People(), func(p home.Person) bool { return p.Kind != home.Adult })
		}
	}
	v.Line = timeLine(&v.TitleView, v.Moving, s.Home.Now())
	return nil
}

// isLoan reports whether a library lent it to the house.
func isLoan(h trem.Held) bool {
	units, err := permission.ParseText(h.Terms)
	return err == nil && h.Kind == 0 && units.Classification != nil && units.Classification.Charge == permission.ChargeLoan
}

// errIncomplete is a form that lacks something.
var errIncomplete = errors.New("httpd: the form is not complete")

// handOver carries out a form of the title's page.
func (s *server) handOver(r *http.Request) (to, key string, err error) {
	t, err := s.title(r)
	if err != nil {
		return "", "", err
	}
	to = "/title/" + url.PathEscape(t.Content.String())
	for _, h := range hands {
		if h.do != r.PathValue("do") {
			continue
		}
		order, err := orderOf(r, h.op)
		if err != nil {
			return "", "", err
		}
		order.Content = t.Content
		if _, err := s.Home.HandOver(r.Context(), order, handedTo(r)); err != nil {
			return "", "", err
		}
		return to, h.do, nil
	}
	if !home.WatcherIn(r.Context()).Administers() {
		return "", "", home.ErrForAdults
	}
	if r.PathValue("do") != "return" || s.Return == nil {
		return "", "", home.ErrUnknown
	}
	return to, "return", s.Return(r.Context(), t.Content)
}

// handedTo is who a form hands a title over to: another house, or a device of this one.
func handedTo(r *http.Request) string { return cmp.Or(field(r, "house"), field(r, "to")) }

// orderOf reads what a form says of a hand-over.
func orderOf(r *http.Request, op trem.Op) (trem.HandOver, error) {
	order := trem.HandOver{Op: op}
	to := handedTo(r)
	if to == "" || op == trem.OpTransfer && !strings.Contains(to, "://") {
		return order, errIncomplete
	}
	if op == trem.OpLend {
		days, err := strconv.Atoi(field(r, "days"))
		if err != nil || days < 1 || days > maxLoan {
			return order, errIncomplete
		}
		order.ForMS = int64(days) * msPerDay
	}
	if op == trem.OpMove || op == trem.OpCopy {
		order.HoldMS = moveHold.Milliseconds()
	}
	return order, nil
}

// moveHold is within which time a device has to take what the pages send it, before a
// loss of it can be settled without it. Source: local.
const moveHold = 14 * 24 * time.Hour

// lineMark is a moment on a title's time line.
type lineMark struct {
	At    string
	Words string
	State string // past, now, future
	ms    int64
}

// timeLine says when what begins and ends of a title, and where now is.
func timeLine(v *TitleView, moving []TransferView, now time.Time) []lineMark {
	var out []lineMark
	add := func(ms int64, key string, args ...any) {
		if ms == 0 {
			return
		}
		for _, m := range out {
			if m.ms == ms {
				return
			}
		}
		out = append(out, lineMark{ms: ms, At: near(ms, now), Words: say("line."+key, args...)})
	}
	for _, h := range v.Held {
		units, err := permission.ParseText(h.Terms)
		if err != nil {
			continue
		}
		for _, u := range units.Usage {
			add(u.StartTime, "start")
			add(u.EndTime, "end")
		}
		if lic, err := license.Parse(h.Bytes); err == nil {
			if end := lic.Info().Sunset; end != nil {
				add(end.FreeAfter, "free")
			}
		}
	}
	for _, t := range moving {
		if t.Stage == trem.StageLent || t.Stage == trem.StageBorrowed {
			add(t.Until, string(t.Stage), t.Who())
		}
	}
	for _, d := range []*license.Decision{&v.Browser, &v.Device} {
		for _, reason := range d.Reasons {
			add(reason.Earliest, "again")
		}
		if d.Allow {
			add(d.ValidUntil, "until")
		}
	}
	return placed(out, now)
}

// placed sorts the marks, and sets now among them.
func placed(out []lineMark, now time.Time) []lineMark {
	if len(out) == 0 {
		return nil
	}
	at := now.UnixMilli()
	for i := range out {
		if out[i].State = "future"; out[i].ms <= at {
			out[i].State = "past"
		}
	}
	out = append(out, lineMark{ms: at, At: near(at, now), Words: say("line.now"), State: "now"})
	sortMarks(out)
	return out
}

func sortMarks(marks []lineMark) {
	slices.SortStableFunc(marks, func(a, b lineMark) int { return cmp.Compare(a.ms, b.ms) })
}
