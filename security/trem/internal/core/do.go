package core

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Do runs one command. Its own error means that the module cannot go on; a
// command's failure is part of the reply.
func (c *Core) Do(m trem.Message, r Reading) (trem.Message, error) {
	cmd, body, err := trem.ParseRequest(m.Header)
	var out any = struct{}{}
	var payload []byte
	c.trim()
	switch {
	case c.failed != nil:
		err = c.failed
	case c.wiped != nil:
		err = stateError("this module is wiped")
	case err == nil:
		out, payload, err = c.run(cmd, body, m.Payload, r)
		if broken := c.flush(); broken != nil {
			err = broken
		}
	default:
		err = malformed(err)
	}
	c.unsure = c.unsure || err != nil && !expected(err)
	header, err := trem.NewReply(out, err)
	return trem.Message{Header: header, Payload: payload}, err
}

// expected reports whether a command ended in an answer of its own making.
func expected(err error) bool {
	var said *trem.Error
	var refused *trem.RefusalError
	return errors.As(err, &said) || errors.As(err, &refused)
}

func (c *Core) run(cmd trem.Command, body, payload []byte, r Reading) (out any, raw []byte, err error) {
	switch cmd {
	case trem.CmdTrack:
		return with2(body, func(in trem.Part) (any, []byte, error) { return c.track(in, payload, r) })
	case trem.CmdDecrypt:
		return with2(body, func(in trem.Part) (any, []byte, error) { return c.decrypt(in, payload, r) })
	case trem.CmdBackup, trem.CmdRestore, trem.CmdLog, trem.CmdHeal:
		return c.payloadRecovery(cmd, body, payload, r)
	default:
		out, err = c.plain(cmd, body, r)
		return out, nil, err
	}
}

// plain runs the commands that carry no payload.
func (c *Core) plain(cmd trem.Command, body []byte, r Reading) (any, error) {
	switch cmd {
	case trem.CmdStatus:
		return c.status(r), nil
	case trem.CmdRequest:
		return c.request()
	case trem.CmdEnroll:
		return with(body, func(in trem.Enrollment) (any, error) { return trem.None{}, c.enroll(in, r) })
	case trem.CmdNonce:
		return c.nonce(r)
	case trem.CmdLearn:
		return with(body, func(in trem.Learned) (any, error) { return trem.None{}, c.learn(in, r) })
	case trem.CmdFound:
		return c.found()
	case trem.CmdPairwise:
		return with(body, func(in ident.Issuer) (any, error) { return c.pairwiseFor(in) })
	case trem.CmdAdmit:
		return with(body, func(in trem.Candidate) (any, error) { return c.admit(in, r) })
	case trem.CmdJoin:
		return with(body, func(in trem.Admission) (any, error) { return trem.None{}, c.join(in, r) })
	case trem.CmdRemove:
		return with(body, func(in ident.Device) (any, error) { return trem.None{}, c.remove(in) })
	case trem.CmdMembers:
		return c.roll(r)
	case trem.CmdKeys:
		return with(body, func(in []byte) (any, error) { return c.registerKeys(in) })
	case trem.CmdProtect:
		return with(body, func(in []byte) (any, error) { return c.protect(in, r) })
	case trem.CmdUnprotect:
		return with(body, func(in ident.Content) (any, error) { return trem.None{}, c.unprotect(in, r) })
	case trem.CmdHandIn:
		return with(body, func(in ident.Content) (any, error) { return c.handIn(in, r) })
	case trem.CmdCheckReturn:
		return with(body, func(in trem.Proof) (any, error) { return c.checkReturn(in, r) })
	case trem.CmdRoll:
		return with(body, func(in trem.RollOrder) (any, error) { return c.manage(in, r) })
	case trem.CmdSunset:
		return with(body, func(in trem.SunsetOrder) (any, error) { return c.sendSunset(in, r) })
	case trem.CmdBook:
		return with(body, func(in trem.Book) (any, error) { return c.book(in) })
	case trem.CmdCode, trem.CmdRestored, trem.CmdFollow, trem.CmdKept, trem.CmdHear, trem.CmdRelayTime:
		return c.plainRecovery(cmd, body, r)
	default:
		return c.exchange(cmd, body, r)
	}
}

// exchange runs the commands of SLTP and of playback.
func (c *Core) exchange(cmd trem.Command, body []byte, r Reading) (any, error) {
	switch cmd {
	case trem.CmdOpen:
		return with(body, func(in trem.LicenseRequest) (any, error) { return c.open(in, r) })
	case trem.CmdResend:
		return with(body, func(in ident.Device) (any, error) { return c.resend(in, r) })
	case trem.CmdReceive:
		return with(body, func(in trem.SLTPMessage) (any, error) { return c.receive(in, r) })
	case trem.CmdPrepare:
		return with(body, func(in trem.Terms) (any, error) { return c.prepare(in) })
	case trem.CmdRelease:
		return with(body, func(in trem.Release) (any, error) { return c.release(in, r) })
	case trem.CmdDone:
		return with(body, func(in trem.Done) (any, error) { return c.done(in, r) })
	case trem.CmdRefuse:
		return with(body, func(in trem.Refusal) (any, error) { return c.refuse(in, r) })
	case trem.CmdLicenses:
		return c.licenses(r), nil
	case trem.CmdHandOver, trem.CmdPost, trem.CmdLetters, trem.CmdTransfers, trem.CmdCancel, trem.CmdGiveBack, trem.CmdRenewLoan, trem.CmdCard, trem.CmdLost, trem.CmdYield, trem.CmdLeave, trem.CmdWipe, trem.CmdExport:
		return c.byLetter(cmd, body, r)
	case trem.CmdEvaluate:
		return with(body, func(in trem.Ask) (any, error) { return c.evaluate(in, r) })
	case trem.CmdBegin:
		return with(body, func(in trem.Ask) (any, error) { return c.begin(in, r) })
	case trem.CmdEnd:
		return with(body, func(in trem.Part) (any, error) { return trem.None{}, c.end(in.Session, r) })
	case trem.CmdAskPlace, trem.CmdKeepPlace, trem.CmdTakePlace, trem.CmdPlaces:
		return c.placing(cmd, body, r)
	case trem.CmdLink:
		return with(body, func(in trem.LinkOrder) (any, error) { return c.proveLink(in) })
	case trem.CmdBuffer:
		return with(body, func(in trem.BufferOrder) (any, error) { return c.makeBuffer(in) })
	case trem.CmdLinkKeys:
		return with(body, func(in trem.Part) (any, error) { return c.linkKeys(in.Session) })
	default:
		return nil, malformed(fmt.Errorf("unknown command %d", cmd))
	}
}

// byLetter runs the commands of transfers that need no session.
func (c *Core) byLetter(cmd trem.Command, body []byte, r Reading) (any, error) {
	switch cmd {
	case trem.CmdHandOver:
		return with(body, func(in trem.HandOver) (any, error) { return c.handOver(in, r) })
	case trem.CmdPost:
		return with(body, func(in []byte) (any, error) { return c.post(in, r) })
	case trem.CmdLetters:
		return c.letters(r)
	case trem.CmdTransfers:
		return c.transfers()
	case trem.CmdCancel:
		return with(body, func(in ident.Transfer) (any, error) { return c.cancel(in) })
	case trem.CmdGiveBack:
		return with(body, func(in ident.Transfer) (any, error) { return c.giveBack(in, r) })
	case trem.CmdYield:
		return with(body, func(in ident.License) (any, error) { return c.yield(in, r) })
	case trem.CmdWipe:
		return with(body, func(in trem.WipeOrder) (any, error) { return c.wipe(in, r) })
	case trem.CmdLeave:
		return with(body, func(in ident.Device) (any, error) { return c.leaveHouse(in, false, r) })
	case trem.CmdExport:
		return with(body, func(in trem.Export) (any, error) { return c.export(in, r) })
	case trem.CmdLost:
		return with(body, func(in ident.Transfer) (any, error) { return c.lostTo(in, r) })
	case trem.CmdRenewLoan:
		return with(body, func(in trem.Renewal) (any, error) { return c.renewLoan(in, r) })
	default:
		return with(body, func(in trem.Card) (any, error) { return c.card(in, r) })
	}
}

// placing runs the commands of places across the house.
func (c *Core) placing(cmd trem.Command, body []byte, r Reading) (any, error) {
	switch cmd {
	case trem.CmdAskPlace:
		return with(body, func(in trem.PlaceOrder) (any, error) { return c.askPlace(in, r) })
	case trem.CmdKeepPlace:
		return with(body, func(in trem.PlaceAsk) (any, error) { return c.keepPlace(in, r) })
	case trem.CmdTakePlace:
		return with(body, func(in []byte) (any, error) { return c.takePlace(in, r) })
	default:
		return c.places(r)
	}
}

func with[In any](body []byte, f func(In) (any, error)) (any, error) {
	var in In
	if err := trem.ParseBody(body, &in); err != nil {
		return nil, malformed(err)
	}
	return f(in)
}

func with2[In any](body []byte, f func(In) (any, []byte, error)) (any, []byte, error) {
	var in In
	if err := trem.ParseBody(body, &in); err != nil {
		return nil, nil, malformed(err)
	}
	return f(in)
}

func malformed(err error) error {
	return &trem.Error{Code: trem.CodeMalformed, Text: "command: " + err.Error()}
}
