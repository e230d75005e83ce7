package home

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/security/revocation"
)

// Paths of the authority that devices of the house may read through it.
// Source: local, docs/spec/home-api.md.
const (
	PathHead     = "/rsl/v1/head"
	PathSnapshot = "/rsl/v1/snapshot"
	PathDelta    = "/rsl/v1/delta"
	PathTrust    = "/ca/v1/trust"
	PathSunsets  = "/rsl/v1/sunsets"
	PathTime     = "/time/v1"
)

const (
	maxRelayed   = 64 << 20 // bytes of one answer of the authority
	relayTimeout = 10 * time.Second
	relayFile    = "relay.json"
	stepsFile    = "steps.json"
)

// ErrAway is returned when the authority does not answer and nothing is kept.
var ErrAway = errors.New("home: the authority is away")

// Copy is an answer of the authority, byte for byte.
type Copy struct {
	Type string    `json:"type"` // media type
	Body []byte    `json:"body"`
	At   time.Time `json:"at"` // when it was fetched
}

// Relay passes the authority's signed statements on to devices of the house,
// from memory and disk when the authority is away. It believes none of them; the
// devices' modules check every one.
type Relay struct {
	dir  string
	url  string
	http *http.Client
	now  func() time.Time
	mu   sync.Mutex
	kept map[string]Copy // guarded by mu; by path
	step steps           // guarded by mu
}

// NewRelay reads what was kept in dir. client may be nil.
func NewRelay(dir, authority string, client *http.Client, now func() time.Time) (*Relay, error) {
	if client == nil {
		client = &http.Client{Timeout: relayTimeout}
	}
	r := &Relay{dir: dir, url: strings.TrimSuffix(authority, "/"), http: client, now: now, kept: map[string]Copy{}}
	for file, to := range map[string]any{relayFile: &r.kept, stepsFile: &r.step} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if err := json.Unmarshal(data, to); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	return r, nil
}

// Refresh fetches head, snapshot, trust and notices of sunset again. The head is read before and
// after the snapshot, so that the two belong together.
func (r *Relay) Refresh(ctx context.Context) error {
	head, err := r.fetch(ctx, PathHead)
	if err != nil {
		return err
	}
	if r.keeps(PathHead, head) && r.keeps(PathTrust, Copy{}) && r.keeps(PathSunsets, Copy{}) {
		return nil // nothing new
	}
	snapshot, err := r.fetch(ctx, PathSnapshot)
	if err != nil {
		return err
	}
	trust, err := r.fetch(ctx, PathTrust)
	if err != nil {
		return err
	}
	sunsets, err := r.fetch(ctx, PathSunsets)
	if err != nil {
		sunsets = Copy{Type: "application/cbor", Body: []byte{0x80}, At: head.At} // an authority of before: none stand
	}
	again, err := r.fetch(ctx, PathHead)
	if err != nil {
		return err
	}
	if !bytes.Equal(head.Body, again.Body) {
		return fmt.Errorf("%w: it is publishing just now", ErrAway)
	}
	r.keepStep(ctx, head)
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := map[string]Copy{PathHead: head, PathSnapshot: snapshot, PathTrust: trust, PathSunsets: sunsets}
	if err := save(r.dir, relayFile, kept); err != nil {
		return err
	}
	r.kept = kept
	return nil
}

// keeps reports whether the path's kept body equals c's; an empty c asks
// whether there is one at all.
func (r *Relay) keeps(path string, c Copy) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.kept[path]
	return ok && (c.Body == nil || bytes.Equal(k.Body, c.Body))
}

// Snapshot returns the kept snapshot; epoch, as decimal digits, may say that
// it must be of that epoch. It is ErrAway while only another one is here.
func (r *Relay) Snapshot(ctx context.Context, epoch string) (Copy, error) {
	c, err := r.Kept(ctx, PathSnapshot)
	if err != nil || epoch == "" {
		return c, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h, err := revocation.ParseHead(r.kept[PathHead].Body)
	if err != nil {
		return Copy{}, fmt.Errorf("read the kept head: %w", err)
	}
	if strconv.FormatUint(h.Epoch.Number, 10) != epoch {
		return Copy{}, fmt.Errorf("%w: another epoch is kept", ErrAway)
	}
	return r.kept[PathSnapshot], nil
}

// Kept returns the copy of PathHead, PathSnapshot, PathTrust or PathSunsets. Where there is
// none yet it asks the authority.
func (r *Relay) Kept(ctx context.Context, path string) (Copy, error) {
	if !r.keeps(path, Copy{}) {
		if err := r.Refresh(ctx); err != nil {
			return Copy{}, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.kept[path]
	if !ok {
		return Copy{}, fmt.Errorf("%s: %w", path, ErrUnknown)
	}
	return c, nil
}

// Time asks the authority for a time token with the device's nonce, which is
// hexadecimal. It cannot be kept: the token must repeat the nonce. What is kept
// is looked at as well, so that the signer's chain that is read next is of the
// key's certificate that signed, also after a renewal or a new root.
func (r *Relay) Time(ctx context.Context, nonce string) (Copy, error) {
	if len(nonce) == 0 || len(nonce) > 64 || strings.Trim(nonce, "0123456789abcdefABCDEF") != "" {
		return Copy{}, fmt.Errorf("nonce: %w", ErrUnknown)
	}
	token, err := r.fetch(ctx, PathTime+"?nonce="+nonce)
	if err == nil {
		_ = r.Refresh(ctx) // what is kept stays good enough
	}
	return token, err
}

func (r *Relay) fetch(ctx context.Context, path string) (Copy, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		return Copy{}, fmt.Errorf("ask the authority: %w", err)
	}
	res, err := r.http.Do(req)
	if err != nil {
		return Copy{}, fmt.Errorf("%w: %w", ErrAway, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRelayed+1))
	if err != nil {
		return Copy{}, fmt.Errorf("%w: %w", ErrAway, err)
	}
	if len(body) > maxRelayed || res.StatusCode != http.StatusOK {
		return Copy{}, fmt.Errorf("%w: HTTP status %d, %d bytes", ErrAway, res.StatusCode, len(body))
	}
	return Copy{Type: res.Header.Get("Content-Type"), Body: body, At: r.now().UTC().Truncate(time.Second)}, nil
}
