package home

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Where protected own films lie: HEX, the end of the film's ID, is the packed folder of
// one that stands in the library; .HEX.ready one whose license comes or goes just now;
// another name that begins with a dot is of a packing that was cut off. Source: local,
// docs/spec/library.md section 4.
const (
	ownFolder   = "own" // in the state folder
	readyEnding = ".ready"
)

func (h *Home) ownDir() string { return filepath.Join(h.cfg.Dir, ownFolder) }

// isOwnID reports whether a content ID is one that OwnID makes: it becomes a file name.
func isOwnID(id ident.Content) bool {
	name, ok := strings.CutPrefix(id.String(), OwnPrefix)
	return ok && len(name) == 32 && strings.Trim(name, "0123456789abcdef") == ""
}

// ownPath is the packed folder of an own film, under the name that ends as said; "" for
// the one in the library.
func (h *Home) ownPath(id ident.Content, ending string) string {
	name := strings.TrimPrefix(id.String(), OwnPrefix) + ending
	if ending != "" {
		name = "." + name
	}
	return filepath.Join(h.ownDir(), name)
}

// isReady reports whether an own film is packed, and what the module says to it is not
// known.
func (h *Home) isReady(id ident.Content) bool {
	return isOwnID(id) && IsPacked(h.ownPath(id, readyEnding))
}

// protects reports whether the house has protected a film: its packed folder is in the
// list of the library then, also while it is not read yet or its disk is off, and its
// clear file is not shown.
func (h *Home) protects(id ident.Content) bool { return h.protected()[id] }

// protected are all films that the house has protected.
func (h *Home) protected() map[ident.Content]bool {
	out := map[ident.Content]bool{}
	for _, path := range h.library.known() {
		if filepath.Dir(path) == h.ownDir() {
			out[ident.Content(OwnPrefix+filepath.Base(path))] = true
		}
	}
	return out
}

// IsOwn reports whether a title is a film that the house has protected itself.
func (h *Home) IsOwn(t *Title) bool { return t.folder == h.ownPath(t.Content, "") }

// Folder is where a title lies.
func (t *Title) Folder() string { return t.folder }

// ClearOf is the clear file of a film that the house has protected, where it is still in a
// watched folder.
func (h *Home) ClearOf(id ident.Content) (*Film, bool) {
	h.folders.mu.Lock()
	defer h.folders.mu.Unlock()
	for _, f := range h.folders.shown {
		if f.ID == id {
			return f, true
		}
	}
	return nil, false
}

// holdsOwn reports whether the module has the license of an own film, also one that is
// out.
func (h *Home) holdsOwn(ctx context.Context, id ident.Content) (bool, error) {
	held, err := h.cfg.Module.Licenses(ctx)
	if err != nil {
		return false, fmt.Errorf("list licenses: %w", err)
	}
	for _, x := range held {
		if x.Content == id && x.House && x.Kind == 0 {
			return true, nil
		}
	}
	moving, err := h.cfg.Module.Transfers(ctx)
	if err != nil {
		return false, fmt.Errorf("list transfers: %w", err)
	}
	for _, x := range moving {
		if x.Content == id && x.Stage != trem.StageBorrowed {
			return true, nil
		}
	}
	return false, nil
}

// saidNo reports whether an error is the module's word that it has changed nothing. After
// any other it may have done what it was asked for.
func saidNo(err error) bool {
	if _, ok := errors.AsType[*trem.RefusalError](err); ok {
		return true
	}
	e, ok := errors.AsType[*trem.Error](err)
	return ok && e.Code != trem.CodeInternal && e.Code != trem.CodeBroken
}

// issueOwn has the module issue the license of a packed film that is ready, and puts it
// into the library. Said again, after a crash at any point, it goes on. The caller holds
// step.
func (h *Home) issueOwn(ctx context.Context, id ident.Content) error {
	ready := h.ownPath(id, readyEnding)
	keys := filepath.Join(ready, packager.KeysName)
	sealed, err := os.ReadFile(keys)
	if err != nil {
		return fmt.Errorf("read the sealed keys: %w", err)
	}
	module, ok := h.cfg.Module.(Protector)
	if !ok {
		return ErrNoProtector
	}
	if _, err := module.Protect(ctx, sealed); err != nil {
		err = fmt.Errorf("issue the license: %w", err)
		if !saidNo(err) {
			return err
		}
		// It may have issued it before, and be renewed or superseded since.
		held, unknown := h.holdsOwn(ctx, id)
		if unknown != nil {
			return errors.Join(err, unknown)
		}
		if !held { // who asked hears it
			return errors.Join(err, os.RemoveAll(ready))
		}
	}
	// The license is there: the keys are of no more use. They are gone from the disk
	// before the folder is shown.
	if err := errors.Join(os.Remove(keys), syncDir(ready)); err != nil {
		return fmt.Errorf("remove the sealed keys: %w", err)
	}
	return h.showOwn(id)
}

// showOwn gives a packed film whose license is there its place in the library, also that
// of a copy whose license is gone. The caller holds step.
func (h *Home) showOwn(id ident.Content) error {
	folder := h.ownPath(id, "")
	if err := errors.Join(os.RemoveAll(folder), os.Rename(h.ownPath(id, readyEnding), folder), syncDir(h.ownDir())); err != nil {
		return fmt.Errorf("put a packed film into its place: %w", err)
	}
	_, err := h.Add(folder)
	return err
}

// Unprotect destroys the license of an own film and its packed folder. The clear file is
// shown again, where it still is. A license that is lent is a *trem.RefusalError. A film
// that is being protected, or waits for it, is not any more.
func (h *Home) Unprotect(ctx context.Context, id ident.Content) error {
	module, ok := h.cfg.Module.(Protector)
	if !ok {
		return ErrNoProtector
	}
	if !isOwnID(id) {
		return ErrNotProtected
	}
	calledOff, err := h.callOff(ctx, id)
	if err != nil {
		return err
	}
	h.library.whole()
	h.protecting.step.Lock()
	defer h.protecting.step.Unlock()
	h.folders.looking.Lock() // nobody looks while it is hidden
	defer h.folders.looking.Unlock()
	folder, ready := h.ownPath(id, ""), h.ownPath(id, readyEnding)
	there := IsPacked(folder)
	switch {
	case there: // hidden first: after a crash the license says what becomes of it
		if err := errors.Join(os.Rename(folder, ready), syncDir(h.ownDir())); err != nil {
			return fmt.Errorf("take a packed film out: %w", err)
		}
	case IsPacked(ready): // nobody knows what became of it
	default:
		held, err := h.holdsOwn(ctx, id)
		if err == nil && !held && !calledOff {
			err = ErrNotProtected
		}
		if err != nil || !held {
			return err
		}
	}
	ctx = context.WithoutCancel(ctx) // who asked may leave now
	if err := module.Unprotect(ctx, id); err != nil {
		if there && saidNo(err) { // else the next try or start asks for the license
			err = errors.Join(err, os.Rename(ready, folder), syncDir(h.ownDir()))
		}
		return err
	}
	for _, p := range h.openOf(id) {
		h.stop(ctx, p.ID, &Stopped{Reason: StopOwner}) //nolint:errcheck // the returned error is the end itself
	}
	err = errors.Join(h.library.change(nil, map[string]bool{folder: true}, nil), os.RemoveAll(ready))
	h.publish(Event{Kind: EventLibrary})
	return err
}

// settleOwn brings what a crash has left in the folder of own films into agreement with
// the module: what is ready and has a license is shown, what has its keys gets its
// license, and everything else that is not done is removed.
func (h *Home) settleOwn(ctx context.Context) {
	entries, err := os.ReadDir(h.ownDir())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	there := map[string]bool{}
	for _, e := range entries {
		path := filepath.Join(h.ownDir(), e.Name())
		hidden, isHidden := strings.CutPrefix(e.Name(), ".")
		name, isReady := strings.CutSuffix(hidden, readyEnding)
		switch {
		case isHidden && isReady:
			err = errors.Join(err, h.settleReady(ctx, ident.Content(OwnPrefix+name)))
		case isHidden:
			err = errors.Join(err, os.RemoveAll(path))
		default:
			there[path] = true
		}
	}
	if err = errors.Join(err, h.settleShown(ctx, there)); err != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "own films that were being protected are not settled", slog.Any("error", err))
	}
}

// settleShown brings the list of the library into agreement with the folders that are
// there. The license decides: without it nothing is added, and with it nothing is
// forgotten, because a folder that is not there may be on a disk that is off.
func (h *Home) settleShown(ctx context.Context, there map[string]bool) error {
	h.protecting.step.Lock()
	defer h.protecting.step.Unlock()
	known, gone, dead, away := map[string]bool{}, map[string]bool{}, 0, 0
	for _, path := range h.library.known() {
		if filepath.Dir(path) == h.ownDir() {
			known[path], there[path] = true, true
		}
	}
	var failed error
	for path := range there {
		if known[path] == IsPacked(path) {
			continue
		}
		held, err := h.holdsOwn(ctx, ident.Content(OwnPrefix+filepath.Base(path)))
		switch {
		case err != nil:
			return errors.Join(failed, err)
		case known[path] && held:
			away++
		case known[path]:
			gone[path] = true
		case held:
			_, err = h.Add(path)
			failed = errors.Join(failed, err)
		default:
			dead++
		}
	}
	if dead+away > 0 {
		h.log.LogAttrs(ctx, slog.LevelWarn, "protected own films are not shown", slog.Int("without_license", dead), slog.Int("without_folder", away))
	}
	if len(gone) > 0 {
		failed = errors.Join(failed, h.library.change(nil, gone, nil))
	}
	return failed
}

// settleReady is settleOwn for one film that is ready, if it still is.
func (h *Home) settleReady(ctx context.Context, id ident.Content) error {
	h.protecting.step.Lock()
	defer h.protecting.step.Unlock()
	ready := h.ownPath(id, readyEnding)
	if _, err := os.Lstat(filepath.Join(ready, packager.KeysName)); err == nil {
		return h.issueOwn(ctx, id)
	}
	held, err := h.holdsOwn(ctx, id)
	switch {
	case err != nil:
		return err
	case held && IsPacked(ready):
		return h.showOwn(id)
	}
	return os.RemoveAll(ready)
}

// syncTree brings all files of a folder to the disk.
func syncTree(folder string) error {
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = syncDir(path) // a file is synced alike
		}
		return err
	})
}
