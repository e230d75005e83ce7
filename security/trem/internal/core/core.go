package core

import (
	"crypto"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/secret"
	"github.com/lares-drm/lares/security/trem/internal/slots"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Config is what a module is opened with.
type Config struct {
	Dir      string            // required without FS: the vault is kept in Dir/vault
	FS       vault.FS          // what the vault is kept in; nil = Dir/vault
	Keystore keystore.Keystore // required
	Storage  string            // what the keystore is, for Status
	Walls    []trem.Wall       // reported by Status
	BuildMS  int64             // first clock floor, Unix ms
	Memory   *secret.Arena     // where title keys rest; nil = the heap

	Outputs func() ([]Connector, error) // the machine's connectors; nil = it has none that can be read

	// Share makes memory that the host gets too, and as much that it does not get;
	// nil = there is no way to give it.
	Share func(bytes int) (shared, own []byte, err error)
}

// Core is one module. It is not safe for concurrent use.
type Core struct {
	cfg    Config
	vault  *vault.Vault
	signer crypto.Signer
	self   ident.Device

	identity *identityRecord // nil before enrollment
	wiped    *wipedRecord    // its keys are to be destroyed, or are
	peer     *pki.Peer       // its own certificates, verified
	verifier *pki.Verifier
	watch    *revocation.Watch
	revoked  *revocation.State // of watch, nil before the first head
	staple   staple            // of revoked
	state    *revocationRecord
	clock    clock
	sent     nonce

	domain          *domainRecord // manager
	members         map[ident.Device]memberRecord
	left            []byte       // what this device has signed when it left its last house
	leftTo          ident.Device // that house's server
	membership      *Membership  // member
	membershipBytes []byte
	manager         [][]byte

	backups  backups          // recovery code and restores
	witness  witness          // HEADs of peers, and what they said of its own
	seenLit  map[string]int64 // connectors that were lit at the last look, and since when, Unix ms; nil before the first
	times    trusted          // what it keeps of time beside its clock
	counted  uint64           // the newest batch of the log with a record that counts
	held     map[[32]byte]*instance
	came     map[ident.Transfer][32]byte // transfers that were installed here, and the license of each
	away     map[[32]byte]awayRecord     // licenses that moved away
	peers    map[ident.Device]peerRecord // whom letters are sealed to
	told     map[pairName]ident.Domain   // names of the house, learned from fellow members
	arbiter  *transfer.Arbiter
	reports  map[ident.Transfer]lostRecord  // of lost destinations, at the house's server
	rulings  map[ident.Transfer][]byte      // RELEASE of what left here, as the letters that carry it on
	aside    map[ident.License]asideRecord  // children that devices of the house have
	want     map[wantName]wantRecord        // who could not be given enough, at the house's server
	reach    map[reachName]int64            // manager: since when a device has something of an issuer that limits them, Unix ms
	answered map[ident.Transfer]uint64      // what this device has answered of what others want
	until    map[ident.Device]int64         // manager: when the newest membership of each member ends, Unix ms
	exports  map[ident.Request]exportRecord // what was handed to other systems
	backs    map[ident.Transfer]backRecord  // what was given back, and not taken yet; at a home server what was taken
	recalled map[ident.Transfer]bool        // loans that their lenders want back; not durable, a recall is repeated
	heard    int64                          // the newest signed statement of time since the start, Unix ms; 0 without one
	contents map[ident.Content]*content
	managed  managed // issuer: the domains that it manages
	sunsets  sunsets // services that end
	returns  returns // loans that went back to their issuers

	sltp     *sltp.Endpoint
	source   *transfer.Source
	dest     *transfer.Destination
	asked    map[sltp.Handle]*asked
	sessions map[uint64]*session
	last     uint64        // newest session handle
	keeper   *slots.Keeper // of what runs here, and at a home server in its house
	holder   slots.Holder  // at a device: what the keeper of its house says
	buffer   buffer        // of this stream; empty before it is asked for
	also     batch         // what the next write takes along, already so in memory
	failed   error         // the store's failure: what is in memory may not be on disk, so nothing leaves any more
	unsure   bool          // a command ended in an unexpected error: what is in memory may not be on disk, so it is no snapshot of it
}

type nonce struct {
	value [16]byte
	boot  int64
	id    [16]byte
	set   bool
}

// Open opens the vault, replays it and is ready for commands.
func Open(cfg Config, now Reading) (*Core, error) {
	signer, err := cfg.Keystore.Signer(keystore.Identity)
	if err != nil {
		return nil, err
	}
	spki, err := spkiOf(signer.Public())
	if err != nil {
		return nil, err
	}
	c := &Core{
		cfg: cfg, signer: signer, self: ident.DeviceOf(spki),
		clock:   clock{Lo: cfg.BuildMS, Boot: now.Boot, BootID: now.BootID},
		members: map[ident.Device]memberRecord{}, held: map[[32]byte]*instance{}, came: map[ident.Transfer][32]byte{},
		away: map[[32]byte]awayRecord{}, peers: map[ident.Device]peerRecord{}, recalled: map[ident.Transfer]bool{},
		told: map[pairName]ident.Domain{}, until: map[ident.Device]int64{}, arbiter: transfer.NewArbiter(), rulings: map[ident.Transfer][]byte{}, backs: map[ident.Transfer]backRecord{}, aside: map[ident.License]asideRecord{}, want: map[wantName]wantRecord{}, answered: map[ident.Transfer]uint64{}, reach: map[reachName]int64{}, reports: map[ident.Transfer]lostRecord{}, exports: map[ident.Request]exportRecord{}, contents: map[ident.Content]*content{},
		asked: map[sltp.Handle]*asked{}, sessions: map[uint64]*session{},
		dest: transfer.NewDestination(ident.DeviceOf(spki)), keeper: slots.NewKeeper(ident.DeviceOf(spki), now.Boot),
	}
	var pending []vault.Record // transfer records wait for the incarnation, which the vault knows when it is open
	var batch uint64
	c.vault, err = vault.Open(anchored(vault.Config{
		Dir: filepath.Join(cfg.Dir, "vault"), FS: cfg.FS, Keystore: cfg.Keystore, Device: c.self, Batch: func(n uint64) { batch = n },
	}), func(r vault.Record) error {
		pending = append(pending, r)
		c.wrote(batch, r)
		if r.Kind == kindCounted { // of a compaction, after all that it wrote
			return replayed(r.Body, func(rec countedRecord) { c.counted = rec.Batch })
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	c.source = transfer.NewSource(c.self, c.vault.Incarnation())
	for _, r := range pending {
		if err := c.replay(r); err != nil {
			return nil, errors.Join(fmt.Errorf("replay record of kind %#x: %w", r.Kind, err), c.vault.Close())
		}
		forget(r)
	}
	hardware, err := c.hardwareClock()
	if err != nil {
		return nil, errors.Join(err, c.vault.Close())
	}
	c.clock.powered(hardware, now)
	if c.identity != nil {
		if err := c.ready(now); err != nil {
			return nil, errors.Join(err, c.vault.Close())
		}
	}
	if len(pending) > compactAfter || c.vault.Grown() {
		if err := c.compact(); err != nil {
			return nil, errors.Join(err, c.vault.Close())
		}
	}
	return c, nil
}

// forget overwrites a record with title keys in it, once it was read or is
// durable.
func forget(r vault.Record) {
	if r.Kind == kindLicense || r.Kind == kindContent || r.Kind == transfer.KindInstall {
		clear(r.Body)
	}
}

// anchored ties the vault to the register that the keystore has, if it has one.
func anchored(cfg vault.Config) vault.Config {
	switch k := cfg.Keystore.(type) {
	case keystore.Anchorer: // also where it counts as well: this one is the better
		cfg.Anchor = k
	case keystore.Counter:
		cfg.Counter = k
	}
	return cfg
}

func (c *Core) compact() error {
	c.forgetCame()
	c.forgetExports()
	recs, err := c.snapshot()
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return c.vault.Compact(recs)
}

// trim compacts a log that has grown, between two commands: what is in memory
// is then what the log says. It is what keeps the log of a module bounded that
// runs for years.
func (c *Core) trim() {
	if c.failed != nil || c.unsure || !c.vault.Grown() {
		return
	}
	if err := c.compact(); err != nil {
		c.failed = storeError(err)
	}
}

// Close ends the module's use of its vault.
func (c *Core) Close() error { return c.vault.Close() }

func (c *Core) replay(r vault.Record) error {
	switch r.Kind {
	case kindIdentity:
		c.identity = new(identityRecord)
		return wire.Unmarshal(r.Body, c.identity, recordLimit)
	case kindClock:
		return wire.Unmarshal(r.Body, &c.clock, recordLimit)
	case kindRevocation:
		c.state = new(revocationRecord)
		return wire.Unmarshal(r.Body, c.state, recordLimit)
	case kindDomain:
		c.domain = new(domainRecord)
		return wire.Unmarshal(r.Body, c.domain, recordLimit)
	case kindWiped:
		return replayed(r.Body, func(rec wipedRecord) { c.wiped = &rec })
	case kindMember:
		return replayed(r.Body, func(m memberRecord) { c.members[m.Device] = m })
	case kindMembership:
		return c.replayMembership(r.Body)
	case kindLicense:
		return c.replayLicense(r.Body)
	case kindState:
		return c.replayState(r.Body)
	case kindContent:
		return c.replayContent(r.Body)
	case kindCame:
		return replayed(r.Body, func(rec cameRecord) { c.came[rec.TID] = rec.Hash })
	case kindPeer:
		return replayed(r.Body, func(rec peerRecord) { c.peers[rec.Device] = rec })
	case kindBack:
		return replayed(r.Body, func(rec backRecord) { c.taken(rec) })
	case kindExported:
		return replayed(r.Body, func(rec exportRecord) { c.exports[rec.Request] = rec })
	case kindDwell:
		return replayed(r.Body, func(rec dwellRecord) { c.aside[rec.Child] = rec.aside() })
	case kindAside:
		return replayed(r.Body, func(rec asideRecord) { c.aside[rec.Child] = rec })
	case kindWant:
		return replayed(r.Body, c.notes)
	case kindReach:
		return replayed(r.Body, func(rec reachRecord) { c.reach[reachName{rec.Issuer, rec.Device}] = rec.At })
	case kindWanted:
		return replayed(r.Body, func(rec wantedRecord) { c.answered[rec.TID] = rec.Total })
	case kindSeen:
		return replayed(r.Body, func(rec seenRecord) { c.until[rec.Device] = rec.Until })
	case kindRuling:
		return replayed(r.Body, func(rec rulingRecord) { c.rulings[rec.TID] = rec.Letter })
	case kindLost:
		return c.replayLost(r.Body)
	case kindToken, kindIssuerTime:
		return c.replayTimes(r.Kind, r.Body)
	case kindPairwise:
		return replayed(r.Body, func(rec pairwiseRecord) { c.told[rec.name()] = rec.Domain })
	case kindAway:
		return replayed(r.Body, func(rec awayRecord) {
			delete(c.held, rec.Hash)
			c.away[rec.Hash] = rec
		})
	case kindGone:
		return replayed(r.Body, func(rec goneRecord) { delete(c.held, rec.Hash) })
	case kindNotice, kindSunset, kindBound:
		return c.replaySunset(r)
	case kindHandedIn, kindBooked, kindBookedOld:
		return c.replayReturns(r)
	case kindManager:
		return replayed(r.Body, c.managed.manages)
	case kindFloor:
		return replayed(r.Body, c.managed.keep)
	}
	if r.Kind < kindForeign {
		return c.replayRecovery(r)
	}
	return c.replayTransfer(r)
}

// replayed reads the body of a record as T and gives it to keep.
func replayed[T any](body []byte, keep func(rec T)) error {
	var rec T
	if err := wire.Unmarshal(body, &rec, recordLimit); err != nil {
		return err
	}
	keep(rec)
	return nil
}

func (c *Core) replayMembership(body []byte) error {
	var rec membershipRecord
	if err := wire.Unmarshal(body, &rec, recordLimit); err != nil {
		return err
	}
	if rec.isLeft() {
		c.left, c.leftTo = rec.Membership, ident.Device(rec.Manager[0])
		c.membership, c.membershipBytes, c.manager = nil, nil, nil
		return nil
	}
	s, err := wire.ParseSign1(rec.Membership, objectMembership, membershipLimit()) // its signature was checked when it was stored
	if err != nil {
		return err
	}
	c.membership, c.membershipBytes, c.manager = new(Membership), rec.Membership, rec.Manager
	return wire.Unmarshal(s.Payload, c.membership, membershipLimit())
}

// ready builds what needs the module's certificates: verifier, revocation
// state and SLTP endpoint. The clock may since have moved past a certificate's
// end; then SLTP peers will say so, and held licenses still play.
func (c *Core) ready(now Reading) error {
	trust, err := pki.NewTrustStore(c.identity.Roots...)
	if err != nil {
		return err
	}
	c.verifier, c.watch = &pki.Verifier{Trust: trust, Cache: pki.NewCache(0)}, &revocation.Watch{}
	if c.state != nil {
		if err := c.loadRevocation(); err != nil {
			return err
		}
	}
	c.peer, err = (&pki.Verifier{Trust: trust}).Verify(c.identity.Chain, c.ownTime(now))
	if err != nil {
		return fmt.Errorf("own certificate: %w", err)
	}
	delivery, err := c.cfg.Keystore.KeyExchanger(keystore.Delivery)
	if err != nil {
		return err
	}
	c.sltp, err = sltp.NewEndpoint(c.endpoint(delivery))
	return err
}

// batch is records on their way to the vault.
type batch struct {
	recs     []vault.Record
	anchored bool
}

// along puts records into the batch of the next write, which may be that of the
// command's end: a command that learns something on its way to what it does
// waits for the disk once. What they say may be in memory at once, since nothing
// of the command is seen outside before they are durable.
func (c *Core) along(anchored bool, recs ...vault.Record) {
	c.also.recs, c.also.anchored = append(c.also.recs, recs...), c.also.anchored || anchored
}

// write commits records, after those that go along; after a failure the module
// is of no use any more.
func (c *Core) write(anchored bool, recs ...vault.Record) error {
	c.along(anchored, recs...)
	now := c.also
	c.also = batch{}
	if err := c.vault.Commit(now.anchored, now.recs...); err != nil {
		c.failed = storeError(err)
		return c.failed
	}
	at, _ := c.vault.Head()
	c.wrote(at, now.recs...)
	for _, r := range now.recs {
		forget(r)
	}
	return nil
}

// flush commits what waits to go along.
func (c *Core) flush() error {
	if c.failed != nil || len(c.also.recs) == 0 {
		return c.failed
	}
	return c.write(false)
}

func storeError(err error) error {
	return &trem.Error{Code: trem.CodeBroken, Text: "the store failed; restart the module: " + err.Error()}
}

// Failed is the failure of the store that ended this module's use, or nil.
func (c *Core) Failed() error { return c.failed }

func (c *Core) commit(kind uint8, body any) error {
	rec, err := newRecord(kind, body)
	if err != nil {
		return err
	}
	return c.write(true, rec)
}

// Issues reports whether this is an issuer's module.
func (c *Core) Issues() bool { return c.peer != nil && c.peer.Role() == pki.LicenseIssuer }

// need refuses a command that this module's certificate is not for.
func (c *Core) need(roles ...pki.Role) error {
	if c.peer == nil {
		return stateError("this module is not enrolled yet")
	}
	for _, r := range roles {
		if c.peer.Role() == r {
			return nil
		}
	}
	return stateError("this command is not for a module of role " + c.peer.Role().String())
}

func stateError(text string) error { return &trem.Error{Code: trem.CodeState, Text: text} }

// rejected names the rule that an object from outside broke.
func rejected(err error) error {
	var e *trem.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &trem.Error{Code: trem.CodeRejected, Text: err.Error()}
}
