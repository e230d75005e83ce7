package edhoc

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
)

// Config is what both roles need.
type Config struct {
	Suites    []Suite   // required: supported, in order of preference
	Ephemeral Ephemeral // fresh keys; default Fresh
}

func (c Config) check() (Config, error) {
	if c.Ephemeral == nil {
		c.Ephemeral = Fresh{}
	}
	c.Suites = slices.Clone(c.Suites)
	return c, checkSuites(c.Suites)
}

// Claim is who a peer says it is, before its signature was checked.
type Claim struct {
	CID []byte // C_R; nil in message_3
	ID  IDCred
}

type step uint8

const (
	begin step = iota
	waiting2
	claimed2
	verified2
	waiting4
	waiting1
	waiting3
	claimed3
	verified3
	done
	over
)

// Initiator is the initiator's side of one exchange. Its methods are called in
// the order Message1, Message2, Authenticate, Message3, Message4.
type Initiator struct {
	cfg   Config
	step  step
	suite Suite
	share Share
	h1    [hashLen]byte // of message_1
	sched schedule
	peer  plaintext // PLAINTEXT_2 parsed
	raw   []byte    // PLAINTEXT_2
}

// NewInitiator starts nothing yet.
func NewInitiator(cfg Config) (*Initiator, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	return &Initiator{cfg: cfg}, nil
}

// Format prints no key.
func (i *Initiator) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[edhoc initiator]") }

// Message1 returns message_1. suites is what Propose gave: the Initiator's
// order up to the selected suite; cid is C_I.
func (i *Initiator) Message1(suites []Suite, cid []byte, ead []EAD) ([]byte, error) {
	if i.step != begin {
		return nil, ErrStep
	}
	if len(suites) == 0 || len(suites) > len(i.cfg.Suites) || !slices.Equal(suites, i.cfg.Suites[:len(suites)]) {
		return nil, fmt.Errorf("edhoc: suites are not the start of the configured list")
	}
	i.step = over
	i.suite = suites[len(suites)-1]
	share, err := i.cfg.Ephemeral.Offer(i.suite)
	if err != nil {
		return nil, err
	}
	i.share = share
	msg := message1{suites: suites, gx: share.Public(), ci: cid, ead: ead}.encode()
	if len(msg) > MaxMessage || len(ead) > maxEAD {
		return nil, fmt.Errorf("%w: message_1", ErrTooLong)
	}
	i.h1, i.step = sha256.Sum256(msg), waiting2
	return msg, nil
}

// Message2 decrypts message_2 and returns who the Responder claims to be.
func (i *Initiator) Message2(msg []byte) (Claim, error) {
	if i.step != waiting2 {
		return Claim{}, ErrStep
	}
	i.step = over
	defer i.drop()
	p, _ := i.suite.params()
	body, err := only(msg)
	if err != nil {
		return Claim{}, err
	}
	if len(body) < p.gy {
		return Claim{}, fmt.Errorf("%w: message_2", ErrMalformed)
	}
	gy, ct := body[:p.gy], body[p.gy:]
	gxy, err := i.share.Agree(gy)
	if err != nil {
		return Claim{}, err
	}
	defer clear(gxy)
	if i.sched, err = start(p, i.h1, gy, gxy); err != nil {
		return Claim{}, err
	}
	if i.raw, err = i.sched.crypt2(ct); err != nil {
		return Claim{}, err
	}
	if i.peer, err = parsePlaintext(i.raw, true); err != nil {
		return Claim{}, err
	}
	i.step = claimed2
	return Claim{CID: i.peer.cr, ID: i.peer.id}, nil
}

// Authenticate checks Signature_2 with the key of the credential that the
// Claim names, and only then hands out EAD_2. cred is CRED_R.
func (i *Initiator) Authenticate(cred []byte, pub crypto.PublicKey) ([]EAD, error) {
	if i.step != claimed2 {
		return nil, ErrStep
	}
	i.step = over
	if err := i.sched.verify(i.peer, kdfMAC2, encodeID(i.peer.cr), cred, pub); err != nil {
		return nil, err
	}
	ead := i.peer.eads
	i.sched.advance(i.raw, cred)
	i.forget()
	i.step = verified2
	return ead, nil
}

// Message3 returns message_3. From here on Export works; nothing derived may
// be relied on before message_4 is verified.
func (i *Initiator) Message3(id Identity, ead []EAD) ([]byte, error) {
	if i.step != verified2 {
		return nil, ErrStep
	}
	i.step = over
	msg, err := i.sched.message3(id, ead)
	if err != nil {
		return nil, err
	}
	i.step = waiting4
	return msg, nil
}

func (s *schedule) message3(id Identity, ead []EAD) ([]byte, error) {
	if len(ead) > maxEAD {
		return nil, fmt.Errorf("%w: EAD_3", ErrTooLong)
	}
	own := plaintext{id: id.ID, ead: encodeEAD(ead)}
	var err error
	if own.sig, err = s.sign(id, kdfMAC3, nil, own.ead); err != nil {
		return nil, err
	}
	plain, err := own.encode()
	if err != nil {
		return nil, err
	}
	msg, err := s.seal(kdfK3, kdfIV3, plain)
	if err != nil {
		return nil, err
	}
	s.advance(plain, id.Cred)
	return msg, s.finish()
}

// Message4 verifies message_4, which proves that the Responder has the keys,
// and returns EAD_4. A message that does not open leaves the exchange as it
// was, because it may be a stray one; the caller bounds how many it tries.
func (i *Initiator) Message4(msg []byte) ([]EAD, error) {
	if i.step != waiting4 {
		return nil, ErrStep
	}
	plain, err := i.sched.open(kdfK4, kdfIV4, msg)
	if err != nil {
		return nil, err
	}
	i.step = over
	i.sched.prk.wipe() // nothing is left to open: only PRK_out goes on
	defer clear(plain) // EAD_4 carries keys, and what is returned is a copy
	ead, err := parseEAD(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpened, err)
	}
	i.step = done
	return ead, nil
}

// Suite is the selected suite.
func (i *Initiator) Suite() Suite { return i.suite }

// TH4 is the transcript hash TH_4; zero before Message3.
func (i *Initiator) TH4() [32]byte {
	if i.step != waiting4 && i.step != done {
		return [32]byte{}
	}
	return i.sched.th
}

// Export is EDHOC_Exporter (RFC 9528 section 4.2.1). It works from Message3 on.
func (i *Initiator) Export(label uint64, context []byte, n int) ([]byte, error) {
	if i.step != waiting4 && i.step != done {
		return nil, ErrStep
	}
	return i.sched.export(label, context, n)
}

// KeyUpdate is EDHOC_KeyUpdate (RFC 9528 appendix H): exports after it have
// other values, and nothing that is kept gives those before it. The Responder
// must do the same with the same context. It works from Message4 on.
func (i *Initiator) KeyUpdate(context []byte) error {
	if i.step != done {
		return ErrStep
	}
	return i.sched.update(context)
}

// Close wipes the keys and ends the exchange.
func (i *Initiator) Close() {
	i.sched.wipe()
	i.drop()
	i.forget()
	i.step = over
}

// drop gives up the share.
func (i *Initiator) drop() {
	if i.share != nil {
		closeShare(i.share)
	}
	i.share = nil
}

// forget wipes what the peer said: what is handed out is a copy.
func (i *Initiator) forget() {
	clear(i.raw)
	i.raw, i.peer = nil, plaintext{}
}
