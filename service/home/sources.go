package home

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

const sourcesFile = "sources.json"

// maxSources bounds what is kept of where titles came from; the oldest go. Source: local.
const maxSources = 4096

// sources says where each title came from, so that a restored house can ask
// again. It names no request: what was got is not got again by it.
type sources struct {
	mu   sync.Mutex
	dir  string
	list []Wanted // guarded by mu; newest last
}

type sourcesState struct {
	Sources []Wanted `json:"sources"`
}

func openSources(dir string) (*sources, error) {
	s := &sources{dir: dir}
	var st sourcesState
	err := load(dir, sourcesFile, &st)
	s.list = st.Sources
	return s, err
}

// note keeps where a title came from, in the place of an earlier visit to the
// same issuer.
func (s *sources) note(w Wanted) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.list, w) {
		return nil
	}
	list := slices.DeleteFunc(slices.Clone(s.list), func(o Wanted) bool { return o.Content == w.Content && o.Issuer == w.Issuer })
	list = append(list, w)
	list = list[max(0, len(list)-maxSources):]
	if err := save(s.dir, sourcesFile, sourcesState{Sources: list}); err != nil {
		return err
	}
	s.list = list
	return nil
}

func (s *sources) all() []Wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// noteSource is note for an answered request, which does not fail by it.
func (h *Home) noteSource(ctx context.Context, w Wanted) {
	if err := h.sources.note(w); err != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "source not noted", slog.Any("error", err))
	}
}
