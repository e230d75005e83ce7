package httpd

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/service/issuer"
)

// OfferWords is an offer for people who think of taking it. Everything in it
// comes from the offer's permission code and policy, nothing from the shop.
type OfferWords struct {
	What    []string `json:"what"`    // what one gets
	Closing []string `json:"closing"` // what becomes of it if the shop closes
	Privacy []string `json:"privacy"` // who learns what
}

// WordsOfOffer says what an offer's terms mean. It fails on terms that it cannot
// put into words in full: half the truth would be sold as the whole.
// sunset is what the license will say of the shop's end; nil where it says nothing.
func WordsOfOffer(o *issuer.Offer, sunset *license.Sunset) (OfferWords, error) {
	u, p, err := issuer.ReadTerms(o.Terms)
	if err != nil {
		return OfferWords{}, err
	}
	if names := u.UnknownCritical(0); len(names) > 0 {
		return OfferWords{}, fmt.Errorf("the terms have a condition without words: %s", strings.Join(names, ", "))
	}
	w := offerWords{u: u, p: &p, o: o, end: sunset}
	return OfferWords{What: w.what(), Closing: w.closing(), Privacy: w.privacy()}, nil
}

type offerWords struct {
	u   *permission.Units
	p   *license.Policy
	o   *issuer.Offer
	end *license.Sunset
	out []string
}

func (w *offerWords) say(format string, args ...any) {
	w.out = append(w.out, fmt.Sprintf(format, args...))
}

func (w *offerWords) what() []string {
	w.out = nil
	for i := range w.u.Usage {
		w.usage(&w.u.Usage[i])
	}
	if d := w.p.StorageDuration; d != 0 {
		w.say("Begin within %s of fetching it.", period(d))
	}
	if w.p.HardEnd != 0 {
		w.say("It ends on %s whatever was begun.", utc(w.p.HardEnd))
	}
	w.quality()
	if m := w.u.Management; m != nil {
		w.handling(m)
	}
	for i := range w.u.Extended {
		longest := w.u.Extended[i].MaxDuration
		if longest == 0 {
			longest = int64(14 * 24 * time.Hour / time.Millisecond)
		}
		w.say("You may lend it to another house for up to %s; it comes back by itself.", period(longest))
	}
	w.where()
	if w.o.Licenses > 1 {
		w.say("It can be fetched %d times.", w.o.Licenses)
	}
	return w.out
}

func (w *offerWords) usage(x *permission.UsageUnit) {
	verb := map[permission.UsageKind]string{permission.Playback: "watch", permission.Print: "print", permission.Execute: "run"}[x.Kind]
	it := "it"
	if len(x.Part) > 0 {
		it = "a part of it"
	}
	var how []string
	add := func(format string, args ...any) { how = append(how, fmt.Sprintf(format, args...)) }
	if x.StartTime != 0 {
		add("from %s", utc(x.StartTime))
	}
	if x.EndTime != 0 {
		add("until %s", utc(x.EndTime))
	}
	if x.Interval != 0 {
		add("for %s from the first start", period(x.Interval))
	}
	switch x.PlayCount {
	case 0:
	case 1:
		add("once")
	default:
		add("%d times", x.PlayCount)
	}
	if x.Accumulated != 0 {
		add("for %s in all", period(x.Accumulated))
	}
	if len(how) == 0 {
		w.say("You may %s %s as often as you like, without an end.", verb, it)
	} else {
		w.say("You may %s %s %s.", verb, it, strings.Join(how, ", "))
	}
	if x.MaxPixels != 0 {
		w.say("The picture has at most %d million dots (%s).", (x.MaxPixels+500_000)/1_000_000, pixelsTier(x.MaxPixels))
	}
	if x.Output != permission.ProtectNone {
		level := strings.ReplaceAll(strings.Replace(x.Output.String(), "HDCP_", "HDCP ", 1), "_", ".")
		w.say("A screen on a cable must have copy protection (%s or better).", level)
	}
}

// pixelsTier is the quality that a number of dots allows.
func pixelsTier(n uint64) string {
	switch {
	case n <= 442_368:
		return "SD"
	case n <= 2_073_600:
		return "HD"
	}
	return "4K"
}

func (w *offerWords) quality() {
	if len(w.o.Tiers) == 0 {
		w.say("You get every quality that the title has.")
		return
	}
	var names []string
	for _, t := range slices.Sorted(slices.Values(w.o.Tiers)) {
		names = append(names, tierWords(content.Tier(min(t, math.MaxUint8))))
	}
	w.say("You get these qualities: %s.", strings.Join(names, ", "))
}

func (w *offerWords) handling(m *permission.ManagementUnit) {
	switch m.Copy {
	case permission.CopyFree:
		w.say("You may copy it to the devices of your house as often as you like.")
	case permission.CopyOnce:
		w.say("You may copy it once; the copy cannot be copied.")
	case permission.CopyCounted:
		w.say("You may copy it %s.", count(m.CopyCount, "time", "times"))
	case permission.CopyNoMore, permission.CopyNever:
		w.say("It cannot be copied.")
	default: // nothing is said
	}
	switch m.Move {
	case permission.MoveDomain:
		w.say("You may move it between the devices of your house.")
	case permission.MoveAny:
		w.say("You may move it to any device.")
	default: // nothing is said
	}
	if m.Timeline == permission.TimelineNoSkip {
		w.say("What you have not seen yet cannot be skipped.")
	}
	if m.Transfer != 0 {
		w.say("It may be given away %s.", count(m.Transfer, "time", "times"))
	}
}

// where says on what it plays, and in which countries.
func (w *offerWords) where() {
	if e := w.u.Export; e != nil && e.Names(permission.SystemClearKey) {
		w.say("It plays on your devices and in the browsers of your house.")
	} else {
		w.say("It plays on your devices; browsers do not play it.")
	}
	if c := w.u.Classification; c != nil && len(c.Territory) > 0 {
		w.say("It is for these countries only: %s.", strings.Join(c.Territory, ", "))
	}
	if r := w.p.Domain; r != nil {
		w.say("At most %s of your house may have it at a time.", count(r.Devices, "device", "devices"))
		if r.NewAYear > 0 {
			w.say("In a year %s may get something of this shop for the first time.", count(r.NewAYear, "device", "devices"))
		}
	}
	if w.p.MinLevel > 1 {
		w.say("It needs devices whose keys are in hardware.")
	}
}

// lasting says whether it is the household's without an end.
func (w *offerWords) lasting() bool {
	return w.p.HardEnd == 0 && !slices.ContainsFunc(w.u.Usage, func(x permission.UsageUnit) bool { return x.EndTime != 0 || x.Interval != 0 })
}

func (w *offerWords) closing() []string {
	w.out = nil
	if !w.lasting() {
		w.say("What your house has fetched plays to its end as promised, without the shop and without the Internet.")
		w.say("What was not fetched by then is lost.")
		w.out = append(w.out, sunsetWords(w.end)...)
		return w.out
	}
	w.say("What your house has fetched keeps playing by the same rules, without the shop and without the Internet. Fetch it soon: what was not fetched by then is lost.")
	switch b := w.p.Backup; {
	case b == license.BackupHousehold:
		w.say("The recovery code of your house brings it back after a loss, without the shop.")
	case (b == license.BackupIssuer || b == 0 && w.o.Kind == issuer.Purchase) && w.end != nil:
		w.say("After a loss the shop gives it again. From the day on which its end is proven, the recovery code of your house brings back what a backup of after that day has.")
	case b == license.BackupIssuer, b == 0 && w.o.Kind == issuer.Purchase:
		w.say("After a loss the shop gives it again. A shop that has closed cannot: keep your house's server in good repair.")
	default:
		w.say("It is in no backup: a house that loses its server loses it.")
	}
	w.out = append(w.out, sunsetWords(w.end)...)
	return w.out
}

func (w *offerWords) privacy() []string {
	w.out = nil
	r := w.p.Report
	if r == nil {
		w.say("Nobody sees what you watch, or when, or whether you watch it at all: your house tells no one.")
	} else {
		what := "that you began it"
		if r.What == license.ReportMinutes {
			what = "how many minutes you watch"
		}
		w.say("It asks whether %s may be told %s, and plays only after your yes. Nothing else is told to anyone.", r.To, what)
	}
	w.say("The shop learns that a house used this code and fetched the title. It knows your house by a number that no other shop knows.")
	return w.out
}

// utc prints a time on a page whose readers may be anywhere.
func utc(ms int64) string { return time.UnixMilli(ms).UTC().Format("2 Jan 2006, 15:04 UTC") }

// periodUnits: shops speak of 24 and 48 hours, so days begin at three.
var periodUnits = []struct {
	ms, least int64
	one, many string
}{{86_400_000, 3, "day", "days"}, {3_600_000, 1, "hour", "hours"}, {60_000, 1, "minute", "minutes"}, {1000, 1, "second", "seconds"}}

// period prints a duration exactly, in the largest unit that does.
func period(ms int64) string {
	for _, u := range periodUnits {
		if ms%u.ms == 0 && ms/u.ms >= u.least {
			return count(uint64(ms/u.ms), u.one, u.many) //nolint:gosec // at least one
		}
	}
	return fmt.Sprintf("%d ms", ms)
}
