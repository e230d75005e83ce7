package trem

import (
	"context"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// The commands of healing. Source: local, docs/spec/witness.md.
const (
	CmdLog  Command = 45 // home server, member: the sealed log, for others to keep
	CmdHeal Command = 46 // the copy is the payload
	CmdKept Command = 47
	CmdHear Command = 48 // a HEAD of this module that a member keeps
)

// LogOrder is the body of CmdLog.
type LogOrder struct {
	Want [][32]byte `cbor:"1,keyasint"` // SHA-256 of the segments that the reply's payload shall have
}

// Log describes the log of a module as it is on its disk. A segment that another
// one follows does not change any more.
type Log struct {
	Incarnation ident.Incarnation `cbor:"1,keyasint"`
	Counter     uint64            `cbor:"2,keyasint"` // batches
	Segments    []LogSegment      `cbor:"3,keyasint"` // in order
}

// LogSegment is one segment of a log.
type LogSegment struct {
	_    struct{} `cbor:",toarray"`
	Hash [32]byte // SHA-256
	Size int64    // bytes
	Here bool     // it is in the payload, behind those before it
}

// LogSeen says how far a module has seen the log of a peer.
type LogSeen struct {
	Device      ident.Device      `cbor:"1,keyasint"`
	Incarnation ident.Incarnation `cbor:"2,keyasint"`
	Counter     uint64            `cbor:"3,keyasint"` // batches
	Head        []byte            `cbor:"4,keyasint"` // the peer's signed statement of that
}

// Healed is what came of CmdHeal.
type Healed struct {
	Counter uint64 `cbor:"1,keyasint"` // batches of the log now
	Dropped uint64 `cbor:"2,keyasint"` // batches of the log that was given up, from where the two part
}

// Log returns what the module's sealed log consists of, and, one after the
// other, those of its segments whose hashes are wanted.
func (c *Client) Log(ctx context.Context, want [][32]byte) (out Log, data []byte, err error) {
	if want == nil {
		want = [][32]byte{}
	}
	data, err = c.do(ctx, CmdLog, LogOrder{Want: want}, nil, &out)
	return out, data, err
}

// Heal gives a module that was set back a copy of its log: the segments in
// order. A copy that cannot take the log's place is an error with CodeRejected.
// Sessions and exchanges of the module end.
func (c *Client) Heal(ctx context.Context, segments [][]byte) (out Healed, err error) {
	payload, err := wire.Marshal(segments)
	if err != nil {
		return out, err
	}
	_, err = c.do(ctx, CmdHeal, None{}, payload, &out)
	return out, err
}

// Hear shows the module a HEAD of its own that a member keeps, as SLTP does: a
// module whose log does not contain it knows from then on that it was set back.
// A HEAD that it has not signed changes nothing.
func (c *Client) Hear(ctx context.Context, head []byte) error {
	_, err := call[None](ctx, c, CmdHear, head)
	return err
}

// Kept lists how far this module has seen the logs of others.
func (c *Client) Kept(ctx context.Context) ([]LogSeen, error) {
	return call[[]LogSeen](ctx, c, CmdKept, None{})
}
