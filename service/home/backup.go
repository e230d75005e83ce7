package home

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// RestorePath is where devices of the house find who manages it after a
// restore. Source: local, docs/spec/home-api.md.
const RestorePath = "/pair/v1/restores"

// Errors of backup and restore.
var (
	// ErrNoCode is returned by Backup for a house without a recovery code.
	ErrNoCode = errors.New("home: the house has no recovery code yet")
	// ErrNoBackup is returned where the module cannot be backed up.
	ErrNoBackup = errors.New("home: this module makes no backups")
)

// Keeper is the further ability of a Module that a house can be brought back
// with; *trem.Client has it.
type Keeper interface {
	RecoveryCode(ctx context.Context) ([]byte, error)
	Backup(ctx context.Context, o trem.BackupOrder, host []byte) (trem.Backup, []byte, error)
	Restore(ctx context.Context, o trem.RestoreOrder, file []byte) (trem.Restored, []byte, error)
	Succession(ctx context.Context) (trem.Succession, error)
	Follow(ctx context.Context, s trem.Succession) (trem.Following, error)
}

// kept is the host's part of a backup.
type kept struct {
	Folders []string `json:"folders"`
	Watched []string `json:"watched,omitempty"` // none: also of an earlier build
	Devices []Device `json:"devices"`
	Sources []Wanted `json:"sources"`

	People *peopleState `json:"people,omitempty"` // nil: of an earlier build, or of a house without

	TLS *trustState `json:"tls,omitempty"` // nil: of an earlier build, or of a house without TLS
}

func (h *Home) keeper() (Keeper, error) {
	k, ok := h.cfg.Module.(Keeper)
	if !ok {
		return nil, ErrNoBackup
	}
	return k, nil
}

// HasCode reports whether the house has a recovery code.
func (h *Home) HasCode(ctx context.Context) (bool, error) {
	k, err := h.keeper()
	if err != nil {
		return false, err
	}
	s, err := k.Succession(ctx)
	if err != nil {
		return false, fmt.Errorf("ask for the recovery code: %w", err)
	}
	return s.Code, nil
}

// RecoveryCode draws a code, which counts once Backup names it.
func (h *Home) RecoveryCode(ctx context.Context) ([]byte, error) {
	k, err := h.keeper()
	if err != nil {
		return nil, err
	}
	code, err := k.RecoveryCode(ctx)
	if err != nil {
		return nil, fmt.Errorf("draw a recovery code: %w", err)
	}
	return code, nil
}

// Backup makes a backup of the house: its module's part and what is kept beside
// it. With a code, which RecoveryCode has drawn, that is the house's from now on.
func (h *Home) Backup(ctx context.Context, code []byte) (trem.Backup, []byte, error) {
	k, err := h.keeper()
	if err != nil {
		return trem.Backup{}, nil, err
	}
	if len(code) == 0 {
		if has, err := h.HasCode(ctx); err != nil || !has {
			return trem.Backup{}, nil, errors.Join(err, ErrNoCode)
		}
	}
	h.library.mu.Lock()
	folders := slices.DeleteFunc(slices.Clone(h.library.paths), func(p string) bool { return filepath.Dir(p) == h.ownDir() }) // they stay in this state folder
	h.library.mu.Unlock()
	part := kept{Folders: folders, Watched: h.folders.watched(), Devices: h.Devices(), Sources: h.sources.all()}
	h.people.mu.Lock()
	if st := (peopleState{People: h.people.list, Rated: h.people.rated}); len(st.People) > 0 || len(st.Rated) > 0 {
		part.People = &st
	}
	h.people.mu.Unlock()
	if h.cfg.TLS != nil {
		if part.TLS, err = h.cfg.TLS.state(); err != nil {
			return trem.Backup{}, nil, err
		}
	}
	host, err := json.Marshal(part)
	if err != nil {
		return trem.Backup{}, nil, fmt.Errorf("encode the host's part: %w", err)
	}
	defer clear(host) // the CA's key and hashes of PINs are in it
	out, file, err := k.Backup(ctx, trem.BackupOrder{Code: code}, host)
	if err != nil {
		return out, nil, fmt.Errorf("make the backup: %w", err)
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "backup made", slog.Int("bytes", len(file)), slog.Uint64("generation", out.Generation))
	return out, file, nil
}

// Succession tells a device of the house who manages it. The house is named by
// its ID, which only its members know.
func (h *Home) Succession(ctx context.Context, domain ident.Domain) (trem.Succession, error) {
	k, err := h.keeper()
	if err != nil {
		return trem.Succession{}, fmt.Errorf("restore: %w", ErrUnknown)
	}
	st, err := h.cfg.Module.Status(ctx)
	if err != nil {
		return trem.Succession{}, err
	}
	if domain != st.Domain || domain == (ident.Domain{}) {
		return trem.Succession{}, fmt.Errorf("restore: %w", ErrUnknown)
	}
	s, err := k.Succession(ctx)
	if err == nil && len(s.Restore) == 0 {
		err = fmt.Errorf("restore: %w", ErrUnknown)
	}
	return s, err
}

// Rival takes another restore of this house that a device has met. The module
// judges it; what it accepts stops joins, or ends this home server's time.
func (h *Home) Rival(ctx context.Context, s trem.Succession) error {
	k, err := h.keeper()
	if err != nil {
		return err
	}
	got, err := k.Follow(ctx, s)
	if err != nil {
		return fmt.Errorf("take note of a restore: %w", err)
	}
	if got.Rival != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "this house was restored twice; nobody joins until one is restored above the other", slog.Uint64("generation", got.Generation))
	} else {
		h.log.LogAttrs(ctx, slog.LevelWarn, "restore noted", slog.Any("manager", got.Manager), slog.Uint64("generation", got.Generation))
	}
	return nil
}

// Restoring is what Restore needs.
type Restoring struct {
	Dir    string // required: of the new home server, which does not run
	Module Keeper // required
	File   []byte
	Code   []byte // 32 bytes
	Above  uint64 // generation that a device of the house knows already
	NewCA  bool   // the lost machine is in other hands: its CA for HTTPS does not come back
	Now    func() time.Time
}

// Restore makes a new home server the one of a backup: its module first, then
// the files beside it. It may be repeated after a crash. It returns also what the
// new home server will ask of which shop.
func Restore(ctx context.Context, r Restoring) (trem.Restored, []Wanted, error) {
	out, host, err := r.Module.Restore(ctx, trem.RestoreOrder{Code: r.Code, Above: r.Above}, r.File)
	if err != nil {
		return out, nil, fmt.Errorf("restore the house: %w", err)
	}
	var k kept
	if err := json.Unmarshal(host, &k); err != nil {
		return out, nil, fmt.Errorf("read the host's part of the backup: %w", err)
	}
	defer clear(host)
	if k.TLS != nil {
		if err := new(TLS).read(k.TLS); err != nil {
			return out, nil, fmt.Errorf("read the host's part of the backup: %w", err)
		}
	}
	if k.People != nil {
		if err := k.People.check(); err != nil {
			return out, nil, fmt.Errorf("read the host's part of the backup: %w", err)
		}
	}
	wanted := k.wanted(out.Titles)
	return out, wanted, k.restore(r, &out, wanted)
}

// wanted is what shops can give again without anything being counted twice.
func (k *kept) wanted(titles []trem.Title) []Wanted {
	var list []Wanted
	for _, t := range titles {
		i := slices.IndexFunc(k.Sources, func(w Wanted) bool { return w.Content == t.Content && w.Issuer == t.Issuer })
		if t.Needs == trem.NeedsIssuer && i >= 0 && !slices.Contains(list, k.Sources[i]) {
			list = append(list, k.Sources[i])
		}
	}
	return list
}

// restore writes the files, each whole. The requests come last: with them the
// new home server begins to ask.
func (k *kept) restore(r Restoring, out *trem.Restored, wanted []Wanted) error {
	var lib libraryState
	if err := load(r.Dir, libraryFile, &lib); err != nil {
		return err
	}
	for _, p := range k.Folders {
		if !slices.Contains(lib.Folders, p) {
			lib.Folders = append(lib.Folders, p)
		}
	}
	var devs devicesState
	if err := load(r.Dir, devicesFile, &devs); err != nil {
		return err
	}
	for _, d := range k.Devices {
		if slices.Contains(out.Members, d.ID) && !slices.ContainsFunc(devs.Devices, func(o Device) bool { return o.ID == d.ID }) {
			devs.Devices = append(devs.Devices, d)
		}
	}
	var watched filmsState
	if err := load(r.Dir, filmsFile, &watched); err != nil {
		return err
	}
	for _, p := range k.Watched { // on a disk that is off, too: it may come back
		if filepath.IsAbs(p) && !slices.Contains(watched.Roots, p) && len(watched.Roots) < maxRoots {
			watched.Roots = append(watched.Roots, p)
		}
	}
	var off mountsState // a new machine's disks may not be on yet
	if err := load(r.Dir, mountsFile, &off); err != nil {
		return err
	}
	off.Mounts = slices.Compact(slices.Sorted(slices.Values(append(off.Mounts, goneIn(watched.Roots, lib.Folders)...))))
	s, err := openSources(r.Dir)
	if err != nil {
		return err
	}
	for _, w := range k.Sources {
		if !slices.ContainsFunc(s.list, func(o Wanted) bool { return o.Content == w.Content && o.Issuer == w.Issuer }) {
			s.list = append(s.list, w)
		}
	}
	files := map[string]any{libraryFile: lib, filmsFile: watched, mountsFile: off, devicesFile: devs, sourcesFile: sourcesState{Sources: s.list}}
	if k.People != nil { // where it is repeated, those of the backup again
		files[peopleFile] = k.People
	}
	if k.TLS != nil && !r.NewCA {
		files[trustFile] = k.TLS // devices know the house's server by it, wherever it runs
	}
	for name, v := range files {
		if err := save(r.Dir, name, v); err != nil {
			return err
		}
	}
	return askAgain(r, wanted)
}

func askAgain(r Restoring, wanted []Wanted) error {
	shop, err := openShop(r.Dir)
	if err != nil {
		return err
	}
	for _, w := range wanted {
		if slices.ContainsFunc(shop.list, func(p pending) bool { return p.Content == w.Content && p.Peer == w.Peer }) || len(shop.list) >= maxRequests {
			continue
		}
		shop.list = append(shop.list, pending{Wanted: w, Request: ident.NewRequest(), Since: r.Now().UTC().Truncate(time.Second)})
	}
	return save(r.Dir, requestsFile, shopState{Requests: shop.list})
}
