package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/security/trem"
)

// served is what `device play --serve` says when it is ready.
type served struct {
	URL    string            `json:"url"`    // a playlist of all tracks
	Tracks map[string]string `json:"tracks"` // name to the address of a file with ranges
}

// show serves a play on loopback, to one player that is started or to whatever the
// user opens the address with, until that ends, the user ends it, or the license.
func (d *device) show(ctx context.Context, cmd *cobra.Command, env *Env, src *files, m *content.Manifest, s trem.Session, f playFlags) (played, error) {
	got := played{License: s.License, Decision: s.Decision}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	shared := &sharedPlay{stop: stop}
	views, tracks, err := d.views(ctx, src, m, s, f.tier, shared)
	if err != nil {
		return got, err
	}
	got.Tier = tracks[0].Tier
	p := &playServer{views: views}
	at, err := p.listen()
	if err != nil {
		return got, err
	}
	err = p.run(ctx, p.handler(env.Now()), func() error {
		if f.player == "" {
			out := served{URL: at + "/" + playlistName, Tracks: map[string]string{}}
			for _, t := range tracks {
				out.Tracks[t.Name] = at + "/" + t.Name + ".mp4"
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is at %s until you press Ctrl-C.\n", m.Title, out.URL)
				return err
			})
		}
		return runPlayer(ctx, env, playerWords(f.player, at, tracks), nil)
	}, f.player == "")
	return shared.came(got, err)
}

// playlistName is the name of the playlist of all tracks.
const playlistName = "play.m3u8"

// playServer serves the clear views of one play on loopback, under a name that
// nobody can guess.
type playServer struct {
	views []*clearView
	ln    net.Listener
	path  string
}

func (p *playServer) listen() (string, error) {
	var secret [16]byte
	rand.Read(secret[:])
	p.path = "/" + hex.EncodeToString(secret[:])
	var err error
	p.ln, err = net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback: nothing to wait for
	if err != nil {
		return "", fmt.Errorf("serve the player: %w", err)
	}
	return "http://" + p.ln.Addr().String() + p.path, nil
}

// run serves while f runs; with wait until the play ends.
func (p *playServer) run(ctx context.Context, h http.Handler, f func() error, wait bool) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	var group sync.WaitGroup
	group.Go(func() { _ = srv.Serve(p.ln) }) // it ends with Close
	err := f()
	if wait && err == nil {
		<-ctx.Done()
	}
	err = errors.Join(err, srv.Close())
	group.Wait()
	return err
}

func (p *playServer) handler(now time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+p.path+"/"+playlistName, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
		_, _ = io.WriteString(w, p.master()) // the player is gone
	})
	for _, v := range p.views {
		mux.HandleFunc("GET "+p.path+"/"+v.files.Name+".m3u8", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
			_, _ = io.WriteString(w, v.playlist()) // the player is gone
		})
		mux.HandleFunc("GET "+p.path+"/"+v.files.Name+".mp4", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", v.files.Kind+"/mp4")
			http.ServeContent(w, r, v.files.Name+".mp4", now, io.NewSectionReader(v, 0, v.Size()))
		})
		mux.HandleFunc("GET "+p.path+"/"+v.files.Name+"/{part}", func(w http.ResponseWriter, r *http.Request) {
			part, ok := v.part(r.PathValue("part"))
			if !ok {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", v.files.Kind+"/mp4")
			http.ServeContent(w, r, r.PathValue("part"), now, part)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page of another site that reached this by a name of its own is not a player.
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil || host != "127.0.0.1" && host != "localhost" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// master is the playlist of all tracks, RFC 8216.
func (p *playServer) master() string {
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n")
	first, sound, codecs := p.views[0].files, "", p.views[0].files.Codecs
	rate := first.Bandwidth
	for _, v := range p.views[1:] {
		fmt.Fprintf(&b, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Sound\",DEFAULT=YES,AUTOSELECT=YES,URI=\"%s.m3u8\"\n", v.files.Name)
		sound, codecs, rate = ",AUDIO=\"audio\"", codecs+","+v.files.Codecs, rate+v.files.Bandwidth
	}
	fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,CODECS=\"%s\"%s\n%s.m3u8\n", rate, codecs, sound, first.Name)
	return b.String()
}

// playlist lists the init segment and the segments of a track, RFC 8216.
func (v *clearView) playlist() string {
	var b strings.Builder
	longest := int64(1)
	for _, s := range v.files.Segments {
		longest = max(longest, (s.DurationMS+999)/1000)
	}
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:%d\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"%s/init.mp4\"\n", longest, v.files.Name)
	for i, s := range v.files.Segments {
		fmt.Fprintf(&b, "#EXTINF:%.3f,\n%s/%d.m4s\n", float64(s.DurationMS)/1000, v.files.Name, i+1)
	}
	b.WriteString("#EXT-X-ENDLIST\n")
	return b.String()
}

// part is the range of the file that a name of the playlist stands for.
func (v *clearView) part(name string) (*io.SectionReader, bool) {
	if name == "init.mp4" {
		return io.NewSectionReader(v, 0, int64(v.init)), true
	}
	n, err := strconv.Atoi(strings.TrimSuffix(name, ".m4s"))
	if err != nil || n < 1 || n > len(v.ends) || name != strconv.Itoa(n)+".m4s" {
		return nil, false
	}
	size := v.files.Segments[n-1].Bytes
	return io.NewSectionReader(v, v.ends[n-1]-size, size), true
}

// playerWords are a player's words, split at spaces: with the playlist in the place of
// {}, or behind them. mpv gets the files of picture and sound, because the FFmpeg in it
// loses its place when it seeks in a playlist of fragments.
func playerWords(line, at string, tracks []*content.TrackFiles) []string {
	words := strings.Fields(line)
	if filepath.Base(words[0]) != "mpv" || strings.Contains(line, "{}") {
		return playerLine(words, at+"/"+playlistName)
	}
	words = append(words, at+"/"+tracks[0].Name+".mp4")
	for _, t := range tracks[1:] {
		words = append(words, "--audio-file="+at+"/"+t.Name+".mp4")
	}
	return words
}

// playerLine puts an address where {} stands for it, else at the end.
func playerLine(words []string, at string) []string {
	for i, w := range words {
		if strings.Contains(w, "{}") {
			words[i] = strings.ReplaceAll(w, "{}", at)
			return words
		}
	}
	return append(words, at)
}

// runPlayer runs a player, with what it reads from its standard input, if anything.
func runPlayer(ctx context.Context, env *Env, words []string, stdin io.Reader) error {
	player := exec.CommandContext(ctx, words[0], words[1:]...)
	player.Stdin, player.Stdout, player.Stderr = stdin, env.Stderr, env.Stderr
	if err := player.Run(); err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	return nil
}

// pipe starts a player that reads the stream from its standard input. done waits for
// it. A player that is closed before the end is no error: somebody has seen enough.
func (e *Env) pipe(ctx context.Context, line string) (io.Writer, func(whole bool) error) {
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := runPlayer(ctx, e, strings.Fields(line), r)
		_ = r.CloseWithError(errPlayerLeft) // never fails
		ended <- err
	}()
	return w, func(bool) error {
		_ = w.Close() // never fails
		return <-ended
	}
}

// errPlayerLeft ends a stream whose player has ended.
var errPlayerLeft = errors.New("the player has ended")
