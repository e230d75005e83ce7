package license

import (
	"strconv"

	"github.com/lares-drm/lares/license/permission"
)

// Person is who of the household asks, where that is not one of those who keep
// its rules. It narrows what a license allows and never widens it; the caller
// of the evaluation says who it is, so it protects children from films and not
// rights from anybody. Source: local, docs/spec/evaluation.md, E19.
type Person struct {
	Age     uint8 `cbor:"1,keyasint,omitempty"` // years: titles rated for older people are refused
	Rated   uint8 `cbor:"2,keyasint,omitempty"` // of the title, years: 0 = for everybody
	From    int64 `cbor:"3,keyasint,omitempty"` // Unix ms; with Until the hours in which the person may watch, [From, Until): those that est is in, or the next
	Until   int64 `cbor:"4,keyasint,omitempty"` // Unix ms; 0 = at any time
	Handles bool  `cbor:"5,keyasint,omitempty"` // may hand licenses on, too
}

// Watch judges a use of what nobody protected, of which no license speaks, at a time in
// Unix ms: to a child a film of the household's own is as one that was bought.
func (p *Person) Watch(at int64) Decision {
	d := Decision{Allow: true, Action: permission.Play}
	e := evaluation{in: &Input{Request: Request{Action: permission.Play, Person: p}}, out: &d, est: at}
	e.person()
	return d
}

// person judges what the household allows one of its people (evaluator E19).
func (e *evaluation) person() {
	p := e.in.Request.Person
	if p == nil {
		return
	}
	if !e.use() {
		if !p.Handles {
			e.out.refuse(PersonCode, "HANDLING", "somebody who watches", "somebody who may hand it on", AskAdult)
		}
		return
	}
	if p.Rated > p.Age {
		e.out.refuse(PersonCode, "RATING", "rated from "+strconv.Itoa(int(p.Rated)), "rated from at most "+strconv.Itoa(int(p.Age)), AskAdult)
	}
	e.hours(p)
}

// hours judges the time of day: the caller knows the calendar of the house, so
// what arrives here are two points in time.
func (e *evaluation) hours(p *Person) {
	if p.Until == 0 {
		return
	}
	e.out.change(e.est, p.From, "HOURS")
	e.out.change(e.est, p.Until, "HOURS")
	switch {
	case e.est < p.From:
		e.out.add(Reason{Code: PersonCode, Constraint: "HOURS", Have: when(e.est), Need: "from " + when(p.From), Closed: true, Earliest: p.From, Remedy: WaitUntil})
	case e.est >= p.Until:
		e.out.refuse(PersonCode, "HOURS", when(e.est), "before "+when(p.Until), AskAdult)
	}
}
