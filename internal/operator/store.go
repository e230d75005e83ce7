package operator

import (
	"context"

	"github.com/lares-drm/lares/internal/audit"
)

// Store keeps what a desk must not forget. internal/store implements it in the
// issuer's database; its rules are those of service/issuer's Store.
type Store interface {
	Update(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	View(ctx context.Context, fn func(ctx context.Context, r Reader) error) error
}

// Reader reads one consistent state.
type Reader interface {
	Keys(ctx context.Context) ([]Key, error)
	Key(ctx context.Context, id KeyID) (Key, error)
	Session(ctx context.Context, hash Hash) (Session, error)
	// Proposals returns at most limit proposals behind a place, newest first.
	Proposals(ctx context.Context, after ProposalPlace, limit int) ([]Proposal, error)
	Proposal(ctx context.Context, id ProposalID) (Proposal, error)
	AuditReader
}

// AuditReader reads the log.
type AuditReader interface {
	// Entries returns at most limit entries behind after, in their order.
	Entries(ctx context.Context, after uint64, limit int) ([]audit.Entry, error)
	// Latest returns at most limit entries before seq before, newest first.
	Latest(ctx context.Context, before uint64, limit int) ([]audit.Entry, error)
	// LastEntry returns how long the log is and its newest entry's hash.
	LastEntry(ctx context.Context) (seq uint64, hash audit.Hash, err error)
	// LastBefore returns the newest entry that is older than a time.
	LastBefore(ctx context.Context, at int64) (audit.Entry, error)
	// Heads returns the signed heads, by day.
	Heads(ctx context.Context) ([]DayHead, error)
}

// DayHead is the signed head of a day.
type DayHead struct {
	Day    string
	Seq    uint64
	Signed []byte
}

// Tx is a transaction that may write.
type Tx interface {
	Reader
	KeyTx
	SessionTx
	ProposalTx
	// AppendAudit gives an entry its place in the log: Seq and Prev are filled in.
	AppendAudit(ctx context.Context, e audit.Entry) (audit.Entry, error)
	// PutHead records a day's head; a day that has one keeps it.
	PutHead(ctx context.Context, h DayHead) error
}

// KeyTx keeps API keys.
type KeyTx interface {
	PutKey(ctx context.Context, k Key) error
	// RevokeKey ends a key at a time; ok is false when there is none that stands.
	RevokeKey(ctx context.Context, id KeyID, at int64) (ok bool, err error)
}

// SessionTx keeps who is signed in.
type SessionTx interface {
	// PutSession records a session, and forgets those that are over at its start.
	PutSession(ctx context.Context, s Session) error
	DropSession(ctx context.Context, hash Hash) error
}

// ProposalTx keeps proposals.
type ProposalTx interface {
	// PutProposal records a proposal; fresh is false when its ID is taken.
	PutProposal(ctx context.Context, p Proposal) (fresh bool, err error)
	// SetProposal replaces state, decider and time of a proposal that is in a
	// state; ok is false when it is not.
	SetProposal(ctx context.Context, p Proposal, from ProposalState) (ok bool, err error)
}
