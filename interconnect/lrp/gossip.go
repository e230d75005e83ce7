package lrp

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// GossipKind says what a piece of gossip holds. Source: local, docs/spec/lrp.md section 11.
type GossipKind uint8

// The kinds. A piece is opaque here; the module of the reader judges the whole.
const (
	GossipAsk      GossipKind = 0 // no bytes: what the asker knows (Epoch), and from where on (Offset) it wants Want
	GossipHead     GossipKind = 1
	GossipDelta    GossipKind = 2 // from Epoch's state to the head's
	GossipPage     GossipKind = 3
	GossipSnapshot GossipKind = 4 // a part of the whole
)

// Limits of gossip. Source: local.
const (
	// MaxPiece is the most bytes of one piece.
	MaxPiece = MaxBody - 64
	// MaxGossip is the longest whole in bytes that a Gathering takes.
	MaxGossip = 64 << 20
)

// Gossip is the body of a GOSSIP frame: a piece of a revocation state, or the
// question for one.
type Gossip struct {
	_      struct{} `cbor:",toarray"`
	Kind   GossipKind
	Want   GossipKind // of GossipAsk: which kind; else equal to Kind
	Epoch  uint64
	Offset uint64 // of the first byte in the whole
	Total  uint64 // bytes of the whole; 0 in a question
	Bytes  []byte
}

// ParseGossip reads the body of a GOSSIP frame.
func ParseGossip(body []byte) (Gossip, error) {
	var g Gossip
	if err := wire.Unmarshal(body, &g, wire.Limit{Bytes: MaxBody, Items: 6, Depth: 1}); err != nil {
		return Gossip{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return g, g.check()
}

// Encode returns the body.
func (g Gossip) Encode() ([]byte, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	return wire.Marshal(g)
}

func (g Gossip) check() error {
	ask := g.Kind == GossipAsk
	switch {
	case g.Kind > GossipSnapshot || g.Want < GossipHead || g.Want > GossipSnapshot || !ask && g.Want != g.Kind:
		return fmt.Errorf("%w: kind of gossip", ErrFrame)
	case g.Bytes == nil || len(g.Bytes) > MaxPiece || g.Total > MaxGossip || g.Offset > MaxGossip:
		return fmt.Errorf("%w: length of gossip", ErrFrame)
	case ask && (len(g.Bytes) > 0 || g.Total > 0):
		return fmt.Errorf("%w: a question that says something", ErrFrame)
	case !ask && (len(g.Bytes) == 0 || g.Offset+uint64(len(g.Bytes)) > g.Total):
		return fmt.Errorf("%w: piece outside the whole", ErrFrame)
	}
	return nil
}

// Pieces answers a question from the whole that is asked for: what fits into one
// answer, from the offset on.
func (g Gossip) Pieces(epoch uint64, whole []byte) (out []Gossip) {
	for at := g.Offset; at < uint64(len(whole)) && len(out) < MaxFrames; at += MaxPiece {
		end := min(at+MaxPiece, uint64(len(whole)))
		out = append(out, Gossip{Kind: g.Want, Want: g.Want, Epoch: epoch, Offset: at, Total: uint64(len(whole)), Bytes: whole[at:end]})
	}
	return out
}

// ErrGossip is returned for a piece that does not continue what was gathered.
var ErrGossip = errors.New("lrp: this piece does not continue the others")

// Gathering puts a whole together from pieces that come in order. A piece of
// another epoch or length begins it anew: the state has changed meanwhile. What is
// gathered is not proven; the module that reads it checks every byte.
type Gathering struct {
	Want  GossipKind
	epoch uint64
	total uint64
	whole []byte
}

// Ask is the question for what is missing. known is the newest epoch that the
// asker's module has verified.
func (g *Gathering) Ask(known uint64) Gossip {
	return Gossip{Kind: GossipAsk, Want: g.Want, Epoch: known, Offset: uint64(len(g.whole)), Bytes: []byte{}}
}

// Take adds a piece. done is the whole, once it is there.
func (g *Gathering) Take(p Gossip) (done []byte, err error) {
	if p.Kind != g.Want {
		return nil, fmt.Errorf("%w: another kind", ErrGossip)
	}
	if p.Epoch != g.epoch || p.Total != g.total {
		if p.Offset != 0 {
			g.whole, g.total = nil, 0
			return nil, fmt.Errorf("%w: it is of another state", ErrGossip)
		}
		g.epoch, g.total, g.whole = p.Epoch, p.Total, nil
	}
	if p.Offset != uint64(len(g.whole)) {
		return nil, fmt.Errorf("%w: it begins elsewhere", ErrGossip)
	}
	g.whole = append(g.whole, p.Bytes...)
	if uint64(len(g.whole)) < g.total {
		return nil, nil
	}
	done, g.whole, g.total = g.whole, nil, 0
	return done, nil
}

// Content is the body of a CONTENT frame: where protected content can be had by
// HTTP. A question has no URL. Source: local, docs/spec/lrp.md section 11.
type Content struct {
	_      struct{} `cbor:",toarray"`
	ID     []byte   // content ID, 1 to 64 bytes
	URL    string   // at most 1,024 bytes; empty in a question
	SHA256 []byte   // 32 bytes of the whole, empty in a question or when unknown
	Ranges [][2]uint64
}

// Limits of CONTENT. Source: local.
const (
	maxContentID  = 64
	maxContentURL = 1024
	maxRanges     = 64
)

// ParseContent reads the body of a CONTENT frame.
func ParseContent(body []byte) (Content, error) {
	var c Content
	if err := wire.Unmarshal(body, &c, wire.Limit{Bytes: 4096, Items: 4 + 3*maxRanges, Depth: 3}); err != nil {
		return Content{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return c, c.check()
}

// Encode returns the body.
func (c Content) Encode() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return wire.Marshal(c)
}

func (c Content) check() error {
	if len(c.ID) == 0 || len(c.ID) > maxContentID || len(c.URL) > maxContentURL || c.SHA256 == nil || c.Ranges == nil || len(c.Ranges) > maxRanges ||
		len(c.SHA256) != 0 && len(c.SHA256) != 32 {
		return fmt.Errorf("%w: CONTENT", ErrFrame)
	}
	if c.URL == "" && len(c.SHA256)+len(c.Ranges) > 0 {
		return fmt.Errorf("%w: a question that says something", ErrFrame)
	}
	var last uint64
	for _, r := range c.Ranges { // [first, end): ascending, apart from each other
		if r[0] >= r[1] || r[0] < last {
			return fmt.Errorf("%w: ranges of CONTENT", ErrFrame)
		}
		last = r[1]
	}
	return nil
}
