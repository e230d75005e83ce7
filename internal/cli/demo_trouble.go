package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
)

func (d *demo) proveRejection(ctx context.Context) (string, error) {
	before, err := d.library(ctx)
	if err != nil {
		return "", err
	}
	client := &lrphttp.Client{URL: d.homeURL}
	tx := lrp.NewTransaction(lrp.Addr{1}, lrp.Addr{2}, time.Now(), lrp.Life)
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
	if err := d.revokeClass(ctx, "phone"); err != nil {
		return "", err
	}
	after, err := d.waitEpoch(ctx, before)
	if err != nil {
		return "", err
	}
	var no answer
	for _, id := range []ident.Content{bought, stranded} {
		if no, err = d.run(ctx, "device", "get", string(id), "--dir", d.path("phone")); err != nil {
			return "", err
		}
		if no.code != statusRefused {
			return "", fmt.Errorf("%s: the device of the revoked class got status %d: %s", id, no.code, firstLine(no.stderr))
		}
	}
	if _, err := d.must(ctx, "device", "get", string(bought), "--dir", d.path("tablet")); err != nil {
		return "", err
	}
	return fmt.Sprintf("epoch %d to %d; the house refuses the device on its own (%s) and serves the other", before, after, firstLine(no.stderr)), d.again("shop")
}

func (d *demo) epoch(ctx context.Context) (uint64, error) {
	s, err := d.homeModule(ctx)
	return s.Epoch, err
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
	s, err := d.watch(ctx, httpd.PlayBody{Content: bought})
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
