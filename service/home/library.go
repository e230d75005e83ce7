package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// Errors of this package that callers branch on.
var (
	// ErrUnknown is returned for a title, session, device or pairing that is not here.
	ErrUnknown = errors.New("home: there is no such thing here")
	// ErrFolder is returned for a folder that is no packed content.
	ErrFolder = errors.New("home: the folder is not packed content")
	// ErrTwin is returned for a packed folder of a film that the house has protected itself.
	ErrTwin = errors.New("home: the house has protected this film itself")
	// ErrBorrowed is returned for a film of which a loan of another house is here.
	ErrBorrowed = errors.New("home: another house has lent this film")
)

const libraryFile = "library.json"

// library is the list of packed folders. The folders stay where they are.
type library struct {
	mu     sync.Mutex
	dir    string
	paths  []string // guarded by mu; absolute, in the order they were added
	titles []*Title // guarded by mu; of the folders that could be read
	scan   scan

	carried map[string]bool // guarded by mu; folders whose revocation state was read
}

type libraryState struct {
	Folders []string `json:"folders"`
}

// Title is packed content in the library.
type Title struct {
	content.Manifest
	folder string
}

func openLibrary(dir string) (*library, error) {
	l := &library{dir: dir}
	var st libraryState
	if err := load(dir, libraryFile, &st); err != nil {
		return nil, err
	}
	l.paths = st.Folders
	l.scan.ended.Store(len(l.paths) == 0)
	return l, nil
}

func readTitle(folder string) (*Title, error) {
	f, err := os.Open(filepath.Join(folder, content.ManifestName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, content.MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	return &Title{Manifest: *m, folder: folder}, nil
}

// IsPacked reports whether a folder is packed content.
func IsPacked(folder string) bool {
	info, err := os.Lstat(filepath.Join(folder, content.ManifestName))
	return err == nil && info.Mode().IsRegular()
}

// Add puts a packed folder into the library, durably. A folder of content that
// is there already takes its place, but for a film that the house has protected: two houses
// with one file give it one ID, and different keys.
func (h *Home) Add(folder string) (*Title, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFolder, err)
	}
	t, err := readTitle(folder)
	if err != nil {
		return nil, err
	}
	l := h.library
	l.whole()
	if folder != h.ownPath(t.Content, "") && h.protects(t.Content) {
		return nil, ErrTwin
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	keep := func(o *Title) bool { return o.Content != t.Content && o.folder != folder }
	var titles []*Title
	paths := slices.DeleteFunc(slices.Clone(l.paths), func(p string) bool { return p == folder })
	for _, o := range l.titles {
		if keep(o) {
			titles = append(titles, o)
			continue
		}
		paths = slices.DeleteFunc(paths, func(p string) bool { return p == o.folder })
	}
	paths = append(paths, folder)
	if err := save(l.dir, libraryFile, libraryState{Folders: paths}); err != nil {
		return nil, err
	}
	l.paths, l.titles = paths, append(titles, t)
	delete(l.carried, folder) // it may have come again with a newer state
	h.publish(Event{Kind: EventLibrary})
	return t, nil
}

// borrows reports whether a loan of a film is here that another house has protected.
func (h *Home) borrows(ctx context.Context, id ident.Content) (bool, error) {
	held, err := h.cfg.Module.Licenses(ctx)
	if err != nil {
		return false, fmt.Errorf("list licenses: %w", err)
	}
	return slices.ContainsFunc(held, func(x trem.Held) bool { return x.Content == id && x.House && x.Kind != 0 }), nil
}

// Title returns a title by its content ID. One that was not found yet after a start
// is waited for.
func (h *Home) Title(id ident.Content) (*Title, error) {
	if t := h.library.title(id); t != nil {
		return t, nil
	}
	h.library.whole()
	if t := h.library.title(id); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("title: %w", ErrUnknown)
}

func (l *library) title(id ident.Content) *Title {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.titles {
		if t.Content == id {
			return t
		}
	}
	return nil
}

// Titles lists the library by name, when all of it was looked through.
func (h *Home) Titles() []*Title {
	h.library.whole()
	return h.TitlesSoFar()
}

// TitlesSoFar is Titles without waiting.
func (h *Home) TitlesSoFar() []*Title {
	h.library.mu.Lock()
	out := slices.Clone(h.library.titles)
	h.library.mu.Unlock()
	slices.SortFunc(out, func(a, b *Title) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)), cmp.Compare(a.Content, b.Content))
	})
	return out
}

// Open opens a file that the title's content.json lists, and nothing else.
func (t *Title) Open(name string) (*os.File, error) {
	if name != content.ManifestName {
		if _, ok := t.File(name); !ok {
			return nil, fmt.Errorf("file: %w", ErrUnknown)
		}
	}
	return openIn(t.folder, name)
}

// read returns a listed file whole; its size must be as listed.
func (t *Title) read(file content.File) ([]byte, error) {
	f, err := t.Open(file.Name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	if file.Bytes > trem.MaxPayload {
		return nil, fmt.Errorf("read a file of the title: %w", errTooLarge)
	}
	data := make([]byte, file.Bytes)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read a file of the title: %w", err)
	}
	return data, nil
}

// Rights is what the house may do with a title now.
type Rights struct {
	Content ident.Content    `json:"content"`
	Held    []trem.Held      `json:"held"`
	Browser license.Decision `json:"browser"` // play in a browser of the house
	Device  license.Decision `json:"device"`  // play on the home server itself
}

// Rights asks the module about one title.
func (h *Home) Rights(ctx context.Context, id ident.Content) (Rights, error) {
	r, err := h.RightsOf(ctx, []ident.Content{id})
	if err != nil {
		return Rights{}, err
	}
	return r[0], nil
}

// RightsOf asks the module about some titles, in their order.
func (h *Home) RightsOf(ctx context.Context, ids []ident.Content) ([]Rights, error) {
	all, err := h.cfg.Module.Licenses(ctx)
	if err != nil {
		return nil, fmt.Errorf("list licenses: %w", err)
	}
	held := map[ident.Content][]trem.Held{}
	for _, x := range all {
		held[x.Content] = append(held[x.Content], x)
	}
	out := make([]Rights, 0, len(ids))
	for _, id := range ids {
		r := Rights{Content: id, Held: append([]trem.Held{}, held[id]...)}
		if r.Browser, err = h.decide(ctx, id, permission.Play, trem.OutputLink); err != nil {
			return nil, err
		}
		if r.Device, err = h.decide(ctx, id, permission.Play, trem.OutputInternal); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// May asks the module whether who asks may do something with a title other than
// playing it: MOVE, COPY, LEND or TRANSFER.
func (h *Home) May(ctx context.Context, id ident.Content, action permission.Permission) (license.Decision, error) {
	return h.decide(ctx, id, action, "")
}

// decide evaluates an action. Having no license at all is a decision, not an error.
func (h *Home) decide(ctx context.Context, id ident.Content, action permission.Permission, output string) (license.Decision, error) {
	d, err := h.cfg.Module.Evaluate(ctx, trem.Ask{Content: id, Action: action, Output: output, Person: h.judged(ctx, id, action)})
	if refusal, ok := errors.AsType[*trem.RefusalError](err); ok {
		return refusal.Decision, nil
	}
	var e *trem.Error
	if errors.As(err, &e) && e.Code == trem.CodeUnknown {
		return license.Decision{Action: action, Reasons: []license.Reason{{Code: license.NoGrant, Closed: true, Remedy: license.Buy}}}, nil
	}
	if err != nil {
		return license.Decision{}, fmt.Errorf("evaluate: %w", err)
	}
	return d, nil
}
