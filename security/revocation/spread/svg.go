package spread

import (
	"fmt"
	"math"
	"strings"
)

// The picture, in its own units.
const (
	svgWidth, svgHeight   = 860, 520
	svgLeft, svgRight     = 60, 30
	svgTop, svgBottom     = 56, 146
	svgFirst              = 1.0 / 24 // days; the axis of time is logarithmic and begins here
	plotWidth, plotHeight = svgWidth - svgLeft - svgRight, svgHeight - svgTop - svgBottom
	svgFont               = `font-family="sans-serif"`
	svgGray               = "#595959"
	svgGrid               = "#dddddd"
	legendTop, legendLine = 52, 24
)

// colors tell the strategies apart, also for those who do not tell red from
// green; the dashes do without any color.
func colors() []struct{ line, dash string } {
	return []struct{ line, dash string }{{"#777777", "2 4"}, {"#0072b2", "10 4"}, {"#009e73", "6 3 2 3"}, {"#d55e00", ""}}
}

// SVG draws the share of devices that have the state over time.
func (r *Result) SVG() string {
	var b strings.Builder
	days := float64(r.Parameters.Days)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="Share of devices that have a new revocation state, over time, for four strategies">`+"\n", svgWidth, svgHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", svgWidth, svgHeight)
	text := func(x, y float64, anchor, size, color, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%s" fill="%s" %s>%s</text>`+"\n", x, y, anchor, size, color, svgFont, s)
	}
	line := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(&b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, svgGrid)
	}
	text(svgLeft, 28, "start", "17", "#111111", fmt.Sprintf("A revocation reaches %s devices in %s households", thousands(r.Parameters.Devices), thousands(r.Households)))
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 0.9, 1} {
		y := svgY(share)
		line(svgLeft, y, svgLeft+plotWidth, y)
		text(svgLeft-8, y+4, "end", "12", svgGray, fmt.Sprintf("%.0f %%", 100*share))
	}
	for _, tick := range []struct {
		days float64
		name string
	}{{svgFirst, "1 h"}, {0.25, "6 h"}, {1, "1 day"}, {7, "1 week"}, {30, "30 days"}, {90, "90 days"}, {365, "1 year"}} {
		if tick.days > days {
			break
		}
		x := svgX(tick.days, days)
		line(x, svgTop, x, svgTop+plotHeight)
		text(x, svgTop+plotHeight+18, "middle", "12", svgGray, tick.name)
	}
	for i, o := range r.Strategies {
		c := colors()[i]
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2.5" stroke-dasharray="%s"/>`+"\n", o.path(days, r.Parameters.Devices), c.line, c.dash)
		x, y := float64(svgLeft), float64(svgTop+plotHeight+legendTop+legendLine*i)
		fmt.Fprintf(&b, `<path d="M%.1f %.1fh34" fill="none" stroke="%s" stroke-width="2.5" stroke-dasharray="%s"/>`+"\n", x, y-4, c.line, c.dash)
		text(x+42, y, "start", "13", "#111111", o.Strategy.String()+o.ninety())
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// ninety is the words of the legend.
func (o *Outcome) ninety() string {
	if o.Days90 == nil {
		return fmt.Sprintf(": never 90 %%, %.0f %% in the end", 100*o.Reached)
	}
	if o.Days99 == nil {
		return fmt.Sprintf(": 90 %% in %.1f days, never 99 %%", *o.Days90)
	}
	return fmt.Sprintf(": 90 %% in %.1f days, 99 %% in %.0f", *o.Days90, *o.Days99)
}

func svgY(share float64) float64 { return svgTop + plotHeight*(1-share) }

func svgX(at, days float64) float64 {
	return svgLeft + plotWidth*math.Log(max(at, svgFirst)/svgFirst)/math.Log(days/svgFirst)
}

// path is the curve, with a point where it has moved by a pixel.
func (o *Outcome) path(days float64, devices int) string {
	var b strings.Builder
	lastX, lastY := math.Inf(-1), math.Inf(-1)
	for hour, n := range o.hourly {
		x, y := svgX(float64(hour+1)/24, days), svgY(float64(n)/float64(devices))
		if math.Abs(x-lastX) < 1 && math.Abs(y-lastY) < 1 && hour < len(o.hourly)-1 {
			continue
		}
		cmd := "L"
		if b.Len() == 0 {
			cmd = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", cmd, x, y)
		lastX, lastY = x, y
	}
	return b.String()
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
