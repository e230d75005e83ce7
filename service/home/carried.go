package home

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// LearnCarried gives the module the revocation states that came with the films
// of the library (docs/spec/revocation.md, Offer), each once: a house that was offline for years learns from a
// film who was revoked before it was packed. The module checks them, and passes
// over what is older than what it knows. A folder whose state cannot be used is
// in the log and stops nothing.
func (h *Home) LearnCarried(ctx context.Context) {
	if h.library.look(ctx) != nil {
		return // the house ends
	}
	for _, t := range h.library.unread() {
		switch err := h.learnFrom(ctx, t.folder); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			h.library.read(t.folder)
		case ctx.Err() != nil:
			return
		default:
			h.library.read(t.folder)
			h.log.LogAttrs(ctx, slog.LevelWarn, "revocation state of a packed folder not used", slog.Any("error", err))
		}
	}
}

func (h *Home) learnFrom(ctx context.Context, folder string) error {
	f, err := os.Open(filepath.Join(folder, content.StateName))
	if err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, revocation.MaxOffer+1))
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	o, err := revocation.ParseOffer(data)
	if err != nil {
		return err
	}
	return h.cfg.Module.Learn(ctx, trem.Learned{Head: o.Head, HeadChain: o.Chain, Snapshot: o.Snapshot, Change: o.Change})
}

// unread are the titles whose state was not given to the module since the start.
func (l *library) unread() (out []*Title) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.titles {
		if !l.carried[t.folder] {
			out = append(out, t)
		}
	}
	return out
}

func (l *library) read(folder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.carried == nil {
		l.carried = map[string]bool{}
	}
	l.carried[folder] = true
}
