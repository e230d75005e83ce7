package transfer

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// Record is what a machine wants durable before anything it returned is sent.
type Record struct {
	Kind uint8
	Body []byte // deterministic CBOR
}

// Kinds of records. 0x40 to 0x4f are the source's, 0x50 to 0x5f the
// destination's, 0x60 to 0x6f the arbiter's. Source: local, docs/spec/transfer.md.
const (
	KindPrepare        = 0x40
	KindCommit         = 0x41
	KindAbort          = 0x42
	KindSourceEvidence = 0x43
	KindSourcePair     = 0x44 // compaction: the sequence numbers used
	KindLend           = 0x45 // LEND and its renewals
	KindReturned       = 0x46 // a loan given back
	KindExpired        = 0x47 // a loan whose end is proven
	KindRelease        = 0x48 // ABORT by the arbiter
	KindCancel         = 0x49 // CANCEL goes out from now on
	KindInstall        = 0x50
	KindRefuse         = 0x51
	KindLow            = 0x52
	KindEvidence       = 0x53
	KindDestPair       = 0x54 // compaction: watermark and outcomes
	KindBorrow         = 0x55 // INSTALL of a loan, and its renewals
	KindGaveBack       = 0x56 // RETURN: the tombstone of a loan
	KindBorrowed       = 0x57 // compaction: a loan that its lender has not closed
	KindConfirm        = 0x58 // the arbiter's CONFIRM
	KindReleased       = 0x59 // the arbiter's RELEASE, at the destination
	KindDecision       = 0x60 // the arbiter's
)

// Anchored reports whether a batch that holds this record must be anchored:
// all that move a right or a refusal; not the watermark, which DONE repeats.
func (r Record) Anchored() bool { return r.Kind != KindLow }

// Known reports whether kind is a kind of this package.
func Known(kind uint8) bool {
	return kind >= KindPrepare && kind <= KindCancel || kind >= KindInstall && kind <= KindReleased || kind == KindDecision
}

// Errors of the machines.
var (
	// ErrFull is returned when as many transfers of the pair are open as may be.
	ErrFull = errors.New("transfer: too many open transfers with this module")
	// ErrUnknown is returned for a transfer that this side knows nothing of.
	ErrUnknown = errors.New("transfer: no such transfer")
	// ErrForeign is returned for a message that is not between these two modules.
	ErrForeign = errors.New("transfer: it is not for this module")
	// ErrDropped is returned for a message whose numbers no correct source sends.
	ErrDropped = errors.New("transfer: sequence number or watermark out of bounds")
	// ErrNeedsRelease is returned for a refusal that does not give the right
	// back: by a revoked destination, after evidence against it, or because of a
	// RELEASE that has not come here yet.
	ErrNeedsRelease = errors.New("transfer: only the arbiter's RELEASE can end this transfer")
	// ErrLater is for judges: the transfer cannot be judged now; nothing is
	// decided, and the source will repeat it.
	ErrLater = errors.New("transfer: not now")
	// ErrRecord is returned for a record that does not fit what came before it.
	ErrRecord = errors.New("transfer: record out of order")
)

type prepareRecord struct {
	_       struct{} `cbor:",toarray"`
	TID     ident.Transfer
	Hash    [sha256.Size]byte
	Leaf    []byte // SHA-256 of the destination's certificate; null when not known
	Request ident.Request
	Body    []byte
}

// endRecord is COMMIT and ABORT.
type endRecord struct {
	_   struct{} `cbor:",toarray"`
	TID ident.Transfer
}

// sourcePairRecord comes before the PREPARE records that are still open.
type sourcePairRecord struct {
	_           struct{} `cbor:",toarray"`
	Dst         ident.Device
	Incarnation ident.Incarnation
	Last        uint64
	Requests    []closedRequest // of closed transfers, oldest first
}

type closedRequest struct {
	_       struct{} `cbor:",toarray"`
	Seq     uint64
	Request ident.Request
}

type installRecord struct {
	_    struct{} `cbor:",toarray"`
	TID  ident.Transfer
	Hash [sha256.Size]byte
	Body []byte
}

type refuseRecord struct {
	_      struct{} `cbor:",toarray"`
	TID    ident.Transfer
	Hash   [sha256.Size]byte // zero when no body was seen
	Reason string
}

type lowRecord struct {
	_           struct{} `cbor:",toarray"`
	Src         ident.Device
	Incarnation ident.Incarnation
	Low         uint64
}

type destPairRecord struct {
	_           struct{} `cbor:",toarray"`
	Src         ident.Device
	Incarnation ident.Incarnation
	Low         uint64
	High        uint64
	Outcomes    []keptOutcome // by sequence number
}

type keptOutcome struct {
	_       struct{} `cbor:",toarray"`
	Seq     uint64
	Verdict Verdict
	Hash    [sha256.Size]byte
	Reason  string
	suspect bool // an evidence record says so

	loan      *borrowed // KindBorrow and KindGaveBack; nil for a transfer and once it is closed
	confirmed bool      // KindConfirm; false once it is closed
}

var recordLimit = wire.Limit{Bytes: 4 << 20, Items: 2*Window + 8, Depth: 4}

func newRecord(kind uint8, body any) (Record, error) {
	b, err := wire.Marshal(body)
	return Record{Kind: kind, Body: b}, err
}

func read(r Record, v any) error {
	if err := wire.Unmarshal(r.Body, v, recordLimit); err != nil {
		return fmt.Errorf("transfer: record of kind %#x: %w", r.Kind, err)
	}
	return nil
}
