package sltp

import (
	"testing"

	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// rogue is a party that speaks EDHOC well and says in it what it likes.
type rogue struct {
	t     testing.TB
	id    edhoc.Identity
	cid   []byte // its own connection ID
	to    []byte // C_I of who it answers
	suite []Suite
	eph   edhoc.Ephemeral
	ini   *edhoc.Initiator
	res   *edhoc.Responder
	heard []edhoc.EAD  // EAD_1 or EAD_2 of the honest party
	named edhoc.IDCred // how the honest party named itself
}

func identityOf(p *pkitest.Party) edhoc.Identity {
	return edhoc.Identity{Signer: p.Key, ID: edhoc.X5Chain(p.Chain), Cred: edhoc.CertCred(p.Leaf())}
}

func newRogue(t testing.TB, p *pkitest.Party) *rogue {
	t.Helper()
	r := &rogue{t: t, id: identityOf(p), cid: []byte("rogue-id"), suite: []Suite{edhoc.Suite2}}
	return r
}

func (r *rogue) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// helloItem is an EAD_1 as an honest Initiator sends it.
func helloItem(t testing.TB) []edhoc.EAD {
	t.Helper()
	h, err := hello{maxSize: MaxMessage}.encode()
	if err != nil {
		t.Fatal(err)
	}
	return []edhoc.EAD{{Label: labelHello, Value: h}}
}

func statusItem(t testing.TB, s PeerStatus) []edhoc.EAD {
	t.Helper()
	b, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	return []edhoc.EAD{{Label: labelStatus, Value: b}}
}

func requestItem(t testing.TB, r Request) []edhoc.EAD {
	t.Helper()
	b, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	return []edhoc.EAD{{Label: labelRequest, Value: b}}
}

// message1 starts an exchange with ead1 in it.
func (r *rogue) message1(ead1 []edhoc.EAD) []Message {
	r.t.Helper()
	var err error
	r.ini, err = edhoc.NewInitiator(edhoc.Config{Suites: r.suite, Ephemeral: r.eph})
	r.must(err)
	m, err := r.ini.Message1(r.suite, r.cid, ead1)
	r.must(err)
	return []Message{{Bytes: m}}
}

// message2 answers message_1 with ead2.
func (r *rogue) message2(m1 []Message, ead2 []edhoc.EAD) []Message {
	r.t.Helper()
	var err error
	r.res, err = edhoc.NewResponder(edhoc.Config{Suites: r.suite, Ephemeral: r.eph})
	r.must(err)
	hello, err := r.res.Message1(m1[0].Bytes)
	r.must(err)
	r.to, r.heard = hello.CID, hello.EAD
	m, err := r.res.Message2(r.cid, r.id, ead2)
	r.must(err)
	return []Message{{CID: hello.CID, Bytes: m}}
}

// message3 answers message_2 of an honest Responder with ead3.
func (r *rogue) message3(m2 []Message, peer *pkitest.Party, ead3 []edhoc.EAD) []Message {
	r.t.Helper()
	claim, err := r.ini.Message2(m2[0].Bytes)
	r.must(err)
	r.named = claim.ID
	r.heard, err = r.ini.Authenticate(edhoc.CertCred(peer.Leaf()), peer.Key.Public())
	r.must(err)
	m, err := r.ini.Message3(r.id, ead3)
	r.must(err)
	return []Message{{CID: claim.CID, Bytes: m}}
}

// message4 answers message_3 of an honest Initiator with ead4.
func (r *rogue) message4(m3 []Message, peer *pkitest.Party, ead4 []edhoc.EAD) []Message {
	r.t.Helper()
	claim, err := r.res.Message3(m3[0].Bytes)
	r.must(err)
	r.named = claim.ID
	_, err = r.res.Authenticate(edhoc.CertCred(peer.Leaf()), peer.Key.Public())
	r.must(err)
	m, err := r.res.Message4(ead4)
	r.must(err)
	return []Message{{CID: r.to, Bytes: m}}
}
