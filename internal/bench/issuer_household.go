package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// The titles of the bench's shop: of what kind a license is follows from its title.
const (
	countedTitle = ident.Content("bench-counted") // plays counted: a transfer
	steadyTitle  = ident.Content("bench-steady")  // the same license again
	renewedTitle = ident.Content("bench-renewed") // the same, in one version after another
)

// household is a home server as far as an issuer sees it: it speaks SLTP over LRP
// with a real end of both, and keeps nothing of what it gets.
type household struct {
	n      int
	id     ident.Device
	key    *ecdsa.PrivateKey
	chain  [][]byte
	domain ident.Domain
	trust  *pki.TrustStore
	end    *sltp.Endpoint
	http   *http.Client
	crowd  *http.Client              // of hostile callers, who ask at once
	live   map[*loadShop]sltp.Handle // the sessions that stand
	until  int64                     // that a renewal asked for last, Unix ms
	again  int                       // how often it was told to wait
}

func newHousehold(n int, key *ecdsa.PrivateKey, h loadHome, trust *pki.TrustStore, client *http.Client) (*household, error) {
	leaf, err := x509.ParseCertificate(h.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("read leaf: %w", err)
	}
	out := &household{
		n: n, id: ident.DeviceOf(leaf.RawSubjectPublicKeyInfo), key: key, chain: h.Chain, domain: h.Domain, trust: trust, http: client, live: map[*loadShop]sltp.Handle{},
	}
	out.end, err = out.twin()
	return out, err
}

// twin is another end of SLTP of the same household.
func (h *household) twin() (*sltp.Endpoint, error) {
	return sltp.NewEndpoint(sltp.Config{
		Signer: h.key, Chain: h.chain, Verifier: &pki.Verifier{Trust: h.trust, Cache: pki.NewCache(8)},
		Status: func() sltp.Status { return sltp.Status{Epoch: shopEpoch()} },
	})
}

// shopEpoch is the revocation epoch of everybody here.
func shopEpoch() pki.Epoch { return pki.Epoch{Number: 1} }

var (
	errRefused = errors.New("the shop refused")
	errSilence = errors.New("the shop said nothing")
)

// issue gets a license that counts, in the session that stands.
func (h *household) issue(ctx context.Context, s *loadShop, _ int) error {
	_, err := h.ask(ctx, s, countedTitle)
	return err
}

// meetAndIssue does the same in a new session.
func (h *household) meetAndIssue(ctx context.Context, s *loadShop, n int) error {
	h.forget(s)
	return h.issue(ctx, s, n)
}

// repeat gets the household's license without state once more.
func (h *household) repeat(ctx context.Context, s *loadShop, _ int) error {
	_, err := h.ask(ctx, s, steadyTitle)
	return err
}

// renew lets the operator renew a license and gets it.
func (h *household) renew(ctx context.Context, s *loadShop, _ int) error {
	h.until = max(h.until, time.Now().AddDate(1, 0, 0).UnixMilli()) + 1000 //nolint:forbidigo // what an operator says
	body, err := json.Marshal(map[string]int64{"until": h.until})
	if err != nil {
		return err
	}
	if _, err := h.fetch(ctx, s, http.MethodPost, "/api/v1/grants/"+h.domain.String()+"/"+s.Grants[h.n]+"/renew", "application/json", body); err != nil {
		return err
	}
	_, err = h.ask(ctx, s, renewedTitle)
	return err
}

// status reads the status document of a license.
func (h *household) status(ctx context.Context, s *loadShop, _ int) error {
	_, err := h.fetch(ctx, s, http.MethodGet, s.Status[h.n], "", nil)
	return err
}

// issueAndConfirm gets a license that counts, and confirms that it has it.
func (h *household) issueAndConfirm(ctx context.Context, s *loadShop, _ int) error {
	r, err := h.ask(ctx, s, countedTitle)
	if err != nil {
		return err
	}
	x, err := transfer.ParseXFER(r.Body)
	if err != nil {
		return err
	}
	epoch, err := sltp.EpochToWire(shopEpoch())
	if err != nil {
		return err
	}
	receipt, err := transfer.SignReceipt(h.key, h.chain[0], transfer.Statement{TID: x.TID, Verdict: transfer.Installed, XferHash: x.Hash(), Epoch: epoch})
	if err != nil {
		return err
	}
	now := time.Now() //nolint:forbidigo // a household's clock
	_, msgs, err := h.end.Send(h.live[s], receipt, now)
	if errors.Is(err, sltp.ErrEnded) { // the license was the session's last message; the next session closes it
		h.forget(s)
		h.again++
		return nil
	}
	if err != nil {
		return err
	}
	events, err := h.carry(ctx, s, msgs, now)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if app, ok := ev.(sltp.EventApp); ok {
			_, err := transfer.ParseDone(app.Body)
			return err
		}
	}
	return fmt.Errorf("%w to a receipt: %v", errSilence, events)
}

func (h *household) forget(s *loadShop) {
	h.end.Close(h.live[s])
	delete(h.live, s)
}

// patience bounds how long a household asks again; pause is between two times, and
// as much again by chance. Source: local.
const (
	patience = 20 * time.Second
	pause    = 20 * time.Millisecond
)

// ask gets a license of a title: in the session that stands, or with a new one. Who
// is told to wait asks again.
func (h *household) ask(ctx context.Context, s *loadShop, title ident.Content) (sltp.Reply, error) {
	body, err := sltp.LicenseRequest{
		What: sltp.Reference{Content: title}, Permission: uint8(permission.Play), Level: 1,
		Subject: sltp.Subject{Kind: sltp.SubjectDomain, ID: h.domain, Generation: 1},
	}.Encode()
	if err != nil {
		return sltp.Reply{}, err
	}
	now := time.Now() //nolint:forbidigo // a household's clock
	req := sltp.Request{Purpose: sltp.PurposeLicense, ReqID: ident.NewRequest(), ClockMS: now.UnixMilli(), Quality: 2, Body: body}
	for last := now.Add(patience); ; h.again++ {
		r, err := h.once(ctx, s, req, now)
		if err == nil || now.After(last) || !errors.Is(err, errSilence) && !errors.Is(err, lrp.ErrLost) {
			return r, err
		}
		h.forget(s)
		if err := wait(ctx, pause+rand.N(pause)); err != nil { //nolint:gosec // a pause is no secret
			return r, err
		}
		now = time.Now() //nolint:forbidigo // as above
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (h *household) once(ctx context.Context, s *loadShop, req sltp.Request, now time.Time) (r sltp.Reply, err error) {
	var msgs []sltp.Message
	if session, ok := h.live[s]; ok {
		if msgs, err = h.end.Request(session, req, now); err != nil {
			delete(h.live, s) // it has served its time
		}
	}
	if len(msgs) == 0 {
		if h.live[s], msgs, err = h.end.Open(s.Device, req, now); err != nil {
			return r, err
		}
	}
	events, err := h.carry(ctx, s, msgs, now)
	if err != nil {
		return r, err
	}
	for _, ev := range events {
		switch ev := ev.(type) {
		case sltp.EventReply:
			if ev.Reply.Status != sltp.StatusDone {
				e, err := sltp.ParseError(ev.Reply.Body)
				return r, errors.Join(fmt.Errorf("%w: %v", errRefused, e.Code), err)
			}
			return ev.Reply, nil
		case sltp.EventFailed:
			if ev.Alert != sltp.AlertBusy && ev.Alert != sltp.AlertUnknownSession {
				return r, ev.Err
			}
		}
	}
	return r, errSilence
}

// carry brings messages to the shop and its answers back, until neither side has
// more to say.
func (h *household) carry(ctx context.Context, s *loadShop, queue []sltp.Message, now time.Time) (events []sltp.Event, err error) {
	tx := lrp.NewTransaction(lrp.Addr(s.Device), lrp.Addr(h.id), now, lrp.Life)
	link := lrphttp.Client{URL: s.URL, HTTP: h.http}
	for len(queue) > 0 {
		body, err := lrp.SLTP{CID: queue[0].CID, Message: queue[0].Bytes}.Encode()
		if err != nil {
			return nil, err
		}
		queue = queue[1:]
		answers, err := link.Exchange(ctx, tx.Next(lrp.TypeSLTP, body))
		if err != nil {
			return nil, err
		}
		for _, f := range answers {
			if err := tx.Check(f); err != nil {
				return nil, fmt.Errorf("%w: %w", errSilence, err)
			}
			m, err := lrp.ParseSLTP(f.Body)
			if err != nil {
				return nil, err
			}
			out, ev := h.end.Receive(sltp.Message{CID: m.CID, Bytes: m.Message}, now)
			queue, events = append(queue, out...), append(events, ev...)
		}
	}
	return events, nil
}

// fetch is one request of HTTP that must succeed.
func (h *household) fetch(ctx context.Context, s *loadShop, method, path, typ string, body []byte) ([]byte, error) {
	at := path
	if !strings.Contains(at, "://") {
		at = s.URL + path
	}
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if typ != "" {
		req.Header.Set("Content-Type", typ)
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	res, err := h.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	data, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP status %d of %s", res.StatusCode, path)
	}
	return data, err
}
