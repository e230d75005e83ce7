package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lares-drm/lares/content/film"
)

// The titles of the house: the demo's film as it is sold, and a film of noise at
// 10 Mb/s.
const (
	filmTitle   = "bench-film"
	streamTitle = "bench-stream"
)

// browserTerms let a title be played in a browser of the house.
const browserTerms = "PLAY; EXPORT=clearkey"

// benchHouse is a house that was made by the commands that its people use.
type benchHouse struct {
	cfg    Config
	dir    string
	server *served // nil while it is off
	shop   struct {
		url    string
		Issuer string `json:"issuer"`
	}
}

// newBenchHouse founds a house that has bought what it plays. The authority and the
// shop are off when it returns: a house needs neither to play.
func newBenchHouse(ctx context.Context, cfg Config, dir string) (h *benchHouse, err error) {
	h = &benchHouse{cfg: cfg, dir: dir}
	if err := h.do(ctx, nil, "ca", "ceremony", "--dir", h.path("ca")); err != nil {
		return nil, err
	}
	ca, err := serveProgram(ctx, h.path("ca.log"), cfg.Program, "ca", "serve", "--dir", h.path("ca"), "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ca.stop()) }()
	if err := h.enroll(ctx, "license-issuer", "--issuer", "bench-shop")("issuer", "init", "--dir", h.path("shop"), "--ca", ca.url, "--name", "Bench shop"); err != nil {
		return nil, err
	}
	if err := h.enroll(ctx, "home-server")("home", "init", "--dir", h.path("home"), "--ca", ca.url); err != nil {
		return nil, err
	}
	shop, err := serveProgram(ctx, h.path("shop.log"), cfg.Program, "issuer", "serve", "--dir", h.path("shop"), "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shop.stop()) }()
	h.shop.url = shop.url
	about, err := os.ReadFile(h.path("shop", "issuer.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(about, &h.shop); err != nil {
		return nil, fmt.Errorf("read what the shop is: %w", err)
	}
	if h.server, err = serveProgram(ctx, h.path("home.log"), cfg.Program, "home", "serve", "--dir", h.path("home"), "--listen", "127.0.0.1:0", "--ca", ca.url); err != nil {
		return nil, err
	}
	return h, errors.Join(h.buy(ctx, ca.url), h.shut())
}

// enroll gives what runs a command with a voucher of a role.
func (h *benchHouse) enroll(ctx context.Context, role string, more ...string) func(args ...string) error {
	return func(args ...string) error {
		var v struct {
			Voucher string `json:"voucher"`
		}
		if err := h.do(ctx, &v, append([]string{"ca", "voucher", "--dir", h.path("ca"), "--role", role}, more...)...); err != nil {
			return err
		}
		return h.do(ctx, nil, append(args, "--voucher", v.Voucher)...)
	}
}

// buy packs the films, sells them to the house, and has it fetch its licenses.
func (h *benchHouse) buy(ctx context.Context, ca string) error {
	var house struct {
		Domain string `json:"pairwise"`
	}
	if err := h.do(ctx, &house, "home", "show", "--dir", h.path("home"), "--issuer", h.shop.Issuer); err != nil {
		return err
	}
	clear, err := film.Files.ReadFile(film.HD)
	if err != nil {
		return err
	}
	films := map[string]string{filmTitle: h.path("clear.mp4")}
	if err := os.WriteFile(films[filmTitle], clear, 0o600); err != nil {
		return err
	}
	if ffmpeg, ok := h.cfg.Peer("ffmpeg"); ok {
		films[streamTitle] = h.path("stream.mp4")
		if err := makeStream(ctx, ffmpeg, films[streamTitle], h.cfg.Quick); err != nil {
			return err
		}
	}
	if err := os.Mkdir(h.path("packed"), 0o700); err != nil {
		return err
	}
	for id, file := range films {
		packed := h.path("packed", id)
		for _, args := range [][]string{
			{"pack", file, "--title", id, "--content", id, "--to", h.path("shop", "delivery.der"), "--authority", ca, "--out", packed},
			{"issuer", "content", "add", "--dir", h.path("shop"), "--keys", filepath.Join(packed, "keys.lkd")},
			{"issuer", "grant", "--dir", h.path("shop"), "--domain", house.Domain, "--content", id, "--terms", browserTerms, "--kind", "purchase"},
			{"home", "add", packed, "--dir", h.path("home")},
			{"home", "fetch", id, "--dir", h.path("home"), "--issuer", h.shop.url},
		} {
			if err := h.do(ctx, nil, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeStream makes a film of noise that takes 10 Mb/s all the time.
func makeStream(ctx context.Context, ffmpeg, out string, quick bool) error {
	length := "16"
	if quick {
		length = "4"
	}
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-y", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d="+length+",noise=alls=40:allf=t", //nolint:gosec // a peer's name, or its path by flag
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "100", "-keyint_min", "100", "-sc_threshold", "0", "-x264-params", "nal-hrd=cbr",
		"-b:v", "10M", "-minrate", "10M", "-maxrate", "10M", "-bufsize", "10M", "-pix_fmt", "yuv420p", out)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a film of 10 Mb/s: %w: %s", err, said)
	}
	return nil
}

// do runs a command to its end, and reads its JSON into out if that is wanted.
func (h *benchHouse) do(ctx context.Context, out any, args ...string) error {
	if out != nil {
		args = append(args, "--json")
	}
	cmd := exec.CommandContext(ctx, h.cfg.Program, args...) //nolint:gosec // this program itself
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lares %s: %w: %s", strings.Join(args[:2], " "), err, stderr.Bytes())
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(stdout.Bytes(), out)
}

func (h *benchHouse) path(names ...string) string {
	return filepath.Join(append([]string{h.dir}, names...)...)
}

// open starts to serve, without an authority.
func (h *benchHouse) open(ctx context.Context) (err error) {
	h.server, err = serveProgram(ctx, h.path("home.log"), h.cfg.Program, "home", "serve", "--dir", h.path("home"), "--listen", "127.0.0.1:0")
	return err
}

func (h *benchHouse) shut() error {
	err := h.server.stop()
	h.server = nil
	return err
}

func (h *benchHouse) close() error {
	if h.server == nil {
		return nil
	}
	return h.shut()
}

// processes are those of the home server and its module.
func (h *benchHouse) processes() ([]int, error) {
	modules, err := childrenOf(h.server.pid())
	if err == nil && len(modules) != 1 {
		err = fmt.Errorf("the home server has %d child processes", len(modules))
	}
	return append(modules, h.server.pid()), err
}

// get asks the house and copies its answer to w, if that is not nil.
func (h *benchHouse) get(ctx context.Context, path string, w io.Writer) (status int, err error) {
	return h.ask(ctx, http.MethodGet, path, nil, w)
}

func (h *benchHouse) ask(ctx context.Context, method, path string, body []byte, w io.Writer) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, h.server.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if w == nil {
		w = io.Discard
	}
	_, err = io.Copy(w, res.Body)
	return res.StatusCode, err
}
