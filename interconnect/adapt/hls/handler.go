package hls

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Sessions are the playback sessions of a house. Each method fails for a
// session that is not there or has ended, and counts as a sign that its player
// is alive.
type Sessions interface {
	// LinkKey gives the session's key of a key ID.
	LinkKey(session string, kid ident.Key) (cenc.ContentKey, error)
	// Tracks lists the tracks that the session may use.
	Tracks(session string) ([]*content.TrackFiles, error)
	// Initialization and Segment give the session's stream, link-encrypted.
	Initialization(session, track string) ([]byte, error)
	Segment(ctx context.Context, session, track string, n int) ([]byte, error)
}

// ErrNotFound is returned to Fail for what a session does not have.
var ErrNotFound = errors.New("hls: the session has no such file")

// Config of a handler.
type Config struct {
	Sessions Sessions                                              // required
	Fail     func(w http.ResponseWriter, r *http.Request, e error) // required: answers with an error of Sessions, or ErrNotFound
}

// Handler serves a session to players without EME, at its two patterns: a
// multivariant playlist at METHOD/main.m3u8, and what it names. The caller guards it as it
// guards the rest of a session.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(PlaylistPattern, c.handle(c.playlist))
	mux.HandleFunc(FilePattern, c.handle(c.file))
	return mux
}

// The patterns that a handler answers. {method} is aes-128 or sample-aes.
const (
	PlaylistPattern = "GET /play/{session}/hls/{method}/{playlist}"
	FilePattern     = "GET /play/{session}/hls/{method}/{track}/{file}"
)

// answer is a file of a session.
type answer struct {
	media string
	body  []byte
}

// handle finds the method of a request and answers it.
func (c Config) handle(fn func(*http.Request, Method) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := answer{}, ErrNotFound
		for _, m := range []Method{AES128, SampleAES} {
			if r.PathValue("method") == m.dir() {
				a, err = fn(r, m)
			}
		}
		if err != nil {
			c.Fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", a.media)
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(a.body) // the player is gone
	}
}

// MediaType of a playlist. Source: RFC 8216, 4.
const MediaType = "application/vnd.apple.mpegurl"

// tracks lists the tracks that can be played by the method: SAMPLE-AES of MP4
// is the scheme cbcs, and players that know AES-128 alone take any.
func (c Config) tracks(session string, m Method) ([]*content.TrackFiles, error) {
	all, err := c.Sessions.Tracks(session)
	if err != nil || m == AES128 {
		return all, err
	}
	var out []*content.TrackFiles
	for _, t := range all {
		in, err := c.parsed(session, t.Name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(in.Tracks, func(x content.Track) bool {
			return slices.ContainsFunc(x.Entries, func(e content.Entry) bool { return e.Scheme == cenc.SchemeCBCS })
		}) {
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return nil, ErrNotFound
	}
	return out, nil
}

func (c Config) track(session string, m Method, name string) (*content.TrackFiles, error) {
	all, err := c.tracks(session, m)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(t *content.TrackFiles) bool { return t.Name == name })
	if i < 0 {
		return nil, ErrNotFound
	}
	return all[i], nil
}

func (c Config) playlist(r *http.Request, m Method) (answer, error) {
	session := r.PathValue("session")
	name, ok := strings.CutSuffix(r.PathValue("playlist"), ".m3u8")
	if !ok {
		return answer{}, ErrNotFound
	}
	if name == "main" {
		all, err := c.tracks(session, m)
		if err != nil {
			return answer{}, err
		}
		return answer{MediaType, []byte(Master(all))}, nil
	}
	t, err := c.track(session, m, name)
	if err != nil {
		return answer{}, err
	}
	return answer{MediaType, []byte(Media(m, t))}, nil
}

func (c Config) file(r *http.Request, m Method) (answer, error) {
	session, name := r.PathValue("session"), r.PathValue("file")
	t, err := c.track(session, m, r.PathValue("track"))
	if err != nil {
		return answer{}, err
	}
	switch name {
	case "key":
		return c.key(session, m, t)
	case "init.mp4":
		return c.init(session, m, t)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(name, ".m4s"))
	if err != nil || strconv.Itoa(n)+".m4s" != name || n < 0 || n >= len(t.Segments) {
		return answer{}, ErrNotFound
	}
	data, err := c.Sessions.Segment(r.Context(), session, t.Name, n)
	if err != nil || m == SampleAES {
		return answer{"video/mp4", data}, err
	}
	data, err = c.whole(session, t, n, data)
	return answer{"video/mp4", data}, err
}

// key gives a player its key: 16 bytes.
func (c Config) key(session string, m Method, t *content.TrackFiles) (answer, error) {
	key, err := c.Sessions.LinkKey(session, t.KID)
	if err == nil && m == AES128 {
		key, err = PlayerKey(key)
	}
	if err != nil {
		return answer{}, err
	}
	raw, err := key.Reveal()
	return answer{"application/octet-stream", raw[:]}, err
}

func (c Config) parsed(session, track string) (*content.Init, error) {
	data, err := c.Sessions.Initialization(session, track)
	if err != nil {
		return nil, err
	}
	return content.ParseInit(data)
}

func (c Config) init(session string, m Method, t *content.TrackFiles) (answer, error) {
	data, err := c.Sessions.Initialization(session, t.Name)
	if err != nil || m == SampleAES {
		return answer{"video/mp4", data}, err
	}
	in, err := content.ParseInit(data)
	if err != nil {
		return answer{}, fmt.Errorf("hls: initialization segment: %w", err)
	}
	data, err = in.Clear(data)
	return answer{"video/mp4", data}, err
}

// whole takes the session's encryption off a segment and encrypts all of it.
func (c Config) whole(session string, t *content.TrackFiles, n int, data []byte) ([]byte, error) {
	in, err := c.parsed(session, t.Name)
	if err != nil {
		return nil, err
	}
	f, err := in.Fragment(data)
	if err != nil {
		return nil, fmt.Errorf("hls: segment: %w", err)
	}
	if err := f.Decrypt(func(kid ident.Key) (cenc.ContentKey, error) { return c.Sessions.LinkKey(session, kid) }); err != nil {
		return nil, fmt.Errorf("hls: segment: %w", err)
	}
	key, err := c.Sessions.LinkKey(session, t.KID)
	if err == nil {
		key, err = PlayerKey(key)
	}
	if err != nil {
		return nil, err
	}
	return Encrypt(key, uint64(n), data) //nolint:gosec // n is a segment's number
}
