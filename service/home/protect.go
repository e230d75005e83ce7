package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// A household may protect a film of its own, to lend it to one viewer at a time: the house
// packs it, and its module issues the license. Source: local, docs/spec/library.md
// section 4.

// Protector is the further ability of a Module that issues licenses of the house's own
// films; *trem.Client has it.
type Protector interface {
	Protect(ctx context.Context, sealed []byte) (trem.Protected, error)
	Unprotect(ctx context.Context, id ident.Content) error
}

// Errors of protecting an own film.
var (
	ErrProtected    = errors.New("home: the film is protected already")
	ErrNotProtected = errors.New("home: the house has not protected this")
	ErrNoProtector  = errors.New("home: this module issues no licenses")
	ErrChanged      = errors.New("home: the film was changed while it was packed")
	ErrWithdrawn    = errors.New("home: the protecting was called off")
	ErrQueueFull    = errors.New("home: too many films wait to be protected")
	ErrDiskFull     = errors.New("home: the disk became full while the film was packed")
)

// UnpackableError says why a film cannot be packed.
type UnpackableError struct {
	Why string
	err error
}

func (e *UnpackableError) Error() string { return "home: the film cannot be packed: " + e.Why }

func (e *UnpackableError) Unwrap() error { return e.err }

// RoomError says that the disk of the state folder has no room for a packed film.
type RoomError struct {
	Need, Free int64 // bytes
}

func (e *RoomError) Error() string {
	return fmt.Sprintf("home: the packed film needs %d bytes, and the disk has %d", e.Need, e.Free)
}

// Limits of protecting. Source: local, docs/spec/library.md section 4.
const (
	maxProtecting = 64          // films that wait for their turn
	spareRoom     = 64 << 20    // bytes that stay free on the disk
	tellEvery     = time.Second // how far a packing is
)

// Protected is a film of the house's own that it has protected.
type Protected struct {
	Content ident.Content `json:"content"`
	Title   string        `json:"title"`
	Folder  string        `json:"folder"`          // of the packed film
	Clear   string        `json:"clear"`           // the file that it was made of, which stays where it is
	Notes   []string      `json:"notes,omitempty"` // what of it was left out
}

// Protecting is a film that is being protected, or why one is not.
type Protecting struct {
	Done, Total int64 // bytes packed
	Err         error // it ended by it
}

// Protect packs an own film and has the module issue its license. It waits until the title
// stands in the library; when ctx ends before, the house goes on.
func (h *Home) Protect(ctx context.Context, id ident.Content) (Protected, error) {
	j, err := h.beginProtect(ctx, id)
	if err != nil {
		return Protected{}, err
	}
	select {
	case <-j.ended:
		return j.out, j.now.Err
	case <-ctx.Done():
		return Protected{}, ctx.Err()
	}
}

// BeginProtect is Protect for who does not wait: a film that cannot be packed, or for
// which there is no room, is refused at once.
func (h *Home) BeginProtect(ctx context.Context, id ident.Content) error {
	_, err := h.beginProtect(ctx, id)
	return err
}

func (h *Home) beginProtect(ctx context.Context, id ident.Content) (*protectJob, error) {
	if _, ok := h.cfg.Module.(Protector); !ok {
		return nil, ErrNoProtector
	}
	p := h.protecting
	p.mu.Lock()
	if j := p.jobs[id]; j != nil && j.now.Err == nil {
		p.mu.Unlock()
		return j, nil // it is at it
	}
	p.mu.Unlock()
	if !h.isReady(id) {
		if _, err := h.examine(ctx, id); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if j := p.jobs[id]; j != nil && j.now.Err == nil {
		return j, nil
	}
	if p.over != nil {
		return nil, p.over
	}
	j := &protectJob{id: id, ended: make(chan struct{})}
	select {
	case p.queue <- j:
	default:
		return nil, ErrQueueFull
	}
	p.jobs[id] = j
	h.publish(Event{Kind: EventLibrary})
	return j, nil
}

// ProtectingOf is how far the protecting of a film is, or why it failed; false: nobody
// asked for it.
func (h *Home) ProtectingOf(id ident.Content) (Protecting, bool) {
	h.protecting.mu.Lock()
	defer h.protecting.mu.Unlock()
	if j := h.protecting.jobs[id]; j != nil {
		return j.now, true
	}
	return Protecting{}, false
}

// examine looks whether a film can be packed now, and there is room for it.
func (h *Home) examine(ctx context.Context, id ident.Content) (*Film, error) {
	if h.protects(id) {
		return nil, ErrProtected
	}
	film, err := h.Film(id)
	if err != nil {
		return nil, err
	}
	held, err := h.holdsOwn(ctx, id)
	if err == nil && held { // its folder is lost, or on a disk that is off
		err = ErrProtected
	}
	if err != nil {
		return nil, err
	}
	if lent, err := h.borrows(ctx, id); err != nil || lent {
		return nil, cmp.Or(err, ErrBorrowed)
	}
	if err := os.MkdirAll(h.ownDir(), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of own films: %w", err)
	}
	plan, err := packager.Examine(h.packing(film))
	if err != nil {
		return nil, unpackable(err)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(h.ownDir(), &fs); err != nil {
		return nil, fmt.Errorf("ask for the free space: %w", err)
	}
	free := int64(min(fs.Bavail, math.MaxInt64/uint64(fs.Bsize)) * uint64(fs.Bsize)) //nolint:gosec // below MaxInt64; a block size is positive
	if need := plan.Bytes + spareRoom; need > free {
		return nil, &RoomError{Need: need, Free: free}
	}
	return film, nil
}

// packing is how an own film is packed: each tier under a fresh key, which leaves this
// process sealed to the house's module only (sealOwn).
func (h *Home) packing(f *Film) packager.Config {
	return packager.Config{Inputs: []string{f.Path}, Dir: h.ownPath(f.ID, ".packing"), Content: f.ID, Title: f.Title}
}

// unpackable makes an UnpackableError of what the packager says of a film, and ErrDiskFull
// of a disk that became full meanwhile: what is free afterwards says nothing.
func unpackable(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	if !errors.Is(err, packager.ErrInput) && !errors.Is(err, packager.ErrCheck) {
		return fmt.Errorf("pack a film: %w", err)
	}
	why := err.Error()
	for _, cut := range []error{packager.ErrInput, packager.ErrCheck} {
		if _, rest, ok := strings.Cut(why, cut.Error()+": "); ok {
			why = rest
		}
	}
	return &UnpackableError{Why: why, err: err}
}

func (h *Home) protect(ctx context.Context, j *protectJob) (Protected, error) {
	if h.isReady(j.id) {
		if out, done, err := h.goOn(ctx, j.id); done || err != nil {
			return out, err
		}
	}
	film, err := h.examine(ctx, j.id) // it may have waited
	if err != nil {
		return Protected{}, err
	}
	cfg := h.packing(film)
	cfg.Progress = h.progress(j)
	res, err := packager.Pack(ctx, cfg)
	if err != nil {
		return Protected{}, unpackable(err)
	}
	root, _ := h.folders.rootOf(film.Path)
	if now, err := readFilm(root, film.Path); err != nil || now.ID != film.ID || now.stamp() != film.stamp() {
		return Protected{}, errors.Join(ErrChanged, os.RemoveAll(cfg.Dir))
	}
	if err = h.sealOwn(ctx, cfg.Dir, &res.Delivery); err == nil {
		err = syncTree(cfg.Dir)
	}
	if err != nil {
		return Protected{}, errors.Join(unpackable(err), os.RemoveAll(cfg.Dir))
	}
	h.protecting.step.Lock()
	defer h.protecting.step.Unlock()
	ready := h.ownPath(j.id, readyEnding)
	if err := errors.Join(os.Rename(cfg.Dir, ready), syncDir(h.ownDir())); err != nil {
		return Protected{}, errors.Join(unpackable(err), os.RemoveAll(cfg.Dir), os.RemoveAll(ready))
	}
	if err := h.issueOwn(ctx, j.id); err != nil {
		return Protected{}, err
	}
	return Protected{Content: j.id, Title: film.Title, Folder: h.ownPath(j.id, ""), Clear: film.Path, Notes: res.Notes}, nil
}

// sealOwn seals the keys of a packed film to the module's delivery certificate as it is
// now: it may have been renewed while the film was packed.
func (h *Home) sealOwn(ctx context.Context, dir string, keys *content.Delivery) error {
	st, err := h.Status(ctx)
	if err != nil {
		return err
	}
	sealed, err := content.SealKeys(st.Delivery, keys)
	if err != nil {
		return err
	}
	for i := range keys.Keys {
		keys.Keys[i].Key.Clear()
	}
	return os.WriteFile(filepath.Join(dir, packager.KeysName), sealed, 0o600)
}

// goOn is protect for a film that was packed when the module's answer was lost; false: it
// has to be packed anew.
func (h *Home) goOn(ctx context.Context, id ident.Content) (out Protected, done bool, err error) {
	if err := h.settleReady(ctx, id); err != nil {
		if !h.isReady(id) { // the module has said no to these keys
			err = nil
		}
		return Protected{}, false, err
	}
	t := h.library.title(id)
	if t == nil || !h.IsOwn(t) {
		return Protected{}, false, nil
	}
	out = Protected{Content: id, Title: t.Title, Folder: t.folder}
	if f, ok := h.ClearOf(id); ok {
		out.Clear = f.Path
	}
	return out, true, nil
}

// progress notes how far a packing is, and tells the pages now and then.
func (h *Home) progress(j *protectJob) func(done, total int64) {
	var told time.Time
	return func(done, total int64) {
		h.protecting.mu.Lock()
		j.now.Done, j.now.Total = done, total
		h.protecting.mu.Unlock()
		if now := h.cfg.Now(); now.Sub(told) >= tellEvery {
			told = now
			h.publish(Event{Kind: EventProtecting})
		}
	}
}
