package issuer

import (
	"context"
	"errors"

	"github.com/lares-drm/lares/license/ident"
)

// Errors of a Store.
var (
	// ErrNotFound: no such record.
	ErrNotFound = errors.New("issuer: no such record")
	// ErrConflict: a record of this name exists and differs.
	ErrConflict = errors.New("issuer: exists already and differs")
	// ErrBusy: the database did not answer in time. Whether a transaction happened
	// is not known; the same one, done again, finds out by its keys.
	ErrBusy = errors.New("issuer: the database does not answer; ask again")
)

// Store keeps what an issuer must not forget. internal/store implements it;
// internal/store/storetest is the suite that every implementation passes.
//
// When Update returns nil, everything fn did is durable; otherwise nothing of it
// is there. fn may run more than once, so it changes nothing that its next run reads;
// it must use the context that it is given, and must not keep tx. After a failure of
// the disk or the database every call fails: the process must end and start again.
type Store interface {
	Update(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	View(ctx context.Context, fn func(ctx context.Context, r Reader) error) error
	// Ahead reads what Issue will decide by. It need not be of one state.
	Ahead(ctx context.Context, a Asked) (Ahead, error)
	// License reads one license, as Reader does, by itself; ErrNotFound: there is none.
	License(ctx context.Context, domain ident.Domain, id ident.License) (License, error)
	// Issue records all of one license that counts, in one transaction, which a store
	// may share among several callers. ok is false, and nothing is recorded, when
	// something is not as it was foreseen: the request's key is claimed, the grant
	// ended, has another version or nothing left, or another number is next.
	Issue(ctx context.Context, is Issue) (ok bool, err error)
}

// Reader reads one consistent state.
type Reader interface {
	Contents(ctx context.Context) ([]Content, error)
	Offers(ctx context.Context) ([]Offer, error)
	Offer(ctx context.Context, id string) (Offer, error)
	// Grants returns at most limit grants behind after, in the order of domain and ID.
	Grants(ctx context.Context, after GrantKey, limit int) ([]Grant, error)
	Grant(ctx context.Context, key GrantKey) (Grant, error)
	Licenses(ctx context.Context, domain ident.Domain) ([]License, error)
	License(ctx context.Context, domain ident.Domain, id ident.License) (License, error)
	RequestReader
	CodeReader
	StockReader
	EndReader
	DomainReader
}

// EndReader reads what became of licenses, and the database's mark.
type EndReader interface {
	// End returns how a license ended before the end of its terms.
	End(ctx context.Context, domain ident.Domain, id ident.License) (End, error)
	// Mark returns the mark that a module has set last.
	Mark(ctx context.Context, module ident.Device) (Mark, error)
}

// RequestReader reads what a request comes to.
type RequestReader interface {
	// GrantsFor returns the household's grants of a content.
	GrantsFor(ctx context.Context, domain ident.Domain, content ident.Content) ([]Grant, error)
	// Used reports whether a license was issued for a grant.
	Used(ctx context.Context, key GrantKey) (bool, error)
}

// Asked is what a household asks for.
type Asked struct {
	Domain      ident.Domain
	Request     ident.Request
	Content     ident.Content
	Peer        ident.Device
	Incarnation ident.Incarnation // of the issuer's TREM
}

// Ahead is how a household stands before a request of it.
type Ahead struct {
	Claimed bool    // the request's key
	Grants  []Grant // of the content
	Last    uint64  // number that NextSeq gave last; 0 = none
}

// StockReader reads a library's copies.
type StockReader interface {
	// Stocks returns at most limit titles behind after, in the order of their IDs.
	Stocks(ctx context.Context, after ident.Content, limit int) ([]Stock, error)
	Stock(ctx context.Context, content ident.Content) (Stock, error)
	// Loans returns who has a copy, what comes back first first.
	Loans(ctx context.Context, content ident.Content) ([]CopyLoan, error)
	// Holds returns who waits, in their turn.
	Holds(ctx context.Context, content ident.Content) ([]Hold, error)
}

// CodeReader reads claim codes.
type CodeReader interface {
	// Batches returns at most limit batches behind after, in the order of their IDs.
	Batches(ctx context.Context, after BatchID, limit int) ([]Batch, error)
	Batch(ctx context.Context, id BatchID) (Batch, error)
	// Counts counts the codes of the batches from first to last, both with them. A batch
	// without codes is not in it.
	Counts(ctx context.Context, first, last BatchID) (map[BatchID]CodeCounts, error)
	// Codes returns the codes of a batch, in the order in which they were made.
	Codes(ctx context.Context, batch BatchID) ([]CodeRow, error)
	Code(ctx context.Context, hash CodeHash) (CodeRow, error)
}

// Tx is a transaction that may write.
type Tx interface {
	Reader
	ClaimTx
	GrantTx
	CountTx
	LicenseTx
	TransferTx
	ShelfTx
	CodeTx
	StockTx
	HoldTx
	RenewTx
	AuditTx
	EndTx
	DomainTx
	JoinTx
}

// EndTx keeps what becomes of licenses, and the database's mark.
type EndTx interface {
	// PutRenewal records the renewal of a license that is on its way; there is one at
	// most. Renewal returns it, DropRenewal forgets it.
	PutRenewal(ctx context.Context, r Renewal) error
	Renewal(ctx context.Context, domain ident.Domain, id ident.License) (Renewal, error)
	DropRenewal(ctx context.Context, domain ident.Domain, id ident.License) error
	// PutEnd records the end of a license. fresh is false when it has ended before.
	PutEnd(ctx context.Context, e End) (fresh bool, err error)
	PutMark(ctx context.Context, module ident.Device, m Mark) error
}

// ClaimTx makes requests idempotent.
type ClaimTx interface {
	// Claim records a request. fresh is false when its key was claimed before:
	// prior is then that claim.
	Claim(ctx context.Context, c Claim) (prior Claim, fresh bool, err error)
	// Answer sets what a claimed request was answered with.
	Answer(ctx context.Context, c Claim) error
}

// Issue is one license that counts, with what it is issued for.
type Issue struct {
	Claim    Claim // with its answer
	Grant    GrantKey
	Version  uint64 // of the grant
	License  License
	Transfer Transfer // its number is the one after the last
}

// GrantTx keeps grants.
type GrantTx interface {
	// PutGrant records a grant, and its household when it is new. fresh is
	// false when the ID is taken; nothing is written then.
	PutGrant(ctx context.Context, g Grant) (fresh bool, err error)
	RevokeGrant(ctx context.Context, key GrantKey) error
}

// CountTx changes counts, exactly.
type CountTx interface {
	// Debit takes one license from a grant; ok is false when none remains.
	Debit(ctx context.Context, key GrantKey) (ok bool, err error)
	Credit(ctx context.Context, key GrantKey) error
	// NextSeq returns the next number of transfers to a device in an
	// incarnation of the issuer's TREM: 1, 2, 3, …
	NextSeq(ctx context.Context, domain ident.Domain, peer ident.Device, in ident.Incarnation) (uint64, error)
}

// LicenseTx keeps what was issued.
type LicenseTx interface {
	// PutLicense records a license. fresh is false when it was issued before.
	PutLicense(ctx context.Context, l License) (fresh bool, err error)
	SetLicense(ctx context.Context, domain ident.Domain, id ident.License, state LicenseState) error
}

// TransferTx keeps hand-overs.
type TransferTx interface {
	// PutTransfer records a transfer, whose number NextSeq or Issue gave.
	PutTransfer(ctx context.Context, t Transfer) error
	// Transfer finds a transfer by its ID; a zero domain is looked for in all.
	Transfer(ctx context.Context, domain ident.Domain, id ident.Transfer) (Transfer, error)
	// CloseTransfer erases the sealed body.
	CloseTransfer(ctx context.Context, domain ident.Domain, id ident.Transfer) error
	// Low is the number up to which every transfer between the parties of id, in
	// its incarnation, is closed.
	Low(ctx context.Context, domain ident.Domain, id ident.Transfer) (uint64, error)
}

// ShelfTx keeps what can be granted.
type ShelfTx interface {
	PutContent(ctx context.Context, c Content) error
	Content(ctx context.Context, id ident.Content) (Content, error)
	// PutOffer records an offer or replaces the one of its name.
	PutOffer(ctx context.Context, o Offer) error
}

// CodeTx keeps claim codes.
type CodeTx interface {
	// PutBatch records a batch. fresh is false when its ID is taken; nothing is
	// written then. PutCode is the same for one code of it.
	PutBatch(ctx context.Context, b Batch) (fresh bool, err error)
	PutCode(ctx context.Context, c CodeRow) (fresh bool, err error)
	// RedeemCode gives the code of c.Hash to c.Domain at c.RedeemedAt; ok is
	// false when there is none that is open and not expired then.
	RedeemCode(ctx context.Context, c CodeRow) (ok bool, err error)
	// VoidCode ends a code; ok is false when there is none that is open.
	VoidCode(ctx context.Context, hash CodeHash) (ok bool, err error)
}

// StockTx keeps a library's copies.
type StockTx interface {
	// PutStock records a title's stock, or replaces it.
	PutStock(ctx context.Context, s Stock) error
	// TakeStock returns a title's stock and the number of this turn: 1, 2, 3, …
	// Until the transaction ends no other one takes it.
	TakeStock(ctx context.Context, content ident.Content) (s Stock, turn uint64, err error)
	// PutLoan records a household's loan of a title, or replaces it.
	PutLoan(ctx context.Context, l CopyLoan) error
	DropLoan(ctx context.Context, content ident.Content, domain ident.Domain) error
}

// HoldTx keeps who waits for a copy.
type HoldTx interface {
	// PutHold records a household's hold of a title, or replaces it.
	PutHold(ctx context.Context, h Hold) error
	DropHold(ctx context.Context, content ident.Content, domain ident.Domain) error
}

// RenewTx keeps what a renewal changes.
type RenewTx interface {
	// RenewGrant replaces the terms of a grant of the version before g's; ok is
	// false when there is none of it.
	RenewGrant(ctx context.Context, g Grant) (ok bool, err error)
	// RenewLicense replaces version, time and digest of a license of a lower version.
	RenewLicense(ctx context.Context, l License) error
}
