package trem

import (
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Status describes the module. Nothing in it is secret.
type Status struct {
	Device      ident.Device      `cbor:"1,keyasint" json:"device"`
	Incarnation ident.Incarnation `cbor:"2,keyasint" json:"incarnation"`
	Role        string            `cbor:"3,keyasint" json:"role"`   // of its certificate; empty before enrollment
	Level       uint8             `cbor:"4,keyasint" json:"level"`  // that counts: its certificate's, before enrollment its keystore's; 1 SL1, 2 SL2, 3 SL3
	Anchor      uint8             `cbor:"5,keyasint" json:"anchor"` // likewise of its certificate; 0 before enrollment
	Epoch       uint64            `cbor:"6,keyasint" json:"epoch"`  // number of the newest revocation epoch known
	Clock       ClockStatus       `cbor:"7,keyasint" json:"clock"`
	Domain      ident.Domain      `cbor:"8,keyasint" json:"domain"` // zero without one
	Generation  uint64            `cbor:"9,keyasint" json:"generation"`
	Licenses    int               `cbor:"10,keyasint" json:"licenses"`
	Records     uint64            `cbor:"11,keyasint" json:"records"` // in the vault
	Walls       []Wall            `cbor:"12,keyasint" json:"walls"`
	Leaf        []byte            `cbor:"13,keyasint" json:"-"`                         // its own certificate, DER
	Chain       [][]byte          `cbor:"14,keyasint" json:"-"`                         // Leaf and the CAs above it, without the root
	Roots       [][]byte          `cbor:"15,keyasint" json:"-"`                         // that it trusts
	Delivery    []byte            `cbor:"16,keyasint" json:"-"`                         // the certificate of its delivery key, DER
	Issuer      ident.Issuer      `cbor:"17,keyasint,omitzero" json:"issuer,omitempty"` // that its certificate asserts
	Class       uint32            `cbor:"18,keyasint" json:"class"`                     // of its certificate; 0 before enrollment
	Index       uint32            `cbor:"19,keyasint" json:"index"`
	Keystore    KeystoreStatus    `cbor:"20,keyasint" json:"keystore"`
	SetBack     bool              `cbor:"30,keyasint,omitempty" json:"set_back,omitempty"`          // a witness has a newer state of this module: counted rights wait
	Twins       []ident.Device    `cbor:"31,keyasint,omitempty" json:"twins,omitempty"`             // peers that exist twice
	Outputs     []Connector       `cbor:"32,keyasint,omitempty" json:"outputs,omitempty"`           // none where the kernel tells of none
	StateAt     int64             `cbor:"40,keyasint,omitempty" json:"state_at,omitempty"`          // when the newest revocation state was issued, Unix ms
	Until       int64             `cbor:"41,keyasint,omitempty" json:"until,omitempty"`             // first end of validity in its chain, Unix ms; 0 before enrollment
	Signer      uint64            `cbor:"42,keyasint,omitempty" json:"signer_generation,omitempty"` // of the signer of Epoch: how often another one took its place
}

// Connector is an output of the machine that the module reads from the kernel.
type Connector struct {
	Name       string `cbor:"1,keyasint" json:"name"`
	Class      string `cbor:"2,keyasint" json:"class"`      // as in licenses; another one is of unknown capability
	Protection string `cbor:"3,keyasint" json:"protection"` // in force now
	Lit        bool   `cbor:"4,keyasint" json:"lit"`        // it receives a picture
}

// KeystoreStatus is where the module's keys are, and what that could be certified as.
type KeystoreStatus struct {
	Kind     string `cbor:"1,keyasint" json:"kind"`               // soft, pkcs11 or tpm
	Level    uint8  `cbor:"2,keyasint" json:"level"`              // that it can reach
	Register string `cbor:"3,keyasint" json:"register,omitempty"` // extend or counter; empty without one
	Anchor   uint8  `cbor:"4,keyasint" json:"anchor"`             // that its register can reach
}

// ClockStatus is the module's view of time, in Unix milliseconds.
type ClockStatus struct {
	Lo       int64  `cbor:"1,keyasint" json:"lo"`
	Est      int64  `cbor:"2,keyasint" json:"est"`
	Quality  string `cbor:"3,keyasint" json:"quality"` // UNSET, FREE, ANCHORED, SECURE
	Unsynced int64  `cbor:"4,keyasint" json:"unsynced_ms"`
}

// Wall is one protection of the process and whether it stands here.
type Wall struct {
	Name   string `cbor:"1,keyasint" json:"name"`
	Stands bool   `cbor:"2,keyasint" json:"stands"`
	Detail string `cbor:"3,keyasint" json:"detail"`
}

// SigningRequest asks an authority for the module's certificates.
type SigningRequest struct {
	Signing  []byte `cbor:"1,keyasint"` // PKCS#10 of the identity key
	Delivery []byte `cbor:"2,keyasint"` // PKCS#10 of the delivery key
	Level    uint8  `cbor:"3,keyasint"` // that the keystore can reach: the module's word, and no proof
	Anchor   uint8  `cbor:"4,keyasint"` // that its register can reach; likewise
}

// Enrollment is what the authority answered.
type Enrollment struct {
	Chain    [][]byte `cbor:"1,keyasint"` // leaf first, without the root, DER
	Delivery []byte   `cbor:"2,keyasint"` // the kind-2 certificate, DER
	Roots    [][]byte `cbor:"3,keyasint"`
}

// Learned is a statement that may move the module's revocation state or its
// clock. Set Head and Snapshot, or Time, or one of the others.
type Learned struct {
	Head      []byte   `cbor:"1,keyasint"`
	HeadChain [][]byte `cbor:"2,keyasint"` // the state signer's
	Snapshot  []byte   `cbor:"3,keyasint"`
	Time      []byte   `cbor:"4,keyasint"`
	TimeChain [][]byte `cbor:"5,keyasint"` // the time signer's

	Relayed   *RelayedTime `cbor:"6,keyasint,omitempty"` // in place of Time
	TimeReset []byte       `cbor:"7,keyasint,omitempty"` // signed by the root

	// Rotations lead from an earlier root of the trust domain to the one that
	// signs now, oldest first; they are taken before the rest is judged.
	Rotations [][]byte `cbor:"8,keyasint,omitempty"`

	Delta  []byte `cbor:"9,keyasint,omitempty"`  // from the state that is held, in place of Snapshot
	Change []byte `cbor:"10,keyasint,omitempty"` // the root's word on the state signer, from generation 1 on

	Notices [][]byte `cbor:"11,keyasint,omitempty"` // of sunset that stand, each signed by the state signer
}

// SecurityVersion is that of this module, which its signing request states and
// an authority may demand a minimum of. It is raised with each release that
// closes a fault by which rights or keys could be taken. Source: local,
// docs/spec/trem.md.
const SecurityVersion = 1

// Implementation names this module in its certificate.
const Implementation = "lares-trem"

// SLTPMessage is one SLTP message and the connection ID of its receiver, which
// is nil where it has none yet.
type SLTPMessage struct {
	_     struct{} `cbor:",toarray"`
	CID   []byte
	Bytes []byte
}

// LicenseRequest is what a destination wants from a source.
type LicenseRequest struct {
	Peer    ident.Device  `cbor:"1,keyasint"` // the source it means to reach
	Request ident.Request `cbor:"2,keyasint"` // chosen by the host and kept by it until the answer: repeats are the same request
	Content ident.Content `cbor:"3,keyasint,omitzero"`
	License ident.License `cbor:"4,keyasint"`          // with Plays: the home server's counted license to take them from
	Issuer  ident.Issuer  `cbor:"6,keyasint,omitzero"` // of the source, when it is a license issuer
	Plays   uint64        `cbor:"5,keyasint"`          // asks a home server to set aside so many plays; 0 lets the source decide
	Op      Op            `cbor:"7,keyasint,omitzero"` // asks a home server for the license itself, a copy or a loan
	ForMS   int64         `cbor:"8,keyasint,omitzero"` // OpLend: how long, ms
}

// Opened is a started exchange. The handle means nothing outside this module.
type Opened struct {
	Handle   uint64        `cbor:"1,keyasint"`
	Messages []SLTPMessage `cbor:"2,keyasint"`
}

// EventKind says what a received SLTP message led to.
type EventKind uint8

// The events.
const (
	// EventRequest: an input TREM was asked for a license; the host answers
	// with Prepare and Release, Resend or Refuse.
	EventRequest EventKind = 1
	// EventInstalled: a license is durably held.
	EventInstalled EventKind = 2
	// EventRefused: the source refused; Code and RetryMS say why.
	EventRefused EventKind = 3
	// EventReceipt: the destination's verified receipt; the host closes its transfer.
	EventReceipt EventKind = 4
	// EventClosed: the source has closed the transfer (DONE). License is what came
	// by it, also when a repeated request is answered by DONE alone.
	EventClosed EventKind = 5
	// EventQuery: a destination asks an issuer what became of Transfer; the host
	// answers with Release of the stored answer, or with Done.
	EventQuery EventKind = 7
	// EventFailed: the exchange is over without result; Text names the rule.
	EventFailed EventKind = 6
	// EventDropped: the message was not accepted and changed nothing; Text says
	// by which rule. It is for the host's log: the sender learns nothing.
	EventDropped EventKind = 8
	// EventLoanOver: a loan that was out is over; the license is this module's to
	// use again.
	EventLoanOver EventKind = 9
	// EventReleased: the house's server gave a transfer back whose destination is lost.
	EventReleased EventKind = 10
	// EventLeft: Peer, a member, has left the house, or another device of the same
	// hardware has taken its place.
	EventLeft EventKind = 11
	// EventBound: a license whose shop has ended was bound to Peer, for the host's log.
	EventBound EventKind = 14
)

// Event is one consequence of a received message. Which fields are set
// depends on Kind.
type Event struct {
	Kind      EventKind      `cbor:"1,keyasint"`
	Handle    uint64         `cbor:"2,keyasint"`
	Peer      ident.Device   `cbor:"3,keyasint"`
	Request   ident.Request  `cbor:"4,keyasint"`
	Content   string         `cbor:"5,keyasint"` // content ID bytes; empty where none
	Domain    ident.Domain   `cbor:"6,keyasint"` // pairwise domain ID of the asking home server
	License   ident.License  `cbor:"7,keyasint"`
	Hash      [32]byte       `cbor:"8,keyasint"` // license hash
	Transfer  ident.Transfer `cbor:"9,keyasint"`
	XferHash  [32]byte       `cbor:"10,keyasint"`
	Installed bool           `cbor:"11,keyasint"` // EventReceipt: INSTALLED, else REFUSED
	Code      string         `cbor:"12,keyasint"`
	RetryMS   int64          `cbor:"13,keyasint"`
	Text      string         `cbor:"14,keyasint"`
	Body      []byte         `cbor:"15,keyasint"` // EventRequest: the request's body as received, for the idempotency hash
	// Generation of the asking household (EventRequest).
	Generation uint64 `cbor:"16,keyasint"`
	// Member: a device asks, of a domain that this issuer manages (EventRequest).
	Member bool `cbor:"17,keyasint,omitempty"`
}

// Received is the outcome of one message.
type Received struct {
	Messages []SLTPMessage `cbor:"1,keyasint"` // to send to where the message came from
	Events   []Event       `cbor:"2,keyasint"`
}

// Terms are what an issuer's host puts into a license. Info holds everything
// but what the module fills in: Keys (from its registered content keys), and
// RevMinEpoch when it is 0. Info.Issuer must be the module's own (Status).
type Terms struct {
	Handle uint64       `cbor:"1,keyasint"`
	Info   license.Info `cbor:"2,keyasint"`
	Tiers  []uint64     `cbor:"3,keyasint"`           // tiers granted; empty = all
	Seq    uint64       `cbor:"4,keyasint"`           // of the transfer, from the host's own table; 0 for a stateless license
	Plays  uint64       `cbor:"5,keyasint"`           // counted plays handed over; 0 where the license has no count
	Roll   []byte       `cbor:"6,keyasint,omitempty"` // of the domain, when a device asks: it has to be in it
}

// Prepared is an answer that is built but not sent. Sealed opens only in the
// module that made it; the host stores it with the transfer until that is closed.
type Prepared struct {
	Sealed   []byte         `cbor:"1,keyasint"`
	Hash     [32]byte       `cbor:"2,keyasint"` // license hash
	Transfer ident.Transfer `cbor:"3,keyasint"` // zero Seq for a stateless license
	XferHash [32]byte       `cbor:"4,keyasint"`
}

// Held is a license instance that the module holds.
type Held struct {
	License  ident.License    `cbor:"1,keyasint" json:"license"`
	Hash     [32]byte         `cbor:"2,keyasint" json:"-"`
	Content  ident.Content    `cbor:"3,keyasint" json:"content"`
	Issuer   ident.Issuer     `cbor:"4,keyasint" json:"issuer"`
	Kind     uint64           `cbor:"5,keyasint" json:"kind"`  // Parent.kind; 0 for a root license
	Terms    string           `cbor:"6,keyasint" json:"terms"` // text form of the permission code
	Counters license.Counters `cbor:"7,keyasint" json:"counters"`
	Bytes    []byte           `cbor:"8,keyasint" json:"-"` // the license, which holds no secret
	Phase    string           `cbor:"9,keyasint" json:"phase"`
	House    bool             `cbor:"10,keyasint,omitempty" json:"house,omitempty"` // a house issued it for a film of its own: this one, or of a loan (Kind 2) the lender's
}

// Output classes a session may be for.
const (
	OutputInternal = "INTERNAL" // this device's own panel or a file of its owner
	OutputLink     = "LINK"     // a browser of the household, link-encrypted
	OutputNetwork  = "NETWORK"  // a renderer of the house's network, in the clear
)

// Ask names a use of a content or of one license of it.
type Ask struct {
	Content ident.Content         `cbor:"1,keyasint,omitzero"`
	License ident.License         `cbor:"2,keyasint"` // zero: the module chooses (evaluator E13)
	Action  permission.Permission `cbor:"3,keyasint"`
	Tier    uint64                `cbor:"4,keyasint"`            // best tier wanted; 0 = the best allowed
	Output  string                `cbor:"5,keyasint"`            // OutputInternal, OutputLink or OutputNetwork
	Confirm bool                  `cbor:"6,keyasint"`            // the user was shown the decision's confirms
	FromMS  int64                 `cbor:"7,keyasint"`            // media position to start at
	Again   bool                  `cbor:"8,keyasint"`            // watch again: close the open play first
	Part    []byte                `cbor:"9,keyasint,omitempty"`  // a part of the content; empty = all of it
	FPS     uint64                `cbor:"10,keyasint,omitempty"` // pictures a second of the tracks, rounded up; 0 = unknown
	Consent bool                  `cbor:"11,keyasint,omitempty"` // the user consented to the report that the license asks for
	Overlay bool                  `cbor:"12,keyasint,omitempty"` // the player draws the visible mark

	Protection permission.Protection `cbor:"13,keyasint,omitempty"` // OutputLink: that the browser says is on, where it shows video

	Release bool `cbor:"14,keyasint,omitempty"` // BEGIN at a home server: all of a title that its sunset releases

	Person *license.Person `cbor:"15,keyasint,omitempty"` // nil: somebody who keeps the household's rules

	Takeover bool   `cbor:"18,keyasint,omitempty"` // end the oldest session where as many as the license allows are open
	Renderer string `cbor:"19,keyasint,omitempty"` // RENDER: its name; the output is OutputNetwork then, whatever Output says
}

// Session is an open use. KIDs are the keys it may use.
type Session struct {
	Handle   uint64           `cbor:"1,keyasint"`
	License  ident.License    `cbor:"2,keyasint"`
	KIDs     []ident.Key      `cbor:"3,keyasint"`
	Decision license.Decision `cbor:"4,keyasint"`
}

// LinkKey is a session key of a link-encrypted session: all that a browser gets.
type LinkKey struct {
	KID ident.Key `cbor:"1,keyasint"`
	Key []byte    `cbor:"2,keyasint"`
}

// Candidate is a device that the household's owner has approved.
type Candidate struct {
	Chain    [][]byte `cbor:"1,keyasint"` // leaf first
	Hardware []byte   `cbor:"2,keyasint"` // machine ID or EK, hashed by the module with the domain secret

	// Idle: in a full house it takes the place of the member that was not seen for the
	// longest time, if there is one whose membership is over. The owner approved that too.
	Idle bool `cbor:"3,keyasint,omitempty"`
}

// Member is a device of the house, as its server's module knows it.
type Member struct {
	Device ident.Device `cbor:"1,keyasint" json:"device"`
	Index  uint64       `cbor:"2,keyasint" json:"index"`
	Seen   int64        `cbor:"3,keyasint" json:"seen,omitempty"`             // Unix ms, to the hour; 0: not since the module knows of such things
	Until  int64        `cbor:"4,keyasint" json:"until,omitempty"`            // Unix ms: the end of its membership
	Lapsed bool         `cbor:"5,keyasint,omitempty" json:"lapsed,omitempty"` // it is over; what is set aside there counts as used
	Aside  []Aside      `cbor:"6,keyasint,omitempty" json:"aside,omitempty"`
}

// Aside is what a device may have of a license of its house that is counted. It says
// what is used of it when it gives it back.
type Aside struct {
	License ident.License `cbor:"1,keyasint" json:"license"` // of the house
	Content ident.Content `cbor:"2,keyasint,omitzero" json:"content,omitempty"`
	Plays   uint64        `cbor:"3,keyasint,omitempty" json:"plays,omitempty"`
	MS      int64         `cbor:"4,keyasint,omitempty" json:"ms,omitempty"`
}

// Admission makes a device a member: Membership is the signed object and
// Manager the chain of the home server that signed it.
type Admission struct {
	Membership []byte   `cbor:"1,keyasint"`
	Manager    [][]byte `cbor:"2,keyasint"`

	// Replaced is the member whose hardware this is: it was installed anew, and the old
	// one is no member any more.
	Replaced ident.Device `cbor:"3,keyasint,omitzero"`
}
