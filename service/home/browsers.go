package home

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"
)

const browsersFile = "browsers.json"

// Limits of browsers on other machines. Source: local, docs/spec/home-api.md.
const (
	maxBrowsers        = 32 // that are known
	maxWaitingBrowsers = 8
	browserTokenSize   = 32                  // bytes
	browserLife        = 90 * 24 * time.Hour // without being seen
	browserSeen        = time.Hour           // how exactly that is noted
)

// Browser is a browser on another machine that the owner let in. It may do what the
// pages may on the home server itself.
type Browser struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Hash  string    `json:"hash"` // SHA-256 of its token, hexadecimal
	Since time.Time `json:"since"`
	Seen  time.Time `json:"seen"` // to the hour

	Person string `json:"person,omitempty"` // ID of the child or guest whose it is
}

// WaitingBrowser asks to be let in. The owner compares the code with what it shows.
type WaitingBrowser struct {
	ID      string
	Name    string
	Code    string
	Expires time.Time

	hash string
}

// browsers are those that are known, and those that ask.
type browsers struct {
	mu      sync.Mutex
	dir     string
	known   []Browser        // guarded by mu
	waiting []WaitingBrowser // guarded by mu; not kept over a restart
}

type browsersState struct {
	Browsers []Browser `json:"browsers"`
}

func openBrowsers(dir string) (*browsers, error) {
	var st browsersState
	err := load(dir, browsersFile, &st)
	return &browsers{dir: dir, known: st.Browsers}, err
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// AskBrowser notes that a browser wants to be let in, and returns the token by which it
// is known from then on, and only to it.
func (h *Home) AskBrowser(name string) (token string, w WaitingBrowser, err error) {
	var raw [browserTokenSize]byte
	var id [8]byte
	rand.Read(raw[:]) // never returns an error
	rand.Read(id[:])
	now := h.cfg.Now()
	b := h.browsers
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if len(b.waiting) >= maxWaitingBrowsers {
		return "", w, ErrTooMany
	}
	token = hex.EncodeToString(raw[:])
	w = WaitingBrowser{ID: hex.EncodeToString(id[:]), Name: cleanName(name), Code: SetupCode(), Expires: now.Add(PairingLife), hash: hashOf(token)}
	b.waiting = append(b.waiting, w)
	h.publish(Event{Kind: EventPairings})
	return token, w, nil
}

// expire forgets who waited for too long; the caller holds mu.
func (b *browsers) expire(now time.Time) {
	b.waiting = slices.DeleteFunc(slices.Clone(b.waiting), func(w WaitingBrowser) bool { return !now.Before(w.Expires) })
}

// WaitingBrowsers lists those that ask, the first one first.
func (h *Home) WaitingBrowsers() []WaitingBrowser {
	b := h.browsers
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(h.cfg.Now())
	return slices.Clone(b.waiting)
}

// Browsers lists those that are known.
func (h *Home) Browsers() []Browser {
	b := h.browsers
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.known)
}

// BrowserWaits finds the question of the browser with a token.
func (h *Home) BrowserWaits(token string) (WaitingBrowser, bool) {
	hash := hashOf(token)
	for _, w := range h.WaitingBrowsers() {
		if w.hash == hash {
			return w, true
		}
	}
	return WaitingBrowser{}, false
}

// KnowsBrowser reports whether the browser with a token was let in, and notes that it
// was here.
func (h *Home) KnowsBrowser(token string) bool {
	if len(token) != 2*browserTokenSize {
		return false
	}
	hash, now := hashOf(token), h.cfg.Now()
	b := h.browsers
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.known, func(k Browser) bool { return k.Hash == hash })
	if i < 0 || now.Sub(b.known[i].Seen) > browserLife {
		return false
	}
	if now.Sub(b.known[i].Seen) >= browserSeen {
		known := slices.Clone(b.known)
		known[i].Seen = now.UTC().Truncate(browserSeen)
		if save(b.dir, browsersFile, browsersState{known}) == nil { // else it is noted the next time
			b.known = known
		}
	}
	return true
}

// BrowserName is what the browser with a token is called here; empty where none is
// known by it.
func (h *Home) BrowserName(token string) string { return h.browserBy(token).Name }

// browserBy is the known browser with a token; the zero one where there is none.
func (h *Home) browserBy(token string) Browser {
	hash := hashOf(token)
	for _, b := range h.Browsers() {
		if b.Hash == hash {
			return b
		}
	}
	return Browser{}
}

// RenameBrowser gives a known browser the name by which people know its screen.
func (h *Home) RenameBrowser(id, name string) error {
	b := h.browsers
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.known, func(k Browser) bool { return k.ID == id })
	if i < 0 {
		return fmt.Errorf("browser: %w", ErrUnknown)
	}
	known := slices.Clone(b.known)
	known[i].Name = cleanName(name)
	if err := save(b.dir, browsersFile, browsersState{known}); err != nil {
		return err
	}
	b.known = known
	h.publish(Event{Kind: EventPairings})
	return nil
}

// LetBrowserIn is the owner's yes, durably.
func (h *Home) LetBrowserIn(id string) error {
	now := h.cfg.Now()
	b := h.browsers
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	i := slices.IndexFunc(b.waiting, func(w WaitingBrowser) bool { return w.ID == id })
	if i < 0 {
		return fmt.Errorf("browser: %w", ErrUnknown)
	}
	known := slices.DeleteFunc(slices.Clone(b.known), func(k Browser) bool { return now.Sub(k.Seen) > browserLife })
	if len(known) >= maxBrowsers {
		return ErrTooMany
	}
	w := b.waiting[i]
	known = append(known, Browser{ID: w.ID, Name: w.Name, Hash: w.hash, Since: now.UTC().Truncate(time.Second), Seen: now.UTC().Truncate(browserSeen)})
	if err := save(b.dir, browsersFile, browsersState{known}); err != nil {
		return err
	}
	b.known, b.waiting = known, slices.Delete(slices.Clone(b.waiting), i, i+1)
	h.publish(Event{Kind: EventPairings})
	return nil
}

// RemoveBrowser forgets a browser, whether it is known or asks: it gets nothing more.
func (h *Home) RemoveBrowser(id string) error {
	b := h.browsers
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := slices.DeleteFunc(slices.Clone(b.waiting), func(w WaitingBrowser) bool { return w.ID == id })
	known := slices.DeleteFunc(slices.Clone(b.known), func(k Browser) bool { return k.ID == id })
	if len(waiting) == len(b.waiting) && len(known) == len(b.known) {
		return fmt.Errorf("browser: %w", ErrUnknown)
	}
	if len(known) != len(b.known) {
		if err := save(b.dir, browsersFile, browsersState{known}); err != nil {
			return err
		}
	}
	b.known, b.waiting = known, waiting
	h.publish(Event{Kind: EventPairings})
	return nil
}
