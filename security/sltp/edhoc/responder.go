package edhoc

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"io"
)

// Responder is the responder's side of one exchange. Its methods are called in
// the order Message1, Message2, Message3, Authenticate, Message4.
type Responder struct {
	cfg   Config
	step  step
	suite Suite
	h1    [hashLen]byte // of message_1
	gx    []byte
	sched schedule
	peer  plaintext // PLAINTEXT_3 parsed
	raw   []byte    // PLAINTEXT_3
}

// Hello is what message_1 says. None of it is authenticated.
type Hello struct {
	CID   []byte // C_I
	Suite Suite  // selected
	EAD   []EAD  // EAD_1
}

// NewResponder starts nothing yet.
func NewResponder(cfg Config) (*Responder, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	return &Responder{cfg: cfg, step: waiting1}, nil
}

// Format prints no key.
func (r *Responder) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[edhoc responder]") }

// Message1 reads message_1. A wrong selected suite is a *SuiteError.
func (r *Responder) Message1(msg []byte) (Hello, error) {
	if r.step != waiting1 {
		return Hello{}, ErrStep
	}
	r.step = over
	m, err := parseMessage1(msg)
	if err != nil {
		return Hello{}, err
	}
	if wrong, ok := Acceptable(m.suites, r.cfg.Suites); !ok {
		return Hello{}, &SuiteError{Suites: wrong, CID: m.ci}
	}
	r.suite = m.suites[len(m.suites)-1]
	if p, _ := r.suite.params(); len(m.gx) != p.gx {
		return Hello{}, fmt.Errorf("%w: length of G_X", ErrMalformed)
	}
	r.h1, r.gx, r.step = sha256.Sum256(msg), m.gx, waiting2
	return Hello{CID: m.ci, Suite: r.suite, EAD: m.ead}, nil
}

// Message2 returns message_2; cid is C_R.
func (r *Responder) Message2(cid []byte, id Identity, ead []EAD) ([]byte, error) {
	if r.step != waiting2 {
		return nil, ErrStep
	}
	r.step = over
	if len(ead) > maxEAD {
		return nil, fmt.Errorf("%w: EAD_2", ErrTooLong)
	}
	p, _ := r.suite.params()
	gy, gxy, err := r.cfg.Ephemeral.Answer(r.suite, r.gx)
	if err != nil {
		return nil, err
	}
	defer clear(gxy)
	if r.sched, err = start(p, r.h1, gy, gxy); err != nil {
		return nil, err
	}
	if cid == nil {
		cid = []byte{}
	}
	own := plaintext{cr: cid, id: id.ID, ead: encodeEAD(ead)}
	if own.sig, err = r.sched.sign(id, kdfMAC2, encodeID(cid), own.ead); err != nil {
		return nil, err
	}
	plain, err := own.encode()
	if err != nil {
		return nil, err
	}
	ct, err := r.sched.crypt2(plain)
	if err != nil {
		return nil, err
	}
	r.sched.advance(plain, id.Cred)
	r.gx, r.step = nil, waiting3
	msg := appendHead(make([]byte, 0, len(gy)+len(ct)+9), majorBytes, uint64(len(gy)+len(ct)))
	return append(append(msg, gy...), ct...), nil
}

// Message3 opens message_3 and returns who the Initiator claims to be. A
// message that does not open leaves the exchange as it was, because it may be
// a stray one; the caller bounds how many it tries.
func (r *Responder) Message3(msg []byte) (Claim, error) {
	if r.step != waiting3 {
		return Claim{}, ErrStep
	}
	var err error
	if r.raw, err = r.sched.open(kdfK3, kdfIV3, msg); err != nil {
		return Claim{}, err
	}
	r.step = over
	if r.peer, err = parsePlaintext(r.raw, false); err != nil {
		return Claim{}, fmt.Errorf("%w: %w", ErrOpened, err)
	}
	r.step = claimed3
	return Claim{ID: r.peer.id}, nil
}

// Authenticate checks Signature_3 with the key of the credential that the
// Claim names, and only then hands out EAD_3. cred is CRED_I. From here on
// Export works.
func (r *Responder) Authenticate(cred []byte, pub crypto.PublicKey) ([]EAD, error) {
	if r.step != claimed3 {
		return nil, ErrStep
	}
	r.step = over
	if err := r.sched.verify(r.peer, kdfMAC3, nil, cred, pub); err != nil {
		return nil, err
	}
	ead := r.peer.eads
	r.sched.advance(r.raw, cred)
	r.forget()
	if err := r.sched.finish(); err != nil {
		return nil, err
	}
	r.step = verified3
	return ead, nil
}

// Message4 returns message_4.
func (r *Responder) Message4(ead []EAD) ([]byte, error) {
	if r.step != verified3 {
		return nil, ErrStep
	}
	if len(ead) > maxEAD {
		return nil, fmt.Errorf("%w: EAD_4", ErrTooLong)
	}
	msg, err := r.sched.seal(kdfK4, kdfIV4, encodeEAD(ead))
	if err != nil {
		return nil, err // nothing was sent: a shorter EAD_4 may still be
	}
	r.sched.prk.wipe() // nothing is left to seal: only PRK_out goes on
	r.step = done
	return msg, nil
}

// Suite is the selected suite.
func (r *Responder) Suite() Suite { return r.suite }

// TH4 is the transcript hash TH_4; zero before Authenticate.
func (r *Responder) TH4() [32]byte {
	if r.step != verified3 && r.step != done {
		return [32]byte{}
	}
	return r.sched.th
}

// Export is EDHOC_Exporter (RFC 9528 section 4.2.1). It works from
// Authenticate on.
func (r *Responder) Export(label uint64, context []byte, n int) ([]byte, error) {
	if r.step != verified3 && r.step != done {
		return nil, ErrStep
	}
	return r.sched.export(label, context, n)
}

// KeyUpdate is EDHOC_KeyUpdate (RFC 9528 appendix H): exports after it have
// other values, and nothing that is kept gives those before it. The Initiator
// must do the same with the same context. It works from Message4 on.
func (r *Responder) KeyUpdate(context []byte) error {
	if r.step != done {
		return ErrStep
	}
	return r.sched.update(context)
}

// Close wipes the keys and ends the exchange.
func (r *Responder) Close() {
	r.sched.wipe()
	r.forget()
	r.step = over
}

// forget wipes what the peer said: what is handed out is a copy.
func (r *Responder) forget() {
	clear(r.raw)
	r.raw, r.peer, r.gx = nil, plaintext{}, nil
}
