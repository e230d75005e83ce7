package home

import "sync"

// EventKind names what happened, for pages that are open.
type EventKind string

// The kinds.
const (
	EventStopped  EventKind = "stopped"  // a playback session ended; Session and Reason are set
	EventPairings EventKind = "pairings" // a device asks, or was answered
	EventLibrary  EventKind = "library"  // titles or what they allow changed
	EventWaits    EventKind = "waits"    // what waits for a shop or for the authority changed

	EventProtecting EventKind = "protecting" // an own film is packed further
)

// Event is one change. It names no title.
type Event struct {
	Kind    EventKind  `json:"kind"`
	Session string     `json:"session,omitempty"`
	Reason  StopReason `json:"reason,omitempty"`
	Stopped *Stopped   `json:"-"`
}

// broker hands events to whoever listens. A listener that does not keep up
// loses events, so pages read the state again when they reconnect.
type broker struct {
	mu   sync.Mutex
	subs map[chan Event]string
}

// listenerQueue is how many events wait for one listener. Source: local.
const listenerQueue = 16

// maxListeners bounds those that listen at a time: pages and players of one house.
// Source: local.
const maxListeners = 256

// Subscribe returns a channel of events until cancel is called, or ErrBusy when too
// many listen. A listener that names a playback session is the sign that its player is
// alive.
func (h *Home) Subscribe(session string) (events <-chan Event, cancel func(), err error) {
	ch := make(chan Event, listenerQueue)
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	if len(h.events.subs) >= maxListeners {
		return nil, nil, ErrBusy
	}
	if h.events.subs == nil {
		h.events.subs = map[chan Event]string{}
	}
	h.events.subs[ch] = session
	return ch, func() {
		h.events.mu.Lock()
		delete(h.events.subs, ch)
		h.events.mu.Unlock()
		h.plays.touch(session, h.cfg.Now())
	}, nil
}

func (h *Home) publish(e Event) {
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	for ch := range h.events.subs {
		select {
		case ch <- e:
		default: // it reads the state again
		}
	}
}

// watched reports whether a player of the session is listening.
func (h *Home) watched(session string) bool {
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	for _, s := range h.events.subs {
		if s == session {
			return true
		}
	}
	return false
}
