package bench

import (
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// pushLife is how long a push of the bench is good for, below the 30 days that
// are allowed. Source: local.
const pushLife = 24 * time.Hour

// pushed is a flow of one-pass pushes to one destination.
type pushed struct {
	w     *sltpWorld
	src   *sltp.Endpoint
	dst   *sltp.Endpoint
	to    *pki.Peer
	cert  []byte
	push  sltp.Push
	chain bool // sent along, and verified anew
	at    []sltp.Message
}

// pushFlow is a push with the size of a license, sealed and signed by the
// source and opened by the destination.
func (w *sltpWorld) pushFlow(name string, cached bool) (*flow, error) {
	home := w.homes[0]
	if home.delivery == nil {
		if err := w.dom.deliver(home); err != nil {
			return nil, err
		}
	}
	p := &pushed{w: w, cert: home.delCert, chain: !cached, at: make([]sltp.Message, maxFlow)}
	var err error
	if p.src, err = w.endpoint(w.issuer, edhoc.Suite2, cached); err != nil {
		return nil, err
	}
	p.dst, err = w.endpoint(home, edhoc.Suite2, cached, func(c *sltp.Config) { c.Delivery, c.DeliveryCert = home.delivery, home.delCert })
	if err != nil {
		return nil, err
	}
	if p.to, err = (&pki.Verifier{Trust: w.dom.trust}).Verify(home.chain, w.now); err != nil {
		return nil, err
	}
	tid := ident.Transfer{Src: w.issuer.id, Dst: home.id, Seq: 1}
	body, err := wire.Marshal([]any{1, tid, make([]byte, replyBytes-64)}) // XFER and its TID; the rest is for the transfer machine
	if err != nil {
		return nil, err
	}
	p.push = sltp.Push{TID: tid, Expires: w.now.Add(pushLife), Body: body}
	f := &flow{name: name, begin: p.begin, bytes: func() int { return len(p.at[0].Bytes) }}
	f.steps = []step{{responder, p.seal}, {initiator, p.open}}
	return f, nil
}

// begin makes the destination know the source's certificate, or not.
func (p *pushed) begin(int) error {
	p.src.EpochAdvanced()
	p.dst.EpochAdvanced()
	if p.chain {
		return nil
	}
	x := &exchange{w: p.w, src: p.src, dst: []*sltp.Endpoint{p.dst}, opened: make([]sltp.Handle, 1), asked: make([]sltp.Handle, 1), at: make([]sltp.Message, 1)}
	return x.meet(0)
}

func (p *pushed) seal(i int) (err error) {
	p.at[i], err = p.src.Push(p.to, p.cert, p.push, p.chain, p.w.now)
	return err
}

func (p *pushed) open(i int) error {
	_, err := p.dst.OpenPush(p.at[i].Bytes, 3, p.w.now) // clock quality 3 is SECURE
	return err
}

// legacyFlow is a license by RSA key transport, to one destination that has
// nothing else.
func (w *sltpWorld) legacyFlow(name string) (*flow, error) {
	home, err := w.dom.party(pki.HomeServer, &pki.SLTP{})
	if err != nil {
		return nil, err
	}
	key, cert, err := w.dom.rsaKey(home)
	if err != nil {
		return nil, err
	}
	x := &exchange{w: w, dst: make([]*sltp.Endpoint, maxFlow), opened: make([]sltp.Handle, maxFlow), asked: make([]sltp.Handle, maxFlow), at: make([]sltp.Message, maxFlow)}
	if x.src, err = w.endpoint(w.issuer, edhoc.Suite2, false, func(c *sltp.Config) { c.AllowRSA = func(*pki.Peer) bool { return true } }); err != nil {
		return nil, err
	}
	dst, err := w.endpoint(home, edhoc.Suite2, false, func(c *sltp.Config) { c.RSA = &sltp.RSAKey{Key: key, Cert: cert} })
	if err != nil {
		return nil, err
	}
	for i := range x.dst {
		x.dst[i] = dst
	}
	open := func(i int) error {
		h, out, err := dst.OpenLegacy(w.issuer.id, sltp.Reference{Content: "film-1"}, w.request.ReqID, w.now)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		x.opened[i] = h
		return x.send(i, out, nil)
	}
	f := &flow{name: name, begin: x.begin, bytes: x.bytes}
	f.steps = append([]step{{initiator, open}}, x.steps()[1:]...)
	return f, nil
}
