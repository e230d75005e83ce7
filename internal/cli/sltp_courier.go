package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// wiretap carries the messages of one exchange between two parties, shows each
// to the observer, and does to one of them what it was told to.
type wiretap struct {
	opt      traceOptions
	now      time.Time
	src, dst *throwaway
	observer observer
	trace    *sltpTrace
	queue    []transit
	handles  [2]sltp.Handle // at the source, at the destination
	got      int            // licenses that arrived
	ended    sltp.Alert     // why not
	answered bool           // message_2 was sent
}

// transit is a message under way.
type transit struct {
	from, to *throwaway
	m        sltp.Message
	again    bool // the true one, after a changed one was ignored
}

// traceSLTP makes two parties and traces a session between them.
func traceSLTP(opt traceOptions, now time.Time) (*sltpTrace, error) {
	src, dst, trust, err := newThrowaways(now)
	if err != nil {
		return nil, fmt.Errorf("make parties: %w", err)
	}
	rec, err := join(src, dst, trust, opt.suite, opt.plain)
	if err != nil {
		return nil, err
	}
	if opt.byReference { // the first exchange, which nobody watches
		if err := newWiretap(traceOptions{suite: opt.suite}, now, src, dst, rec).run(); err != nil {
			return nil, fmt.Errorf("first exchange: %w", err)
		}
	}
	c := newWiretap(opt, now, src, dst, rec)
	if err := c.run(); err != nil {
		return nil, err
	}
	c.trace.Outcome = c.outcome()
	return c.trace, nil
}

func newWiretap(opt traceOptions, now time.Time, src, dst *throwaway, rec *shareRecorder) *wiretap {
	return &wiretap{
		opt: opt, now: now, src: src, dst: dst,
		observer: observer{suite: opt.suite, rec: rec, certs: [][]byte{src.chain[0], dst.chain[0]}},
		trace: &sltpTrace{
			About: "Both parties, their certificates and every key below were made for this trace and end with it.",
			Suite: int(opt.suite), Algorithms: algorithms(opt.suite), ByReference: opt.byReference,
			Parties: []tracedParty{dst.traced(), src.traced()}, Messages: []tracedMessage{},
		},
	}
}

func algorithms(s sltp.Suite) string {
	switch s {
	case edhoc.Suite2:
		return "AES-CCM-16-64-128, SHA-256, P-256, ES256"
	case edhoc.Suite3:
		return "AES-CCM-16-128-128, SHA-256, P-256, ES256"
	case edhoc.Suite6:
		return "A128GCM, SHA-256, X25519, ES256"
	case edhoc.SuiteHybrid:
		return "A128GCM, SHA-256, X25519MLKEM768, ES256"
	case edhoc.Suite0: // not one of SLTP
	}
	return s.String()
}

// maxTraced bounds a trace: an exchange and its one further attempt, with their
// alerts and the session, are fewer.
const maxTraced = 24

func (c *wiretap) run() error {
	req, err := tracedRequest(1, c.now)
	if err != nil {
		return err
	}
	h, out, err := c.dst.end.Open(c.src.id, req, c.now)
	if err != nil {
		return err
	}
	c.handles[1] = h
	c.send(c.dst, out)
	for len(c.queue) > 0 && len(c.trace.Messages) < maxTraced {
		t := c.queue[0]
		c.queue = c.queue[1:]
		if err := c.deliver(t); err != nil {
			return err
		}
	}
	c.src.end.Close(c.handles[0])
	c.dst.end.Close(c.handles[1])
	return nil
}

// other is who a party's messages go to.
func (c *wiretap) other(from *throwaway) *throwaway {
	if from == c.src {
		return c.dst
	}
	return c.src
}

func (c *wiretap) send(from *throwaway, out []sltp.Message) {
	for _, m := range out {
		c.queue = append(c.queue, transit{from: from, to: c.other(from), m: m})
	}
}

// deliver shows a message, carries it, and records what came of it.
func (c *wiretap) deliver(t transit) error {
	name := c.name(t)
	m := tracedMessage{
		Number: len(c.trace.Messages) + 1, Name: name, From: t.from.side, To: t.to.side,
		CID: hex.EncodeToString(t.m.CID), Bytes: len(t.m.Bytes), Hex: hex.EncodeToString(t.m.Bytes), Fields: []tracedField{}, Then: []string{},
	}
	if t.again {
		m.Name += ", as it was sent"
	} else if err := c.read(name, t, &m); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	changed, err := c.change(&m, t.m.Bytes)
	if err != nil {
		return err
	}
	if name == nameMessage1 {
		c.observer.m1 = changed
	}
	out, ev := t.to.end.Receive(sltp.Message{CID: t.m.CID, Bytes: changed}, c.now)
	ignored, err := c.happened(name, t, &m, &out, ev)
	if err != nil {
		return err
	}
	if c.opt.replay == m.Number {
		c.replay(t, &m, out)
	}
	c.trace.Messages = append(c.trace.Messages, m)
	c.trace.Bytes += m.Bytes
	c.send(t.to, out)
	if ignored && m.Changed != "" {
		t.again = true
		c.queue = append(c.queue, t)
	}
	return nil
}

// Names of messages.
const (
	nameMessage1 = "message_1"
	nameMessage2 = "message_2"
	nameMessage3 = "message_3"
	nameMessage4 = "message_4"
	nameApp      = "APP"
	nameAlert    = "alert"
)

// name tells messages by their form, as a receiver does: the first byte and
// who sent it.
func (c *wiretap) name(t transit) string {
	switch major := t.m.Bytes[0] >> 5; {
	case len(t.m.CID) == 0 && t.m.Bytes[0] == 0:
		c.answered = false
		return nameMessage1
	case major == 4:
		return nameApp
	case major != 2:
		return nameAlert
	case t.from == c.dst:
		return nameMessage3
	case c.answered:
		return nameMessage4
	}
	return nameMessage2
}

// read has the observer read a message as it was sent.
func (c *wiretap) read(name string, t transit, m *tracedMessage) (err error) {
	switch name {
	case nameMessage1:
		m.Fields, err = c.observer.message1(t.m.Bytes)
	case nameMessage2:
		c.answered = true
		m.Fields, err = c.observer.message2(t.m.Bytes)
	case nameMessage3:
		m.Fields, err = c.observer.message3(t.m.Bytes)
	case nameMessage4:
		m.Fields, err = c.observer.message4(t.m.Bytes)
	case nameApp:
		m.Fields, err = c.observer.appMessage(t.m.Bytes, t.from.side)
	case nameAlert:
		m.Fields, err = alertIn(t.m.Bytes)
	}
	return err
}

// change flips the lowest bit of a byte, when this is the message to change.
func (c *wiretap) change(m *tracedMessage, msg []byte) ([]byte, error) {
	if c.opt.tamper != m.Number {
		return msg, nil
	}
	at := c.opt.at
	if at < 0 {
		at = len(msg) - 1
	}
	if at >= len(msg) {
		return nil, usage("%s has bytes 0 to %d", m.Name, len(msg)-1)
	}
	out := bytes.Clone(msg)
	out[at] ^= 1
	m.Changed = fmt.Sprintf("on the way byte %d was changed from %02x to %02x", at, msg[at], out[at])
	return out, nil
}

// replay delivers once more what was delivered just now.
func (c *wiretap) replay(t transit, m *tracedMessage, before []sltp.Message) {
	out, ev := t.to.end.Receive(t.m, c.now)
	switch {
	case len(ev) > 0:
		m.Then = append(m.Then, fmt.Sprintf("delivered again: %v", ev))
	case len(out) == 0:
		m.Then = append(m.Then, "delivered again: ignored, nothing changed and nothing was answered")
	case slices.EqualFunc(out, before, func(a, b sltp.Message) bool { return bytes.Equal(a.Bytes, b.Bytes) }):
		m.Then = append(m.Then, "delivered again: the same answer, byte for byte, from memory; nothing was done anew")
	default:
		m.Then = append(m.Then, fmt.Sprintf("delivered again: %d messages", len(out)))
	}
}

// happened turns what the receiver did into words, and plays its host.
func (c *wiretap) happened(name string, t transit, m *tracedMessage, out *[]sltp.Message, ev []sltp.Event) (ignored bool, err error) {
	ignored = len(*out) == 0
	for _, e := range ev {
		more, err := c.host(t, m, e)
		if err != nil {
			return false, err
		}
		*out = append(*out, more...)
		_, dropped := e.(sltp.EventDropped)
		ignored = ignored && dropped
	}
	fine := !ignored && !slices.ContainsFunc(ev, failed) && name != nameAlert && !startsWithAlert(*out)
	switch {
	case fine:
		m.Then = append(proven(name, t), m.Then...)
	case len(ev) == 0 && len(*out) == 0:
		m.Then = append(m.Then, "the "+t.to.side+" ignores it: nothing it waits for")
	case startsWithAlert(*out):
		m.Then = append(m.Then, "the "+t.to.side+" answers with an alert, which nobody can authenticate")
	}
	return ignored, nil
}

func failed(e sltp.Event) bool {
	_, ok := e.(sltp.EventFailed)
	return ok
}

func startsWithAlert(out []sltp.Message) bool {
	return len(out) > 0 && len(out[0].CID) > 0 && edhoc.IsError(out[0].Bytes)
}

// host answers requests, asks once more in the session, and keeps count.
func (c *wiretap) host(t transit, m *tracedMessage, e sltp.Event) ([]sltp.Message, error) {
	switch e := e.(type) {
	case sltp.EventRequest:
		c.handles[0] = e.Handle
		r, err := tracedReply(c.src, c.now)
		if err != nil {
			return nil, err
		}
		return c.src.end.Reply(e.Handle, r, c.now)
	case sltp.EventReply:
		c.got++
		if e.Session {
			return nil, nil
		}
		req, err := tracedRequest(2, c.now)
		if err != nil {
			return nil, err
		}
		return c.dst.end.Request(e.Handle, req, c.now)
	case sltp.EventFailed:
		if c.ended == 0 {
			c.ended = e.Alert
		}
		m.Then = append(m.Then, "the "+t.to.side+" ends the exchange: "+reasonOf(e.Err, e.Alert, e.Remote))
	case sltp.EventDropped:
		m.Then = append(m.Then, "the "+t.to.side+" drops it and goes on: "+reasonOf(e.Err, alertOf(e.Err), false))
	}
	return nil, nil
}

func alertOf(err error) sltp.Alert {
	if a, ok := errors.AsType[*sltp.AlertError](err); ok {
		return a.Code
	}
	return sltp.AlertInternal
}

// reasonOf is an alert with what the local log has of it.
func reasonOf(err error, a sltp.Alert, remote bool) string {
	if remote {
		return fmt.Sprintf("%v (%d), because the other side says so", a, int(a))
	}
	if in, ok := errors.AsType[*sltp.AlertError](err); ok {
		err = in.Err
	}
	return fmt.Sprintf("%v (%d); its own log says: %v", a, int(a), err)
}

// outcome is the last line.
func (c *wiretap) outcome() string {
	switch {
	case c.got == 2:
		return fmt.Sprintf("The license arrived, and a second one in the session: %d messages, %d bytes.", len(c.trace.Messages), c.trace.Bytes)
	case c.got == 1:
		return fmt.Sprintf("The license arrived; the second one, in the session, did not: %d messages, %d bytes.", len(c.trace.Messages), c.trace.Bytes)
	case c.ended != 0:
		return fmt.Sprintf("No license arrived: the exchange ended with %v. The destination may ask again, with the same req_id.", c.ended)
	}
	return "No license arrived, and nothing ended: the destination waits until its time is over, and may ask again with the same req_id."
}
