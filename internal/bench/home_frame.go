package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed home_frame.mjs
var frameScript []byte

// The pages of a house that serves the film in the clear: a button, and the same
// player as the house's.
const (
	clearButton = `<!doctype html><title>Clear</title><a data-play href="/watch">Play</a>`
	clearPlayer = `<!doctype html><title>Clear</title><video id="video" controls autoplay playsinline></video>
<script src="/shaka.js" defer></script><script type="module" src="/player.js"></script>`
	clearScript = `const video = document.getElementById("video");
shaka.polyfill.installAll();
const player = new shaka.Player();
await player.attach(video);
await player.load("/film.mp4");
await video.play().catch(() => {});`
)

// shakaPath is where a house has its player.
const shakaPath = "/static/vendor/shaka/shaka-player.compiled-es2021.js"

// firstFrame has one browser, which is warm, play a film of the house and the same
// file from a plain server, in turns: from the press of the button to the first frame
// that is shown.
func (h *benchHouse) firstFrame(ctx context.Context) (rows []Row, err error) {
	const name = "first picture, over the clear film"
	if why := h.noBrowser(); why != "" {
		return []Row{Absent(name, unitMillis, why)}, nil
	}
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	plain, err := h.serveClear(ctx)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	rounds := 15
	if h.cfg.Quick {
		rounds = 1
	}
	got, err := h.browse(ctx, map[string]any{
		"rounds": rounds, "house": h.server.url + "/title/" + filmTitle, "clear": plain.URL + "/",
	})
	if err != nil {
		return nil, err
	}
	ours, theirs := median(got.House), median(got.Clear)
	return []Row{
		Plain("first picture of the film in the clear", round1(theirs), unitMillis),
		Plain("first picture through the house", round1(ours), unitMillis),
		AtMost(name, round1(ours-theirs), unitMillis, maxFirstFrame),
		Plain("first picture, against the clear film", round2(ours/theirs), unitTimes),
	}, nil
}

// noBrowser says why there can be no player.
func (h *benchHouse) noBrowser() string {
	for _, name := range []string{"chromium", "node", "playwright-core"} {
		if _, ok := h.cfg.Peer(name); !ok {
			return name + " is not installed (make setup), or give --peer " + name + "=PATH"
		}
	}
	return ""
}

// serveClear serves the film as it was before it was packed, plainly.
func (h *benchHouse) serveClear(ctx context.Context) (*httptest.Server, error) {
	var shaka bytes.Buffer
	if status, err := h.get(ctx, shakaPath, &shaka); err != nil || status != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("the house's player: status %d", status))
	}
	mux := http.NewServeMux()
	for at, text := range map[string]string{"/{$}": clearButton, "/watch": clearPlayer, "/player.js": clearScript, "/shaka.js": shaka.String()} {
		mux.HandleFunc("GET "+at, func(w http.ResponseWriter, r *http.Request) {
			kind := "text/html"
			if strings.HasSuffix(at, ".js") {
				kind = "text/javascript"
			}
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-cache") // these two as the house does
			w.Header().Set("ETag", `"same"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
		})
	}
	mux.HandleFunc("GET /film.mp4", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, h.path("clear.mp4")) })
	return httptest.NewServer(mux), nil
}

// frames are times to the first picture, in ms.
type frames struct {
	House, Clear []float64
	Error        string
}

// browse runs the script.
func (h *benchHouse) browse(ctx context.Context, opt map[string]any) (got frames, err error) {
	script := h.path("frame.mjs")
	if err := os.WriteFile(script, frameScript, 0o600); err != nil {
		return got, err
	}
	chromium, _ := h.cfg.Peer("chromium")
	node, _ := h.cfg.Peer("node")
	core, _ := h.cfg.Peer("playwright-core")
	if core, err = filepath.EvalSymlinks(core); err == nil {
		core, err = filepath.Abs(core)
	}
	if err != nil {
		return got, err
	}
	if filepath.Base(core) == "cli.js" { // the command of the package
		core = filepath.Dir(core)
	}
	opt["chromium"], opt["core"] = chromium, core
	arg, err := json.Marshal(opt)
	if err != nil {
		return got, err
	}
	cmd := exec.CommandContext(ctx, node, script, string(arg)) //nolint:gosec // a peer's name, or its path by flag
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return got, fmt.Errorf("node: %w", err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return got, fmt.Errorf("what the browser saw: %w", err)
	}
	if got.Error != "" {
		err = fmt.Errorf("the browser: %s", got.Error)
	}
	return got, err
}
