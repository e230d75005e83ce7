package trem

import (
	"context"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// The commands of backup and recovery. Source: local, docs/spec/backup.md.
const (
	CmdCode     Command = 40 // home server: draw a recovery code
	CmdBackup   Command = 41 // home server; the file is the reply's payload
	CmdRestore  Command = 42 // home server; the file is the payload
	CmdRestored Command = 43 // home server: the RESTORE that members need
	CmdFollow   Command = 44 // a member, or a home server that may be one of two
)

// BackupOrder is the body of CmdBackup; its payload is what the host wants kept.
type BackupOrder struct {
	Code []byte `cbor:"1,keyasint"` // the code of CmdCode, when it shall be the house's from now on; empty = the one in use
}

// Backup describes the file that was made.
type Backup struct {
	Generation uint64  `cbor:"1,keyasint" json:"generation"`
	Made       int64   `cbor:"2,keyasint" json:"made"` // Unix ms
	Titles     []Title `cbor:"3,keyasint" json:"titles"`
}

// Title says what becomes of one license when the house is restored.
type Title struct {
	License ident.License  `cbor:"1,keyasint" json:"license"`
	Content ident.Content  `cbor:"2,keyasint" json:"content"`
	Issuer  ident.Issuer   `cbor:"3,keyasint" json:"issuer"`
	Backup  license.Backup `cbor:"4,keyasint" json:"backup"` // NONE, ISSUER, HOUSEHOLD
	Needs   RestoredBy     `cbor:"5,keyasint" json:"needs"`
	Hash    [32]byte       `cbor:"6,keyasint" json:"-"`
}

// RestoredBy says who brings a license back.
type RestoredBy uint64

// What a license needs after a restore.
const (
	NeedsNothing RestoredBy = 0 // its keys are in the backup
	NeedsIssuer  RestoredBy = 1 // the shop gives it again
	NeedsState   RestoredBy = 2 // it counts, runs out or may have left: who knows its state must supply it
	NeedsGrant   RestoredBy = 3 // its terms allow no backup: it must be had anew
)

// RestoreOrder is the body of CmdRestore; its payload is the backup.
type RestoreOrder struct {
	Code  []byte `cbor:"1,keyasint"` // the 32 bytes of the words
	Above uint64 `cbor:"2,keyasint"` // generation that some member knows already; 0 = that of the backup
}

// Restored is what a restore led to.
type Restored struct {
	Domain     ident.Domain   `cbor:"1,keyasint" json:"domain"`
	Generation uint64         `cbor:"2,keyasint" json:"generation"`
	Made       int64          `cbor:"3,keyasint" json:"made"` // Unix ms, of the backup
	Old        ident.Device   `cbor:"4,keyasint" json:"old"`  // the manager that was lost
	Members    []ident.Device `cbor:"5,keyasint" json:"members"`
	Titles     []Title        `cbor:"6,keyasint" json:"titles"`
}

// Succession is a RESTORE with the chain of the manager that it names.
type Succession struct {
	Restore []byte   `cbor:"1,keyasint" json:"restore,omitempty"` // empty: the house was never restored
	Manager [][]byte `cbor:"2,keyasint" json:"manager,omitempty"`
	Code    bool     `cbor:"3,keyasint" json:"-"` // the house has a recovery code; not read by Follow
}

// Following is the outcome of CmdFollow.
type Following struct {
	Manager    ident.Device `cbor:"1,keyasint"` // who manages the house from now on
	Generation uint64       `cbor:"2,keyasint"`
	Restore    []byte       `cbor:"4,keyasint"` // that is followed
	Rival      []byte       `cbor:"3,keyasint"` // another RESTORE of the same generation: nobody joins until one is above it
}

// RecoveryCode draws a code. It is of no use before a Backup names it.
func (c *Client) RecoveryCode(ctx context.Context) ([]byte, error) {
	return call[[]byte](ctx, c, CmdCode, None{})
}

// Backup returns a backup of the house with host, which only the code opens.
func (c *Client) Backup(ctx context.Context, o BackupOrder, host []byte) (out Backup, file []byte, err error) {
	file, err = c.do(ctx, CmdBackup, o, host, &out)
	return out, file, err
}

// Restore makes this module, which has founded a house and nothing more, the
// manager of the house that the file is a backup of. It returns what the old
// host had kept. Repeated with the same file it answers the same.
func (c *Client) Restore(ctx context.Context, o RestoreOrder, file []byte) (out Restored, host []byte, err error) {
	host, err = c.do(ctx, CmdRestore, o, file, &out)
	return out, host, err
}

// Succession returns the RESTORE that made this module the manager.
func (c *Client) Succession(ctx context.Context) (Succession, error) {
	return call[Succession](ctx, c, CmdRestored, None{})
}

// Follow shows a module a RESTORE of its house. A member that accepts it deals
// with the manager that it names from now on.
func (c *Client) Follow(ctx context.Context, s Succession) (Following, error) {
	return call[Following](ctx, c, CmdFollow, s)
}
