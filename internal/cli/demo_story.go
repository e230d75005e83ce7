package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// step is one line of the story: what it proves, or why it does not hold.
type step struct {
	name string
	run  func(context.Context) (proved string, err error)
}

// story is the way of a license, from the authority to the restart.
func (d *demo) story() []step {
	return []step{
		{"certification authorities", d.proveCA},
		{"a real film, protected", d.provePack},
		{"the shop keeps what it sold", d.proveShop},
		{"licenses come by SLTP, unseen", d.proveDelivery},
		{"devices play the source's stream", d.provePlay},
		{"the third play is refused", d.proveRefusal},
		{"what is damaged is rejected", d.proveRejection},
		{"a revoked class, the shop away", d.proveRevocation},
		{"link-encrypted to a browser", d.proveBrowser},
		{"kill -9 and a restart lose nothing", d.proveRestart},
	}
}

func (d *demo) proveCA(ctx context.Context) (string, error) {
	if err := d.makeCA(ctx); err != nil {
		return "", err
	}
	var seen struct {
		Classes []json.RawMessage `json:"classes"`
	}
	if err := d.query(ctx, &seen, "ca", "show", "--dir", d.path("ca")); err != nil {
		return "", err
	}
	if len(seen.Classes) < 4 {
		return "", fmt.Errorf("the authority has %d classes", len(seen.Classes))
	}
	return fmt.Sprintf("a root, first-level authorities and %d classes; state and time signers serve at %s", len(seen.Classes), d.caURL), d.makeShop(ctx)
}

func (d *demo) provePack(ctx context.Context) (string, error) {
	if err := d.packFilm(ctx); err != nil {
		return "", err
	}
	var err error
	if d.sources, err = sourceHashes(d.path("film")); err != nil {
		return "", err
	}
	keys := map[ident.Key]bool{}
	segments := 0
	for _, t := range d.titles("", "") {
		data, err := os.ReadFile(d.path("packed", string(t.id), content.ManifestName))
		if err != nil {
			return "", err
		}
		m, err := content.ParseManifest(data)
		if err != nil {
			return "", err
		}
		for _, track := range m.Tracks {
			keys[track.KID] = true
			segments += len(track.Segments)
		}
	}
	if len(keys) != 3*len(d.sources) {
		return "", fmt.Errorf("%d keys for %d titles of %d tiers", len(keys), 3, len(d.sources))
	}
	return fmt.Sprintf("3 titles, cenc and cbcs, %d segments under %d keys, one a tier; the keys left the packer sealed to the shop's module", segments, len(keys)), nil
}

// sourceHashes hashes the film's own streams, by tier.
func sourceHashes(dir string) (map[string][32]byte, error) {
	out := map[string][32]byte{}
	for tier, name := range map[string]string{"SD": film.SD, "HD": film.HD} {
		got, err := packager.StreamHashes(dir + "/" + name)
		if err != nil {
			return nil, err
		}
		out[tier] = got["video"]
		if audio, ok := got["audio"]; ok {
			out["AUDIO"] = audio
		}
	}
	return out, nil
}

func (d *demo) proveShop(ctx context.Context) (string, error) {
	if err := d.stockShop(ctx); err != nil {
		return "", err
	}
	if err := d.makeHome(ctx); err != nil {
		return "", err
	}
	if err := d.sell(ctx); err != nil {
		return "", err
	}
	if err := d.kill("shop"); err != nil {
		return "", err
	}
	if err := d.again("shop"); err != nil {
		return "", err
	}
	n, err := d.grants(ctx)
	if err != nil {
		return "", err
	}
	if n != 3 {
		return "", fmt.Errorf("after kill -9 the shop knows %d of 3 grants", n)
	}
	return "keys registered with its input module; 3 grants in SQLite, all there after kill -9", nil
}

func (d *demo) grants(ctx context.Context) (int, error) {
	var list struct {
		Grants []json.RawMessage `json:"grants"`
	}
	err := d.query(ctx, &list, "issuer", "grants", "--dir", d.path("shop"))
	return len(list.Grants), err
}

func (d *demo) proveDelivery(ctx context.Context) (string, error) {
	var err error
	if d.relay, err = newRecorder(ctx, d.shopURL); err != nil {
		return "", err
	}
	for _, t := range d.titles("", "") {
		if err := d.fetchTitle(ctx, t.id); err != nil {
			return "", err
		}
	}
	lib, err := d.library(ctx)
	if err != nil {
		return "", err
	}
	secrets := [][]byte{[]byte(bought), []byte(rented)}
	for _, t := range lib {
		if len(t.Held) != 1 {
			return "", fmt.Errorf("%s: %d licenses are held, want 1", t.Content, len(t.Held))
		}
		id, err := hex.DecodeString(t.Held[0].License)
		if err != nil {
			return "", err
		}
		secrets = append(secrets, id)
	}
	total := 0
	for _, s := range secrets {
		n, found := d.relay.carried(s)
		if total = n; found {
			return "", errors.New("the relay saw a content ID or a license ID in the clear")
		}
	}
	if total < 3000 {
		return "", fmt.Errorf("the relay carried only %d bytes", total)
	}
	return fmt.Sprintf("3 licenses held; the relay carried %d bytes and found neither a content ID nor a license ID in them", total), nil
}

// titleSeen is what the house says of a title.
type titleSeen struct {
	Content string `json:"content"`
	Held    []struct {
		License  string           `json:"license"`
		Counters license.Counters `json:"counters"`
	} `json:"held"`
}

func (d *demo) library(ctx context.Context) ([]titleSeen, error) {
	data, err := fetch(ctx, d.homeURL+"/api/v1/library")
	if err != nil {
		return nil, err
	}
	var v struct {
		Titles []titleSeen `json:"titles"`
	}
	return v.Titles, json.Unmarshal(data, &v)
}

func (d *demo) provePlay(ctx context.Context) (string, error) {
	if err := d.makeDevices(ctx); err != nil {
		return "", err
	}
	n := 0
	for _, id := range []ident.Content{bought, boughtCBCS} {
		if _, err := d.must(ctx, "device", "get", string(id), "--dir", d.path("tablet")); err != nil {
			return "", err
		}
		for tier, want := range d.sources {
			if err := d.playAndCompare(ctx, id, tier, want); err != nil {
				return "", err
			}
			n++
		}
	}
	by := "another reader of MP4"
	if _, ok := haveFFmpeg(); ok {
		by += " and ffmpeg's streamhash"
	}
	return fmt.Sprintf("two devices paired; %d streams (2 schemes, %d tiers) have the source's hash, by %s", n, len(d.sources), by), nil
}

func (d *demo) playAndCompare(ctx context.Context, id ident.Content, tier string, want [32]byte) error {
	out := d.path("out.mp4")
	if _, err := d.must(ctx, "device", "play", string(id), "--dir", d.path("tablet"), "--tier", tier, "--out", out); err != nil {
		return err
	}
	got, err := packager.StreamHashes(out)
	if err != nil {
		return err
	}
	kind, source, stream := "video", film.HD, "v:0"
	switch tier {
	case "AUDIO":
		kind, stream = "audio", "a:0"
	case "SD":
		source = film.SD
	}
	if got[kind] != want {
		return fmt.Errorf("%s, %s: the stream is not the source's", id, tier)
	}
	ffmpeg, ok := haveFFmpeg()
	if !ok {
		return nil
	}
	a, err := streamHash(ctx, ffmpeg, out, stream)
	if err != nil {
		return err
	}
	b, err := streamHash(ctx, ffmpeg, d.path("film", source), stream)
	if err == nil && a != b {
		err = fmt.Errorf("%s, %s: ffmpeg says %s, of the source %s", id, tier, a, b)
	}
	return err
}

func streamHash(ctx context.Context, ffmpeg, file, stream string) (string, error) {
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-i", file, "-map", "0:"+stream, "-c", "copy", "-f", "streamhash", "-hash", "md5", "-") //nolint:gosec // the demo's own files
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ffmpeg: %w", err)
	}
	_, hash, ok := strings.Cut(strings.TrimSpace(string(out)), "MD5=")
	if !ok {
		return "", fmt.Errorf("ffmpeg printed no hash: %q", out)
	}
	return hash, nil
}

func (d *demo) proveRefusal(ctx context.Context) (string, error) {
	if _, err := d.must(ctx, "device", "get", string(rented), "--plays", fmt.Sprint(rentalPlays), "--dir", d.path("tablet")); err != nil {
		return "", err
	}
	play := []string{"device", "play", string(rented), "--dir", d.path("tablet"), "--tier", "HD", "--out", d.path("out.mp4")}
	first, err := d.run(ctx, play...)
	if err != nil {
		return "", err
	}
	if first.code != statusRefused || !strings.Contains(first.stderr, string(license.NeedsConfirm)) {
		return "", fmt.Errorf("a play that starts 48 hours began without consent (status %d)", first.code)
	}
	play = append(play, "--yes")
	for range rentalPlays {
		if _, err := d.must(ctx, play...); err != nil {
			return "", err
		}
	}
	third, err := d.run(ctx, append(play, "--json")...)
	if err != nil {
		return "", err
	}
	var why license.Decision
	if err := json.Unmarshal([]byte(third.stdout), &why); err != nil {
		return "", fmt.Errorf("the third play: status %d, %q: %w", third.code, firstLine(third.stdout+third.stderr), err)
	}
	i := slices.IndexFunc(why.Reasons, func(r license.Reason) bool { return r.Code == license.CountExhausted })
	if third.code != statusRefused || i < 0 || why.Reasons[i].Remedy == "" {
		return "", fmt.Errorf("the third play: status %d, reasons %v", third.code, why.Reasons)
	}
	return fmt.Sprintf("exit status %d, %s, remedy %s, after two plays to the end; the first asked for consent to its 48 hours", third.code, why.Reasons[i].Code, why.Reasons[i].Remedy), nil
}

func (d *demo) proveRejection(ctx context.Context) (string, error) {
	before, err := d.library(ctx)
	if err != nil {
		return "", err
	}
	client := &lrphttp.Client{URL: d.homeURL}
	tx := lrp.NewTransaction(lrp.Addr{1}, lrp.Addr{2}, time.Now(), lrp.Life) //nolint:forbidigo // a frame's age, judged by nobody but a relay
	body, err := lrp.SLTP{Message: []byte{0x83, 0x00, 0x02}}.Encode()
	if err != nil {
		return "", err
	}
	answers, err := client.Exchange(ctx, tx.Next(lrp.TypeSLTP, body))
	for _, a := range answers {
		if a.Type == lrp.TypeSLTP {
			return "", errors.New("a truncated message got an answer of SLTP")
		}
	}
	said := "silence"
	if err != nil {
		said = firstLine(err.Error())
	}
	if a, err := d.run(ctx, "device", "get", string(bought), "--dir", d.path("nobody")); err != nil || a.code == 0 {
		return "", fmt.Errorf("a device without a certificate got a license (%w)", err)
	}
	bad := d.path("bad")
	if err := os.CopyFS(bad, os.DirFS(d.packed(bought))); err != nil {
		return "", err
	}
	if err := damage(bad); err != nil {
		return "", err
	}
	a, err := d.run(ctx, "device", "play", string(bought), "--dir", d.path("tablet"), "--content", bad, "--tier", "SD", "--out", d.path("bad.mp4"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(d.path("bad.mp4")); a.code == 0 || err == nil {
		return "", errors.New("a damaged segment was played")
	}
	after, err := d.library(ctx)
	if err != nil {
		return "", err
	}
	if x, y := fmt.Sprint(facts(before)), fmt.Sprint(facts(after)); x != y {
		return "", fmt.Errorf("something was stored: %s, then %s", x, y)
	}
	return fmt.Sprintf("a truncated message (%s), a stranger, a damaged segment (%s); nothing was stored", said, firstLine(a.stderr)), nil
}

// damage changes a byte in the first SD segment of a packed folder.
func damage(dir string) error {
	data, err := os.ReadFile(dir + "/" + content.ManifestName)
	if err != nil {
		return err
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		return err
	}
	t, err := trackOf(m, content.SD)
	if err != nil {
		return err
	}
	name := dir + "/" + t.Segments[0].Name
	seg, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	seg[len(seg)/2] ^= 1
	return os.WriteFile(name, seg, 0o600)
}

func (d *demo) proveRevocation(ctx context.Context) (string, error) {
	if _, err := d.must(ctx, "device", "get", string(bought), "--dir", d.path("phone")); err != nil {
		return "", err
	}
	if err := d.stop("shop"); err != nil {
		return "", err
	}
	before, err := d.epoch(ctx)
	if err != nil {
		return "", err
	}
	class, err := d.classOf(ctx, "phone")
	if err != nil {
		return "", err
	}
	if _, err := d.must(ctx, "ca", "revoke", "--dir", d.path("ca"), "--class", fmt.Sprint(class)); err != nil {
		return "", err
	}
	if res, err := request(ctx, http.MethodPost, d.homeURL+"/api/v1/learn", map[string]any{}); err != nil || res.status >= 300 {
		return "", fmt.Errorf("the house learns nothing: HTTP %d (%w)", res.status, err)
	}
	after, err := d.waitEpoch(ctx, before)
	if err != nil {
		return "", err
	}
	no, err := d.run(ctx, "device", "get", string(bought), "--dir", d.path("phone"))
	if err != nil {
		return "", err
	}
	if no.code != statusRefused {
		return "", fmt.Errorf("the device of the revoked class got status %d: %s", no.code, firstLine(no.stderr))
	}
	if _, err := d.must(ctx, "device", "get", string(bought), "--dir", d.path("tablet")); err != nil {
		return "", err
	}
	return fmt.Sprintf("epoch %d to %d; the house refuses the device on its own (%s) and serves the other", before, after, firstLine(no.stderr)), d.again("shop")
}

func (d *demo) epoch(ctx context.Context) (uint64, error) {
	data, err := fetch(ctx, d.homeURL+"/api/v1/status")
	if err != nil {
		return 0, err
	}
	var v struct {
		Module struct {
			Epoch uint64 `json:"epoch"`
		} `json:"module"`
	}
	return v.Module.Epoch, json.Unmarshal(data, &v)
}

// waitEpoch waits until the house has learned a newer epoch.
func (d *demo) waitEpoch(ctx context.Context, than uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	for {
		if n, err := d.epoch(ctx); err == nil && n > than {
			return n, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the house did not learn an epoch after %d", than)
		case <-tick():
		}
	}
}

// facts are what must survive: every title's licenses and plays left.
func facts(lib []titleSeen) []string {
	var out []string
	for _, t := range lib {
		for _, h := range t.Held {
			left := "unlimited"
			if h.Counters.PlaysLeft != nil {
				left = fmt.Sprint(*h.Counters.PlaysLeft)
			}
			out = append(out, t.Content+" "+h.License+" "+left)
		}
	}
	slices.Sort(out)
	return out
}

func (d *demo) proveRestart(ctx context.Context) (string, error) {
	before, err := d.library(ctx)
	if err != nil {
		return "", err
	}
	grants, err := d.grants(ctx)
	if err != nil {
		return "", err
	}
	epoch, err := d.epoch(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"home", "shop", "ca"} {
		if err := d.kill(name); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"ca", "shop", "home"} {
		if err := d.again(name); err != nil {
			return "", err
		}
	}
	after, err := d.library(ctx)
	if err != nil {
		return "", err
	}
	n, err := d.grants(ctx)
	if err != nil {
		return "", err
	}
	e, err := d.epoch(ctx)
	if err != nil {
		return "", err
	}
	if !slices.Equal(facts(before), facts(after)) || n != grants || e < epoch {
		return "", fmt.Errorf("before %v, %d grants, epoch %d; after %v, %d grants, epoch %d", facts(before), grants, epoch, facts(after), n, e)
	}
	a, err := d.run(ctx, "device", "play", string(rented), "--dir", d.path("tablet"), "--tier", "HD", "--out", d.path("out.mp4"), "--yes")
	if err != nil {
		return "", err
	}
	if a.code != statusRefused {
		return "", fmt.Errorf("after the restart the third play ends with status %d", a.code)
	}
	return fmt.Sprintf("%d licenses, %d grants, epoch %d and the used plays are what they were", len(facts(after)), n, e), nil
}

func (d *demo) proveBrowser(ctx context.Context) (string, error) {
	s, err := d.watch(ctx)
	if err != nil {
		return "", err
	}
	if err := s.compare(ctx, d); err != nil {
		return "", err
	}
	if _, err := d.must(ctx, "home", "stop", s.ID, "--dir", d.path("home")); err != nil {
		return "", err
	}
	res, err := request(ctx, http.MethodGet, s.segment, nil)
	if err != nil {
		return "", err
	}
	if res.status < 400 || bytes.Contains(res.body, []byte("mdat")) {
		return "", fmt.Errorf("after the stop a segment still comes (HTTP %d)", res.status)
	}
	return fmt.Sprintf("the session's own keys open the stream to the source's pictures; they are not the title's; stopped, the house answers HTTP %d", res.status), nil
}
