package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
)

// Sizes in bytes that the bars on bytes are for: of the request as it stands in
// EAD_3 and of the reply with its license as it stands in EAD_4. TLS carries as
// many. Source: local (docs/performance.md).
const (
	requestBytes = 200
	replyBytes   = 400
)

// sltpWorld is one license issuer, many home servers, and what they say.
type sltpWorld struct {
	dom     *sltpDomain
	now     time.Time
	issuer  *sltpParty
	homes   []*sltpParty // maxFlow: each session is another home's
	request sltp.Request
	reply   sltp.Reply
	grant   license.Info // what a newly signed license says
}

func newSLTPWorld() (*sltpWorld, error) {
	now := time.UnixMilli(rentalIssued())
	dom, err := newSLTPDomain(now)
	if err != nil {
		return nil, fmt.Errorf("make trust domain: %w", err)
	}
	w := &sltpWorld{dom: dom, now: now.Add(time.Hour)}
	if w.issuer, err = dom.party(pki.LicenseIssuer, nil); err != nil {
		return nil, err
	}
	for range maxFlow {
		home, err := dom.party(pki.HomeServer, nil)
		if err != nil {
			return nil, err
		}
		w.homes = append(w.homes, home)
	}
	if err := w.words(); err != nil {
		return nil, fmt.Errorf("make request and reply: %w", err)
	}
	code, err := rentalCode()
	if err != nil {
		return nil, err
	}
	w.grant = license.Info{
		ID: ident.License{0: 1, 15: 3}, Issuer: "shop.example", IssuedAt: rentalIssued(), Content: "film-1", Version: 1,
		Subject: license.DomainSubject(rentalDomain(), 1), Code: code, Policy: license.Policy{Duration: 2 * msHour},
		Keys: []license.KeyRef{keyRef(rentalKey(license.TierSD), license.TierSD, sdBytes, nil)},
	}
	return w, nil
}

// words makes a request and a reply of the sizes that the rows say.
func (w *sltpWorld) words() error {
	w.request = sltp.Request{Purpose: sltp.PurposeLicense, ReqID: ident.Request{1, 2, 3}, ClockMS: w.now.UnixMilli(), Quality: 2}
	ask := func(pad []byte) (sltp.Body, error) {
		return sltp.LicenseRequest{
			What: sltp.Reference{Content: "film-1"}, Permission: uint8(permission.Play),
			Subject: sltp.Subject{Kind: sltp.SubjectDomain, ID: rentalDomain(), Generation: 1}, Membership: pad, Tiers: []uint64{1, 2}, Level: 1,
		}.Encode()
	}
	give := func(pad []byte) (sltp.Body, error) {
		return sltp.License{Chain: [][]byte{pad}, Bundle: make([]byte, 64)}.Encode()
	}
	var err error
	if w.request.Body, err = sized(ask, requestBytes, func(b sltp.Body) ([]byte, error) { return ead3(w.request, w.issuer.id, b) }); err != nil {
		return err
	}
	w.reply.Body, err = sized(give, replyBytes, ead4)
	return err
}

// ead3 and ead4 are what docs/spec/sltp.md says of the two items.
func ead3(r sltp.Request, dst ident.Device, body sltp.Body) ([]byte, error) {
	epoch, err := sltp.EpochToWire(sltpEpoch())
	if err != nil {
		return nil, err
	}
	return wire.Marshal([]any{dst, r.Purpose, r.ReqID, epoch, []any{r.ClockMS, r.Quality}, nil, wire.RawMessage(body)})
}

func ead4(body sltp.Body) ([]byte, error) {
	return wire.Marshal([]any{ident.Request{}, sltp.StatusDone, wire.RawMessage(body), nil})
}

// sized pads a body until its item has a size.
func sized(build func(pad []byte) (sltp.Body, error), size int, item func(sltp.Body) ([]byte, error)) (sltp.Body, error) {
	for pad := 1; pad <= size; pad++ {
		body, err := build(make([]byte, pad))
		if err != nil {
			return nil, err
		}
		data, err := item(body)
		if err != nil {
			return nil, err
		}
		if len(data) == size {
			return body, nil
		}
	}
	return nil, fmt.Errorf("no body gives an item of %d bytes", size)
}

// sltpEpoch is the revocation epoch of everybody here: the hours of two years,
// and the only generation that there is so far (docs/spec/revocation.md).
func sltpEpoch() pki.Epoch { return pki.Epoch{Number: 17_544} }

// endpoint is a party's. With a cache the signatures of a chain are checked
// once.
func (w *sltpWorld) endpoint(p *sltpParty, suite sltp.Suite, cached bool, edit ...func(*sltp.Config)) (*sltp.Endpoint, error) {
	v := &pki.Verifier{Trust: w.dom.trust}
	if cached {
		v.Cache = pki.NewCache(2 * maxFlow)
	}
	cfg := sltp.Config{
		Signer: p.key, Chain: p.chain, Verifier: v, Suites: []sltp.Suite{suite}, MaxHalfOpen: maxFlow, MaxSessions: 4 * maxFlow,
		Status: func() sltp.Status { return sltp.Status{Epoch: sltpEpoch(), Head: [32]byte{7}} },
	}
	for _, f := range edit {
		f(&cfg)
	}
	e, err := sltp.NewEndpoint(cfg)
	if err != nil {
		return nil, fmt.Errorf("make endpoint: %w", err)
	}
	return e, nil
}

// given is the reply whose bytes are there already.
func (w *sltpWorld) given() (sltp.Reply, error) { return w.reply, nil }

// signed is a reply with a license that is signed for this request.
func (w *sltpWorld) signed() (sltp.Reply, error) {
	lic, err := license.Sign(w.issuer.key, w.issuer.chain[0], &w.grant)
	if err != nil {
		return sltp.Reply{}, err
	}
	body, err := sltp.License{Chain: [][]byte{lic}, Bundle: make([]byte, 64)}.Encode()
	return sltp.Reply{Body: body}, err
}

var (
	errNotOne   = errors.New("not one message and no event")
	errNoReply  = errors.New("no reply came")
	errNotAsked = errors.New("no request came")
)

// one is the one message of an answer that brings no event.
func one(out []sltp.Message, ev []sltp.Event) (sltp.Message, error) {
	if len(out) != 1 || len(ev) != 0 {
		return sltp.Message{}, fmt.Errorf("%w: %d messages, %v", errNotOne, len(out), ev)
	}
	return out[0], nil
}

// asked is the handle of the one request that came.
func asked(ev []sltp.Event) (sltp.Handle, error) {
	if len(ev) == 1 {
		switch e := ev[0].(type) {
		case sltp.EventRequest:
			return e.Handle, nil
		case sltp.EventLegacyRequest:
			return e.Handle, nil
		}
	}
	return 0, fmt.Errorf("%w: %v", errNotAsked, ev)
}

// replied checks that the one event is a reply.
func replied(ev []sltp.Event) error {
	if len(ev) == 1 {
		if _, ok := ev[0].(sltp.EventReply); ok {
			return nil
		}
	}
	return fmt.Errorf("%w: %v", errNoReply, ev)
}
