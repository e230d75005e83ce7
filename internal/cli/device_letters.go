package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// resendAfter is how long after a letter was sent the same thing is sent again. Source: local.
const resendAfter = 24 * time.Hour

// post is the device's exchange of letters with its house: it takes what waits
// there, sends what its module has to say, and returns what that led to.
type post struct {
	d    *device
	env  *Env
	self ident.Device
	link *http.Client
}

func (d *device) post(ctx context.Context, env *Env) (*post, error) {
	if d.cfg.Home == "" {
		return nil, errors.New("this device belongs to no house yet: lares device pair")
	}
	st, err := d.trem.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &post{d: d, env: env, self: st.Device, link: d.house(st.Device)}, nil
}

// exchange brings everything up to date that can be now. An error of the house
// is "later": nothing is lost, the next command goes on.
func (p *post) exchange(ctx context.Context) ([]trem.Event, error) {
	if err := p.d.renew(ctx); err != nil {
		return nil, err
	}
	p.d.look(ctx, p.env, meetsHouse)
	courier := p.courier()
	p.d.finish(ctx, courier, wish{}) // what was asked of the house waits for the asker, in a session
	p.d.settle(ctx, courier)
	events, err := p.letters(ctx)
	if err != nil {
		return events, err
	}
	p.d.keepLogs(ctx, p.self)
	return events, p.d.save()
}

// letters says what this device has to say (what is on its way, that it is there, and
// what it gives back of what others want), takes what waits at the house, and says what
// came of that. A device that was away for long is a member again by the first.
func (p *post) letters(ctx context.Context) ([]trem.Event, error) {
	events, err := p.say(ctx)
	if err != nil {
		return events, err
	}
	more, err := p.fetch(ctx)
	if events = append(events, more...); err != nil {
		return events, err
	}
	more, err = p.say(ctx)
	return append(events, more...), err
}

// say sends what the module has to say now.
func (p *post) say(ctx context.Context) ([]trem.Event, error) {
	got, err := p.d.trem.Letters(ctx)
	if err != nil {
		return nil, err
	}
	events := got.Events
	for _, l := range got.Letters {
		if l.Again && p.env.Now().Sub(p.d.cfg.Sent[topicOf(l)]) < resendAfter {
			continue
		}
		more, err := p.send(ctx, l)
		if events = append(events, more...); err != nil {
			return events, err
		}
	}
	return events, nil
}

func (p *post) courier() *http.Courier {
	return &http.Courier{Module: p.d.trem, Link: p.link, Src: p.self, Dst: p.d.cfg.Server, Now: p.env.Now}
}

// topicOf names what a letter says: what has taken its place since is sent at once.
func topicOf(l trem.Letter) string { return fmt.Sprintf("%x/%x", l.Topic, l.Says) }

// fetch takes the letters that wait at the house.
func (p *post) fetch(ctx context.Context) (events []trem.Event, err error) {
	data, err := p.waiting(ctx)
	if err != nil {
		return nil, err
	}
	var v struct {
		Letters []home.Letter `json:"letters"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("read the house's letters: %w", err)
	}
	waits := false
	for _, l := range v.Letters {
		got, err := p.d.trem.Post(ctx, l.Bytes)
		if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeState {
			waits = true // this device knows less of the time than the writer: it stays
			continue
		}
		if err != nil && !isRejected(err) {
			return events, err
		}
		if !waits {
			p.d.cfg.Read = l.Number
		}
		events = append(events, got.Events...)
		more, err := p.all(ctx, got.Letters)
		if events = append(events, more...); err != nil {
			return events, err
		}
	}
	return events, p.d.save()
}

// maxLetters bounds the answer with what waits, in bytes: a full box in base64.
const maxLetters = 8 << 20

// waiting asks the house for this device's letters, as this device.
func (p *post) waiting(ctx context.Context) ([]byte, error) {
	res, err := p.d.linked(ctx, p.self, func() (*nethttp.Request, error) {
		at := strings.TrimSuffix(p.d.cfg.Home, "/") + home.PathLetters + "/" + p.self.String() + fmt.Sprintf("?after=%d", p.d.cfg.Read)
		return nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, at, nil)
	})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxLetters+1))
	switch {
	case err != nil:
		return nil, later("the house does not answer: %w", err)
	case res.StatusCode != nethttp.StatusOK || len(data) > maxLetters:
		return nil, fmt.Errorf("read the house's letters: %s", res.Status)
	}
	return data, nil
}

// isRejected: a letter that nobody may send is passed over for ever.
func isRejected(err error) bool {
	e, ok := errors.AsType[*trem.Error](err)
	return ok && (e.Code == trem.CodeRejected || e.Code == trem.CodeUnknown)
}

// letterLife is how long a letter may be on its way. Source: docs/spec/lrp.md section 7.
const letterLife = home.MailLife

// send gives a letter to the house, for itself or for a member, and takes what
// it answers.
func (p *post) send(ctx context.Context, l trem.Letter) (events []trem.Event, err error) {
	f, err := p.d.letterFrame(p.env, p.self, l)
	if err != nil {
		return nil, err
	}
	answers, err := p.link.Exchange(ctx, f)
	if err != nil {
		return nil, later("the house does not answer: %w", err)
	}
	p.sent(l)
	for _, a := range answers {
		if a.Type == lrp.TypeError {
			e, err := lrp.ParseError(a.Body)
			if err != nil {
				return events, err
			}
			delete(p.d.cfg.Sent, topicOf(l))
			return events, later("the house did not take it: %w", e)
		}
		m, err := lrp.ParseSLTP(a.Body)
		if a.Type != lrp.TypeSLTP || err != nil || !trem.IsLetter(m.Message) {
			continue
		}
		got, err := p.d.trem.Post(ctx, m.Message)
		if err != nil && !isRejected(err) {
			return events, err
		}
		events = append(events, got.Events...)
		more, err := p.all(ctx, got.Letters)
		if events = append(events, more...); err != nil {
			return events, err
		}
	}
	return events, p.d.save()
}

// maxSent bounds what is remembered of letters. Source: local.
const maxSent = 512

func (p *post) sent(l trem.Letter) {
	now := p.env.Now()
	if p.d.cfg.Sent == nil || len(p.d.cfg.Sent) >= maxSent {
		p.d.cfg.Sent = map[string]time.Time{}
	}
	p.d.cfg.Sent[topicOf(l)] = now.UTC().Truncate(time.Second)
}

// all sends letters one after the other, up to the first that cannot go.
func (p *post) all(ctx context.Context, letters []trem.Letter) (events []trem.Event, err error) {
	for _, l := range letters {
		more, err := p.send(ctx, l)
		if events = append(events, more...); err != nil {
			return events, err
		}
	}
	return events, nil
}

// recipient asks the house for a device's card.
func (p *post) recipient(ctx context.Context, name string) (home.Recipient, error) {
	at := strings.TrimSuffix(p.d.cfg.Home, "/") + home.PathRecipients + "/" + url.PathEscape(name)
	get := func() ([]byte, error) { return fetch(ctx, p.d.web(), at) }
	if p.d.remote() {
		get = func() ([]byte, error) { return p.d.linkedTo(ctx, p.self, at) }
	}
	data, err := get()
	if err != nil {
		return home.Recipient{}, fmt.Errorf("%q is no device of this house, or it has to be paired again: %w", name, err)
	}
	var r home.Recipient
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read the house's answer: %w", err)
	}
	return r, nil
}

// names are what the devices of open transfers are called, as far as the house
// says it now.
func (p *post) names(ctx context.Context, list []trem.Transfer) map[ident.Device]string {
	out := map[ident.Device]string{p.d.cfg.Server: "the house"}
	for _, t := range list {
		if _, ok := out[t.Peer]; ok {
			continue
		}
		if r, err := p.recipient(ctx, t.Peer.String()); err == nil {
			out[t.Peer] = r.Name
		}
	}
	return out
}
