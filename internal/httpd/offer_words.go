package httpd

import (
	"cmp"
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

func (w *offerWords) add(words string) { w.out = append(w.out, words) }

func (w *offerWords) what() []string {
	w.out = nil
	for i := range w.u.Usage {
		w.usage(&w.u.Usage[i])
	}
	if d := w.p.StorageDuration; d != 0 {
		w.add(say("offer.begin", period(d)))
	}
	if w.p.HardEnd != 0 {
		w.add(say("offer.hard-end", utc(w.p.HardEnd)))
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
		w.add(say("offer.lend", period(longest)))
	}
	w.where()
	if w.o.Licenses > 1 {
		w.add(say("offer.fetches", w.o.Licenses))
	}
	return w.out
}

func (w *offerWords) usage(x *permission.UsageUnit) {
	it := say("offer.it")
	if len(x.Part) > 0 {
		it = say("offer.part")
	}
	var how []string
	if x.StartTime != 0 {
		how = append(how, say("offer.from", utc(x.StartTime)))
	}
	if x.EndTime != 0 {
		how = append(how, say("offer.until", utc(x.EndTime)))
	}
	if x.Interval != 0 {
		how = append(how, say("offer.from-start", period(x.Interval)))
	}
	switch x.PlayCount {
	case 0:
	case 1:
		how = append(how, say("offer.once"))
	default:
		how = append(how, say("offer.times", x.PlayCount))
	}
	if x.Accumulated != 0 {
		how = append(how, say("offer.in-all", period(x.Accumulated)))
	}
	often := cmp.Or(strings.Join(how, ", "), say("offer.always"))
	switch x.Kind {
	case permission.Playback:
		w.add(say("offer.watch", it, often))
	case permission.Print:
		w.add(say("offer.print", it, often))
	case permission.Execute:
		w.add(say("offer.run", it, often))
	}
	if x.MaxPixels != 0 {
		w.add(say("offer.pixels", (x.MaxPixels+500_000)/1_000_000, pixelsTier(x.MaxPixels)))
	}
	if x.Output != permission.ProtectNone {
		level := strings.ReplaceAll(strings.Replace(x.Output.String(), "HDCP_", "HDCP ", 1), "_", ".")
		w.add(say("offer.output", level))
	}
}

// pixelsTier is the quality that a number of dots allows.
func pixelsTier(n uint64) string {
	switch {
	case n <= 442_368:
		return tierWords(content.SD)
	case n <= 2_073_600:
		return tierWords(content.HD)
	}
	return tierWords(content.UHD)
}

func (w *offerWords) quality() {
	if len(w.o.Tiers) == 0 {
		w.add(say("offer.every-quality"))
		return
	}
	var names []string
	for _, t := range slices.Sorted(slices.Values(w.o.Tiers)) {
		names = append(names, tierWords(content.Tier(min(t, math.MaxUint8))))
	}
	w.add(say("offer.qualities", strings.Join(names, ", ")))
}

func (w *offerWords) handling(m *permission.ManagementUnit) {
	switch m.Copy {
	case permission.CopyFree:
		w.add(say("offer.copy.free"))
	case permission.CopyOnce:
		w.add(say("offer.copy.once"))
	case permission.CopyCounted:
		w.add(say("offer.copy.times", many("times", m.CopyCount)))
	case permission.CopyNoMore, permission.CopyNever:
		w.add(say("offer.copy.no"))
	default: // nothing is said
	}
	switch m.Move {
	case permission.MoveDomain:
		w.add(say("offer.move.house"))
	case permission.MoveAny:
		w.add(say("offer.move.any"))
	default: // nothing is said
	}
	if m.Timeline == permission.TimelineNoSkip {
		w.add(say("offer.no-skip"))
	}
	if m.Transfer != 0 {
		w.add(say("offer.given", many("times", m.Transfer)))
	}
}

// where says on what it plays, and in which countries.
func (w *offerWords) where() {
	if e := w.u.Export; e != nil && e.Names(permission.SystemClearKey) {
		w.add(say("offer.browsers"))
	} else {
		w.add(say("offer.devices"))
	}
	if c := w.u.Classification; c != nil && len(c.Territory) > 0 {
		w.add(say("offer.countries", strings.Join(c.Territory, ", ")))
	}
	if r := w.p.Domain; r != nil {
		w.add(say("offer.at-most", many("devices", r.Devices)))
		if r.NewAYear > 0 {
			w.add(say("offer.a-year", many("devices", r.NewAYear)))
		}
	}
	if w.p.MinLevel > 1 {
		w.add(say("offer.hardware"))
	}
}

// lasting says whether it is the household's without an end.
func (w *offerWords) lasting() bool {
	return w.p.HardEnd == 0 && !slices.ContainsFunc(w.u.Usage, func(x permission.UsageUnit) bool { return x.EndTime != 0 || x.Interval != 0 })
}

func (w *offerWords) closing() []string {
	w.out = nil
	if !w.lasting() {
		w.add(say("offer.ends"))
		w.add(say("offer.ends.lost"))
		w.out = append(w.out, sunsetWords(w.end)...)
		return w.out
	}
	w.add(say("offer.keeps"))
	switch b := w.p.Backup; {
	case b == license.BackupHousehold:
		w.add(say("offer.recovery"))
	case (b == license.BackupIssuer || b == 0 && w.o.Kind == issuer.Purchase) && w.end != nil:
		w.add(say("offer.recovery.after"))
	case b == license.BackupIssuer, b == 0 && w.o.Kind == issuer.Purchase:
		w.add(say("offer.recovery.shop"))
	default:
		w.add(say("offer.recovery.no"))
	}
	w.out = append(w.out, sunsetWords(w.end)...)
	return w.out
}

func (w *offerWords) privacy() []string {
	w.out = nil
	r := w.p.Report
	if r == nil {
		w.add(say("offer.private"))
	} else {
		what := say("report.began")
		if r.What == license.ReportMinutes {
			what = say("report.minutes")
		}
		w.add(say("offer.report", r.To, what))
	}
	w.add(say("offer.number"))
	return w.out
}

// utc prints a time on a page whose readers may be anywhere.
func utc(ms int64) string { return say("utc", stampOf(time.UnixMilli(ms).UTC())) }

// periodUnits: shops speak of 24 and 48 hours, so days begin at three.
var periodUnits = []struct{ ms, least int64 }{{86_400_000, 3}, {3_600_000, 1}, {60_000, 1}, {1000, 1}}

// period prints a duration exactly, in the largest unit that does.
func period(ms int64) string {
	for i, u := range periodUnits {
		if ms%u.ms != 0 || ms/u.ms < u.least {
			continue
		}
		n := uint64(ms / u.ms) //nolint:gosec // at least one
		switch i {
		case 0:
			return many("days", n)
		case 1:
			return many("hours", n)
		case 2:
			return many("minutes", n)
		}
		return many("seconds", n)
	}
	return say("milliseconds", ms)
}
