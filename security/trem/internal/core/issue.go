package core

import (
	"bytes"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// objectPrepared is the seal's associated data of an answer that waits at the issuer's host.
const objectPrepared = "lares/1/prepared"

// prepared is what an issuer's host keeps, sealed, between Prepare and the
// transfer's end. Source: local, docs/spec/trem.md.
type prepared struct {
	_    struct{}     `cbor:",toarray"`
	Dst  ident.Device // whom it was prepared for
	Body []byte       // the reply's body: LICENSE or XFER
}

// AppendCBOR appends [device, body]. It never returns an error.
func (p prepared) AppendCBOR(b []byte) ([]byte, error) {
	return wire.AppendBytes(wire.AppendBytes(wire.AppendArray(b, 2), p.Dst[:]), p.Body), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (p *prepared) ReadCBOR(from *wire.Items) {
	r := from.Array(2, 2)
	r.Fixed(p.Dst[:])
	p.Body = bytes.Clone(r.OptionalBytes())
	from.Done(r)
}

// prepare builds an issuer's answer. Nothing leaves and nothing is stored here:
// the host's transaction is this transfer's PREPARE.
func (c *Core) prepare(in trem.Terms) (trem.Prepared, error) {
	if err := c.need(pki.LicenseIssuer); err != nil {
		return trem.Prepared{}, err
	}
	a, ok := c.asked[sltp.Handle(in.Handle)]
	if !ok {
		return trem.Prepared{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such exchange"}
	}
	k, ok := c.contents[in.Info.Content]
	if !ok {
		return trem.Prepared{}, &trem.Error{Code: trem.CodeUnknown, Text: "no keys are registered for this content"}
	}
	inst, err := c.write1(in, k)
	if err != nil {
		return trem.Prepared{}, rejected(err)
	}
	if a.peer.Role() == pki.Device {
		if err := c.addressTo(inst, in, a.peer.ID()); err != nil {
			return trem.Prepared{}, err
		}
	}
	if need := inst.leaf().Info().Policy.MinLevel; uint64(a.peer.Level()) < need {
		return trem.Prepared{}, rejected(fmt.Errorf("terms: the license needs SL%d, the asking module is %v", need, a.peer.Level()))
	}
	bundle, err := inst.bundleFor(inst.leaf(), a.peer)
	if err != nil {
		return trem.Prepared{}, err
	}
	out := trem.Prepared{Hash: inst.leaf().Hash()}
	var body []byte
	if in.Seq == 0 {
		if !inst.leaf().Info().Stateless() {
			return trem.Prepared{}, rejected(fmt.Errorf("terms: a license with counts or times from first use needs a transfer"))
		}
		body, err = sltp.License{Chain: inst.links, Bundle: bundle}.Encode()
	} else {
		out.Transfer = ident.Transfer{Src: c.self, Dst: a.peer.ID(), Incarnation: c.sending(), Seq: in.Seq}
		body, out.XferHash, err = xfer(out.Transfer, 0, transfer.OpIssue, inst, bundle, in.Plays)
	}
	if err != nil {
		return trem.Prepared{}, err
	}
	plain, err := wire.Marshal(prepared{Dst: a.peer.ID(), Body: body})
	if err != nil {
		return trem.Prepared{}, err
	}
	out.Sealed, err = c.cfg.Keystore.Seal(plain, []byte(objectPrepared))
	return out, err
}

// addressTo puts the membership of the asking device beside a license, if the roll of
// its domain has it.
func (c *Core) addressTo(inst *instance, in trem.Terms, to ident.Device) error {
	roll, m, err := c.rollFor(in.Roll, in.Info.Subject, to)
	if err != nil {
		return err
	}
	l, _, err := parseLink(inst.links[0])
	if err != nil {
		return err
	}
	if l.Membership, err = c.rollMembership(roll, m); err != nil {
		return err
	}
	inst.links[0], err = l.encode()
	return err
}

// write1 completes the terms and signs them: the license and its keys.
func (c *Core) write1(in trem.Terms, k *content) (*instance, error) {
	info := in.Info
	if info.Issuer != c.peer.Issuer() {
		return nil, fmt.Errorf("terms: this module does not sign for issuer %v", info.Issuer)
	}
	if info.RevMinEpoch == 0 {
		info.RevMinEpoch = c.epoch()
	}
	refs, keys, err := k.grant(info.Content, in.Tiers)
	if err != nil {
		return nil, err
	}
	info.Keys = refs
	if info.Policy.Duration == 0 {
		info.Policy.Duration = int64(min(k.durationMS, 1<<52))
	}
	link, lic, err := c.sign(&info)
	if err != nil {
		return nil, err
	}
	inst := &instance{links: [][]byte{link}, chain: []*license.License{lic}, state: license.State{}, keys: keys}
	return inst, nil
}

// sign signs a license with this module's identity and wraps it into a link.
func (c *Core) sign(info *license.Info) ([]byte, *license.License, error) {
	lic, err := license.Issue(c.signer, c.identity.Chain[0], info)
	if err != nil {
		return nil, nil, err
	}
	link, err := (&Link{License: lic.Bytes(), Signer: c.identity.Chain}).encode()
	return link, lic, err
}

func xfer(tid ident.Transfer, low uint64, op transfer.Op, inst *instance, bundle []byte, plays uint64) (data []byte, hash [32]byte, err error) {
	body, err := transferBody(op, inst, bundle, plays)
	if err != nil {
		return nil, hash, err
	}
	return transfer.NewXFER(tid, low, body, nil).EncodeHashed()
}

func transferBody(op transfer.Op, inst *instance, bundle []byte, plays uint64) ([]byte, error) {
	state, err := inst.state.Encode()
	if err != nil {
		return nil, err
	}
	b := transfer.Body{Op: op, Chain: inst.links, State: state, Bundle: bundle}
	if plays > 0 {
		b.Amounts = map[uint64]uint64{uint64(permission.Play): plays}
	}
	return b.Encode()
}

// release sends a prepared answer, after the host's commit.
func (c *Core) release(in trem.Release, r Reading) ([]trem.SLTPMessage, error) {
	plain, err := c.cfg.Keystore.Unseal(in.Sealed, []byte(objectPrepared))
	if err != nil {
		return nil, rejected(fmt.Errorf("prepared answer: %w", err))
	}
	var p prepared
	if err := wire.Unmarshal(plain, &p, recordLimit); err != nil {
		return nil, rejected(err)
	}
	if a, ok := c.asked[sltp.Handle(in.Handle)]; ok && p.Dst != a.peer.ID() {
		return nil, rejected(fmt.Errorf("prepared answer: it is for another module"))
	}
	msgs, err := c.reply(sltp.Handle(in.Handle), sltp.StatusDone, p.Body, r)
	return couriered(msgs), err
}
