package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// logKeeper is a device's part in keeping the sealed logs of its house: its own at
// the house, and those of the house and of its fellows here. All of it is as
// well done with the next command.
type logKeeper struct {
	d    *device
	self ident.Device
	url  string // of the house's logs
	logs *home.Logs
}

func (d *device) logKeeper(self ident.Device) (*logKeeper, error) {
	logs, err := home.OpenLogs(filepath.Join(d.dir, "logs"))
	if err != nil {
		return nil, err
	}
	return &logKeeper{d: d, self: self, url: strings.TrimSuffix(d.cfg.Home, "/") + home.PathLogs, logs: logs}, nil
}

// healed is what `device heal --json` prints.
type healed struct {
	SetBack bool `json:"set_back"` // it had been, when the command began
	Healed  bool `json:"healed"`
}

func newDeviceHealCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "heal",
		Short: "Make this device whole again after its folder was replaced by an older one",
		Long: `A device whose folder is put back from a copy knows less than it did: plays that
were used would be there again. Its house notices, and what is counted waits. From
the sealed copy of its log that the house and the other devices keep, the device
takes up where it was. It does so by itself whenever it meets the house; this
command says what came of it. A device that has used what is counted since it was
put back does not heal: make it anew (lares device init) and pair it again.`,
		Example: `  lares device heal
  lares device heal --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDevice(env, *dir, func(d *device) error {
				p, err := d.post(cmd.Context(), env)
				if err != nil {
					return err
				}
				got, err := d.heal(cmd.Context(), p.self, meetsHouse)
				if err != nil {
					return err
				}
				return env.print(cmd, got, func(w io.Writer) error {
					words := "This device is as it was: nothing to heal."
					if got.Healed {
						words = "This device had been set back to an older state. It is whole again."
					}
					_, err := fmt.Fprintln(w, words)
					return err
				})
			})
		},
	}
}

// How long a device waits for its house before it goes on without. Source: local.
const (
	meetsHouse = 10 * time.Second
	looksFor   = time.Second // before a play, which needs no house
)

// look heals this device, if that is needed and can be. It is no condition of
// what comes after it.
func (d *device) look(ctx context.Context, env *Env, patience time.Duration) {
	if d.cfg.Home == "" || d.remote() {
		return
	}
	p, err := d.post(ctx, env)
	if err != nil {
		return
	}
	got, err := d.heal(ctx, p.self, patience)
	switch {
	case err != nil:
		fmt.Fprintf(env.Stderr, "lares: %v\n", err)
	case got.Healed:
		fmt.Fprintln(env.Stderr, "lares: this device had been set back to an older state; it is whole again from the copy that its house keeps")
	}
}

// heal shows this device's module how far the house's has seen its log. If that
// is further than the log goes, the device's folder was replaced by an older one, and
// it takes the house's copy. A house that does not answer in time is asked with the
// next command.
func (d *device) heal(ctx context.Context, self ident.Device, patience time.Duration) (out healed, err error) {
	k, err := d.logKeeper(self)
	if err != nil {
		return out, err
	}
	short, cancel := context.WithTimeout(ctx, patience)
	theirs, away := k.at(short, k.self)
	cancel()
	if len(theirs.Seen) > 0 {
		if err := d.trem.Hear(ctx, theirs.Seen); err != nil {
			return out, err
		}
	}
	st, err := d.trem.Status(ctx)
	if err != nil {
		return out, err
	}
	if out.SetBack = st.SetBack; !st.SetBack {
		return out, nil
	}
	if away != nil {
		return out, later("this device was set back to an older state of itself, and its house, which keeps a copy, does not answer: %w", away)
	}
	for _, c := range theirs.Copies {
		if err := k.fetch(ctx, k.self, c); err != nil {
			return out, err
		}
	}
	if out.Healed, err = home.HealFrom(ctx, d.trem, k.logs); err != nil || !out.Healed {
		if err == nil {
			err = errors.New("there is none")
		}
		return out, refused("this device was set back to an older state of itself, and no copy that its house keeps heals it: %w. What is counted waits here; lares device init into a new folder and lares device pair make it anew", err)
	}
	return out, nil
}

// keepLogs brings the copies up to date. What cannot be done now is done with the
// next command.
func (d *device) keepLogs(ctx context.Context, self ident.Device) {
	if d.remote() { // nobody keeps logs there
		return
	}
	if k, err := d.logKeeper(self); err == nil {
		_ = k.exchange(ctx)
	}
}

// exchange brings the copies up to date, here and at the house.
func (k *logKeeper) exchange(ctx context.Context) error {
	if err := home.SendLog(ctx, k.d.trem, k.offer(ctx, k.self), k.put(ctx, k.self)); err != nil {
		return err
	}
	data, err := fetch(ctx, k.d.web(), k.url)
	if err != nil {
		return err
	}
	var list struct {
		Devices []ident.Device `json:"devices"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("read the house's answer: %w", err)
	}
	if !slices.Contains(list.Devices, k.d.cfg.Server) {
		list.Devices = append(list.Devices, k.d.cfg.Server)
	}
	for _, id := range list.Devices {
		if id == k.self {
			continue
		}
		if err := k.share(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// share exchanges the copies of another module's log with the house: what is
// further there is kept here, and what is further here goes there.
func (k *logKeeper) share(ctx context.Context, id ident.Device) error {
	theirs, err := k.at(ctx, id)
	if err != nil {
		return err
	}
	if len(theirs.Copies) > 0 && !theirs.SetBack {
		if err := k.fetch(ctx, id, theirs.Copies[0]); err != nil {
			return err
		}
	}
	lacks := func(c home.LogCopy) bool {
		return !slices.ContainsFunc(theirs.Copies, func(o home.LogCopy) bool { return o.Incarnation != c.Incarnation || o.Counter >= c.Counter })
	}
	for _, c := range k.logs.Copies(id) {
		if theirs.SetBack || id != k.d.cfg.Server && lacks(c) { // its own log the house knows best, unless it was set back
			if err := k.give(ctx, id, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// at lists the copies of a module's log at the house.
func (k *logKeeper) at(ctx context.Context, id ident.Device) (out home.LogsOf, err error) {
	data, err := fetch(ctx, k.d.web(), k.url+"/"+id.String())
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("read the house's answer: %w", err)
	}
	return out, nil
}

// fetch keeps a copy that the house has.
func (k *logKeeper) fetch(ctx context.Context, id ident.Device, c home.LogCopy) error {
	seen := trem.LogSeen{}
	if list, err := k.d.trem.Kept(ctx); err == nil {
		if i := slices.IndexFunc(list, func(s trem.LogSeen) bool { return s.Device == id }); i >= 0 {
			seen = list[i]
		}
	}
	missing, err := k.logs.Offer(id, c, seen)
	if err != nil || len(missing) == 0 {
		return err
	}
	for _, sum := range missing {
		data, err := fetch(ctx, k.d.web(), k.url+"/"+id.String()+"/"+sum.String())
		if err != nil {
			return err
		}
		if err := k.logs.Put(id, data); err != nil {
			return err
		}
	}
	_, err = k.logs.Offer(id, c, seen)
	return err
}

// give brings a copy that is kept here to the house.
func (k *logKeeper) give(ctx context.Context, id ident.Device, c home.LogCopy) error {
	missing, err := k.offer(ctx, id)(c)
	if err != nil || len(missing) == 0 {
		return err
	}
	for _, sum := range missing {
		data, err := k.logs.Segment(id, sum)
		if err != nil {
			return err
		}
		if err := k.put(ctx, id)(data); err != nil {
			return err
		}
	}
	_, err = k.offer(ctx, id)(c)
	return err
}

func (k *logKeeper) offer(ctx context.Context, id ident.Device) func(home.LogCopy) ([]content.Digest, error) {
	return func(c home.LogCopy) ([]content.Digest, error) {
		body, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		data, err := k.submit(ctx, k.url+"/"+id.String(), "application/json", body)
		if err != nil {
			return nil, err
		}
		var out home.LogsMissing
		if err := json.Unmarshal(data, &out); err != nil {
			return nil, fmt.Errorf("read the house's answer: %w", err)
		}
		return out.Missing, nil
	}
}

func (k *logKeeper) put(ctx context.Context, id ident.Device) func([]byte) error {
	return func(data []byte) error {
		_, err := k.submit(ctx, k.url+"/"+id.String()+"/segments", "application/octet-stream", data)
		return err
	}
}

// maxAnswer bounds what is read of an answer to submit, in bytes. Source: local.
const maxAnswer = 1 << 20

// submit posts a body to the house, as a device of it.
func (k *logKeeper) submit(ctx context.Context, to, kind string, body []byte) ([]byte, error) {
	res, err := k.d.linked(ctx, k.self, func() (*http.Request, error) { return posting(ctx, to, kind, body) })
	return submitted(to, res, err)
}

// submit posts a body to the house, as anybody.
func submit(ctx context.Context, web *http.Client, to, kind string, body []byte) ([]byte, error) {
	req, err := posting(ctx, to, kind, body)
	if err != nil {
		return nil, err
	}
	res, err := web.Do(req)
	if err != nil {
		err = later("the house does not answer: %w", err)
	}
	return submitted(to, res, err)
}

func posting(ctx context.Context, to, kind string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", kind)
	}
	return req, err
}

func submitted(to string, res *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode >= http.StatusMultipleChoices {
		err = errors.Join(err, fmt.Errorf("post %s: %s", to, res.Status))
	}
	return data, err
}
