package sltp

import (
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// numberTrigger is the head of a TRIGGER. Source: local, docs/spec/sltp.md.
const numberTrigger = -62228

// Limits of triggers. Source: local, docs/spec/sltp.md.
const (
	triggerEvery = time.Minute // one event per source in this time
	maxTriggers  = 64          // sources heard in this time that were never met
)

// Trigger is what a source that wants to start can say, since only a
// destination opens an exchange. It is not authenticated: it may cause one
// Open, and nothing else.
type Trigger struct {
	Source ident.Device // who asks to be asked
	Reason Purpose      // what the request should be about
}

type triggerWire struct {
	_      struct{} `cbor:",toarray"`
	Number int64
	Source ident.Device
	Reason Purpose
}

// Encode returns the message; it travels without connection ID.
func (t Trigger) Encode() ([]byte, error) {
	if !t.Reason.known() {
		return nil, fmt.Errorf("%w: trigger", ErrBody)
	}
	return wire.Marshal(triggerWire{Number: numberTrigger, Source: t.Source, Reason: t.Reason})
}

// ParseTrigger reads a TRIGGER.
func ParseTrigger(msg []byte) (Trigger, error) {
	var w triggerWire
	if err := wire.Unmarshal(msg, &w, wire.Limit{Bytes: 64, Items: 4, Depth: 2}); err != nil || w.Number != numberTrigger || !w.Reason.known() {
		return Trigger{}, fmt.Errorf("%w: trigger", ErrBody)
	}
	return Trigger{Source: w.Source, Reason: w.Reason}, nil
}

// Trigger makes the message with which this endpoint asks to be asked.
func (e *Endpoint) Trigger(reason Purpose) (Message, error) {
	b, err := Trigger{Source: e.cfg.Self, Reason: reason}.Encode()
	return Message{Bytes: b}, err
}

// triggered gives a TRIGGER to the host, unless its source was heard a moment
// ago. Sources that were met before have room of their own, so that invented
// ones cannot keep them out.
func (e *Endpoint) triggered(msg []byte, now time.Time) ([]Message, []Event) {
	t, err := ParseTrigger(msg)
	if err != nil {
		return nil, []Event{EventDropped{Err: &AlertError{Code: AlertRejected, Err: err}}}
	}
	if t.Source == e.cfg.Self {
		return nil, []Event{EventDropped{Err: alert(AlertIdentity, "a trigger in the own name")}}
	}
	if !e.mayTrigger(t.Source, now) {
		return nil, nil
	}
	return nil, []Event{EventTrigger{Trigger: t}}
}

func (e *Endpoint) mayTrigger(src ident.Device, now time.Time) bool {
	if k := e.known.byID[src]; k != nil {
		if recent(k.trigger, now) {
			return false
		}
		k.trigger = now
		return true
	}
	for id, at := range e.triggers {
		if !recent(at, now) {
			delete(e.triggers, id)
		}
	}
	if _, heard := e.triggers[src]; heard || len(e.triggers) >= maxTriggers {
		return false
	}
	e.triggers[src] = now
	return true
}

// recent: a time in the future is not, because a clock was set back since.
func recent(at, now time.Time) bool {
	return !at.IsZero() && !now.Before(at) && now.Sub(at) < triggerEvery
}
