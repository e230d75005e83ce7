package conform

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/service/authority"
)

// letter is the first element of a message that is a letter. Source: docs/spec/transfer.md.
const letter = -62229

func gossipChecks() []check {
	at := []Role{Home}
	return []check{
		{"lrp.md 11", "a question for HEAD gets one piece, the claim of the epoch that HELLO claims", at, func(ctx context.Context, s *subject) error {
			h, err := s.agree(ctx, offer())
			if err != nil {
				return err
			}
			got, err := s.question(ctx, lrp.GossipHead, 0, 0)
			if err != nil {
				return err
			}
			if len(got) != 1 || got[0].Kind != lrp.GossipHead || got[0].Offset != 0 || got[0].Total != uint64(len(got[0].Bytes)) {
				return fmt.Errorf("expected one piece of HEAD that is the whole, seen %s", pieces(got))
			}
			if _, err := revocation.ParseClaim(got[0].Bytes); err != nil {
				return fmt.Errorf("expected a Claim (revocation.md), seen %d bytes: %w", len(got[0].Bytes), err)
			}
			if got[0].Epoch != h.Epoch {
				return fmt.Errorf("expected epoch %d, as HELLO says, seen %d", h.Epoch, got[0].Epoch)
			}
			return nil
		}},
		{"lrp.md 11", "the whole state comes in parts that follow each other, and is the one that the head is of", at, checkWhole},
		{"lrp.md 11", "what it has not is answered with no frame", at, func(ctx context.Context, s *subject) error {
			got, err := s.question(ctx, lrp.GossipDelta, 1<<40, 0)
			if err == nil && len(got) != 0 {
				err = fmt.Errorf("a step from an epoch that nobody has: expected no frame, seen %s", pieces(got))
			}
			return err
		}},
		{"lrp.md 11", "a GOSSIP body of another layout is ERROR MALFORMED", at, func(ctx context.Context, s *subject) error {
			got, _, err := s.send(ctx, s.frame(lrp.TypeGossip, []byte{0x81, 0xf6}))
			return wantError("an array of one", got, err, lrp.CodeMalformed)
		}},
	}
}

// question asks for pieces of a state.
func (s *subject) question(ctx context.Context, kind lrp.GossipKind, epoch, offset uint64) ([]lrp.Gossip, error) {
	body, err := lrp.Gossip{Kind: lrp.GossipAsk, Want: kind, Epoch: epoch, Offset: offset, Bytes: []byte{}}.Encode()
	if err != nil {
		return nil, err
	}
	got, _, err := s.send(ctx, s.frame(lrp.TypeGossip, body))
	if err != nil {
		return nil, err
	}
	var out []lrp.Gossip
	for _, f := range got {
		g, err := lrp.ParseGossip(f.Body)
		if f.Type != lrp.TypeGossip || err != nil || g.Kind != kind {
			return nil, fmt.Errorf("a question: expected pieces of kind %d, seen %s", kind, frames(got))
		}
		out = append(out, g)
	}
	return out, nil
}

func pieces(all []lrp.Gossip) string {
	out := "no piece"
	for i, g := range all {
		if i == 0 {
			out = ""
		}
		out += fmt.Sprintf("[kind %d, epoch %d, bytes %d to %d of %d]", g.Kind, g.Epoch, g.Offset, g.Offset+uint64(len(g.Bytes)), g.Total)
	}
	return out
}

// checkWhole gathers a state by GOSSIP and compares it with the same over HTTP.
func checkWhole(ctx context.Context, s *subject) error {
	var whole []byte
	for {
		got, err := s.question(ctx, lrp.GossipSnapshot, 0, uint64(len(whole)))
		if err != nil {
			return err
		}
		if len(got) == 0 {
			return fmt.Errorf("from byte %d on: expected parts, seen no frame", len(whole))
		}
		for _, g := range got {
			if g.Offset != uint64(len(whole)) || g.Total < g.Offset+uint64(len(g.Bytes)) || len(g.Bytes) == 0 {
				return fmt.Errorf("expected parts from byte %d on, seen %s", len(whole), pieces(got))
			}
			whole = append(whole, g.Bytes...)
		}
		if uint64(len(whole)) == got[0].Total {
			break
		}
	}
	a, err := s.wantStatus(ctx, "the same over HTTP", http.MethodGet, authority.PathSnapshot, "", nil, http.StatusOK)
	if err == nil && !bytes.Equal(a.body, whole) {
		err = fmt.Errorf("expected the %d bytes that GET %s gives, seen %d others", len(a.body), authority.PathSnapshot, len(whole))
	}
	return err
}

func mailChecks() []check {
	at := []Role{Home}
	return []check{
		{"lrp.md 7, 8", "a mailbox is opened on a link that its member has proven itself on, and on no other: 403", at, func(ctx context.Context, s *subject) error {
			var forged lrp.LinkID
			rand.Read(forged[:]) // never returns an error
			var errs []error
			for _, path := range []string{lettersOf(me(), 0), lrphttp.Path + "?after=0"} {
				for what, header := range map[string][]string{"without a link": nil, "on a link that it has not named": {lrphttp.LinkHeader, forged.Header()}} {
					a, err := s.ask(ctx, http.MethodGet, path, "", nil, header...)
					if err == nil && a.status != http.StatusForbidden {
						err = fmt.Errorf("%s %s: expected HTTP status 403, seen %d", path, what, a.status)
					}
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		}},
		{"lrp.md 7", "a frame for a member, of a sender that is not proven, is ERROR UNPROVEN", at, func(ctx context.Context, s *subject) error {
			from, to, err := s.members()
			if err != nil {
				return err
			}
			f, err := letterFor(from, to, s.cfg.Now())
			if err != nil {
				return err
			}
			got, _, err := s.send(ctx, f)
			return wantError("without a link", got, err, lrp.CodeUnproven)
		}},
		{"lrp.md 7", "a member's frame is ACK when it is kept, and comes with an ascending number; the same topic takes the place of the older one", at, checkBox},
	}
}

// members are two of the house, by its owner's leave.
func (s *subject) members() (from, to lrp.Introduction, err error) {
	if len(s.cfg.Members) != 2 {
		return from, to, lacking("the judge has no two members of this house: give --member twice")
	}
	from, to = s.cfg.Members[0], s.cfg.Members[1]
	from.Relay, to.Relay = s.addr, s.addr
	return from, to, nil
}

func lettersOf(who lrp.Addr, after uint64) string {
	return fmt.Sprintf("/house/v1/letters/%x?after=%d", who[:], after)
}

// letterFor is a letter from one member to another that says nothing, and is soon over.
func letterFor(from, to lrp.Introduction, now time.Time) (lrp.Frame, error) {
	says := make([]byte, 16)
	rand.Read(says) // never returns an error
	message, err := sequence(letter, says)
	if err != nil {
		return lrp.Frame{}, err
	}
	body, err := lrp.SLTP{Message: message}.Encode()
	return lrp.NewTransaction(to.Self, from.Self, now, 30*time.Second).Next(lrp.TypeSLTP, body), err
}

func checkBox(ctx context.Context, s *subject) error {
	from, to, err := s.members()
	if err != nil {
		return err
	}
	there, _, err := lrp.Introduce(ctx, from, s.cfg.Now(), s.sendOn)
	if err != nil {
		return fmt.Errorf("who writes proves itself: %w", err)
	}
	here, _, err := lrp.Introduce(ctx, to, s.cfg.Now(), s.sendOn)
	if err != nil {
		return fmt.Errorf("who reads proves itself: %w", err)
	}
	first, err := letterFor(from, to, s.cfg.Now())
	if err != nil {
		return err
	}
	other, err := letterFor(from, to, s.cfg.Now())
	if err != nil {
		return err
	}
	again := first
	again.Body, again.Seq = other.Body, 1
	var last uint64
	for _, f := range []lrp.Frame{first, again} {
		got, err := s.sendOn(ctx, there, f)
		if err != nil {
			return err
		}
		if len(got) != 1 || got[0].Type != lrp.TypeAck {
			return fmt.Errorf("a letter to a member: expected ACK, seen %s", frames(got))
		}
		if last, err = s.boxHas(ctx, here, f, last); err != nil {
			return err
		}
	}
	return nil
}

// boxed is a letter as the house lists it.
type boxed struct {
	Number uint64 `json:"number"`
	Topic  string `json:"topic"`
	Bytes  []byte `json:"bytes"`
}

// boxHas wants that exactly one frame of a topic is in the box, this one, and above a
// number; both ways to fetch say so.
func (s *subject) boxHas(ctx context.Context, link lrp.LinkID, f lrp.Frame, after uint64) (uint64, error) {
	a, err := s.ask(ctx, http.MethodGet, lettersOf(f.Dst, 0), "", nil, lrphttp.LinkHeader, link.Header())
	var listed struct {
		Letters []boxed `json:"letters"`
	}
	if err != nil || a.status != http.StatusOK || decode(a, &listed) != nil {
		return 0, fmt.Errorf("the member's letters: expected HTTP status 200 and a list, seen %d, %w", a.status, err)
	}
	topic := base64.StdEncoding.EncodeToString(f.Tx[:])
	mine := slices.DeleteFunc(listed.Letters, func(l boxed) bool { return l.Topic != topic })
	says, err := lrp.ParseSLTP(f.Body)
	if err != nil {
		return 0, err
	}
	if len(mine) != 1 || mine[0].Number <= after || !bytes.Equal(mine[0].Bytes, says.Message) {
		return 0, fmt.Errorf("expected one letter of the topic, the newest, above number %d, seen %d", after, len(mine))
	}
	a, err = s.ask(ctx, http.MethodGet, fmt.Sprintf("%s?after=%d", lrphttp.Path, mine[0].Number-1), "", nil, lrphttp.LinkHeader, link.Header())
	if err != nil || a.status != http.StatusOK || a.typ != lrphttp.TypeKept {
		return 0, fmt.Errorf("the way back: expected HTTP status 200 and %s, seen %d, %q, %w", lrphttp.TypeKept, a.status, a.typ, err)
	}
	kept, err := lrp.ParseKeptSequence(a.body, lrp.MaxFrames)
	if err != nil || len(kept) == 0 || kept[0].Number != mine[0].Number || !bytes.Equal(kept[0].Frame.Body, f.Body) {
		return 0, fmt.Errorf("the way back above number %d: expected the letter first, seen %d records, %w", mine[0].Number-1, len(kept), err)
	}
	return mine[0].Number, nil
}

// sendOn is send on a link.
func (s *subject) sendOn(ctx context.Context, link lrp.LinkID, f lrp.Frame) ([]lrp.Frame, error) {
	if link == (lrp.LinkID{}) {
		got, _, err := s.send(ctx, f)
		return got, err
	}
	data, err := f.Encode()
	if err != nil {
		return nil, err
	}
	a, err := s.ask(ctx, http.MethodPost, lrphttp.Path, lrphttp.TypeFrame, data, lrphttp.LinkHeader, link.Header())
	if err == nil && (a.status != http.StatusOK || a.typ != lrphttp.TypeFrames) {
		err = fmt.Errorf("a frame on a link: expected HTTP status 200 and %s, seen %d, %q", lrphttp.TypeFrames, a.status, a.typ)
	}
	if err != nil {
		return nil, err
	}
	return lrp.ParseSequence(a.body, lrp.MaxFrames)
}
