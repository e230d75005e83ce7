package cli

import (
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
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/revocation"
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
		{"the walls of the modules", d.proveWalls},
		{"shop, house and authority, judged", d.proveConform},
		{"a right for each title", d.proveRights},
		{"the third play is refused", d.proveRefusal},
		{"what is damaged is rejected", d.proveRejection},
		{"a revoked class, the shop away", d.proveRevocation},
		{"lent to a device", d.proveLoan}, // after the last word of the tablet, which would give back what is over
		{"link-encrypted to a browser", d.proveBrowser},
		{"the loan comes back by itself", d.proveReturn},
		{"a move, killed in the middle", d.proveMove},
		{"kill -9 and a restart lose nothing", d.proveRestart},
		{"the doctor finds all in order", d.proveDoctor},
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
	for _, t := range demoTitles(time.Time{}) {
		data, err := os.ReadFile(d.path("packed", string(t.id), content.ManifestName))
		if err != nil {
			return "", err
		}
		m, err := content.ParseManifest(data)
		if err != nil {
			return "", err
		}
		if data, err = os.ReadFile(d.path("packed", string(t.id), content.StateName)); err != nil {
			return "", err
		}
		if _, err := revocation.ParseOffer(data); err != nil {
			return "", err
		}
		for _, track := range m.Tracks {
			keys[track.KID] = true
			segments += len(track.Segments)
		}
	}
	titles := len(demoTitles(time.Time{}))
	if len(keys) != titleKeys(d.sources) {
		return "", fmt.Errorf("%d keys for %d titles of %d tiers", len(keys), titles, len(d.sources))
	}
	return fmt.Sprintf("%d titles, cenc and cbcs, %d segments under %d keys, one a tier; the keys left the packer sealed to the shop's module", titles, segments, len(keys)), nil
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
	if titles := len(demoTitles(time.Time{})); n != titles {
		return "", fmt.Errorf("after kill -9 the shop knows %d of %d grants", n, titles)
	}
	return fmt.Sprintf("keys registered with its input module; %d grants in SQLite, all there after kill -9", n), nil
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
	for _, t := range demoTitles(time.Time{}) {
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
	if err := d.relay.close(); err != nil {
		return "", err
	}
	if total < 3000 {
		return "", fmt.Errorf("the relay carried only %d bytes", total)
	}
	return fmt.Sprintf("%d licenses held; the relay carried %d bytes and found neither a content ID nor a license ID in them", len(lib), total), nil
}

// titleSeen is what the house says of a title.
type titleSeen struct {
	Content string `json:"content"`
	Held    []struct {
		License  string           `json:"license"`
		Phase    string           `json:"phase"`
		Counters license.Counters `json:"counters"`
	} `json:"held"`
}

func (d *demo) library(ctx context.Context) ([]titleSeen, error) {
	data, err := fetch(ctx, http.DefaultClient, d.homeURL+"/api/v1/library")
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
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-i", file, "-map", "0:"+stream, "-c", "copy", "-f", "streamhash", "-hash", "md5", "-")
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
