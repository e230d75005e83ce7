package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// personFile keeps on a device whose it is, as its house last said; it is not there
// where the device is everybody's, and goes when the device goes to another house.
const personFile = "person.json"

// maxPersonFile bounds it, and the house's answer, in bytes. Source: local.
const maxPersonFile = 1 << 20

// whose asks the house whose this device is, for a second, and goes by what it said last
// where it does not answer. Without a house, or in one that has no server and no people,
// it is everybody's.
func (d *device) whose(ctx context.Context) (home.Whose, error) {
	if d.cfg.Home == "" || d.remote() {
		return home.Whose{}, nil
	}
	file := filepath.Join(d.dir, personFile)
	data, err := d.askWhose(ctx)
	if err != nil { // the house is away
		kept, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return home.Whose{}, nil
		}
		if err != nil {
			return home.Whose{}, err
		}
		return parseWhose(kept)
	}
	w, err := parseWhose(data)
	switch {
	case err != nil:
		return w, fmt.Errorf("read whose this device is: %w", err)
	case w.Person != nil:
		return w, writeDurably(file, data)
	}
	return w, d.forgetWhose()
}

// forgetWhose has this device be everybody's.
func (d *device) forgetWhose() error {
	if err := os.Remove(filepath.Join(d.dir, personFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget whose this device is: %w", err)
	}
	return nil
}

func parseWhose(data []byte) (w home.Whose, err error) {
	if len(data) > maxPersonFile {
		return w, errors.New("it is too long")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return home.Whose{}, err
	}
	return w, w.Check()
}

// aboutPeople asks the house about this device, as this device.
func (d *device) aboutPeople(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	if d.cfg.Home == "" || d.remote() {
		return nil, errors.New("this device has no house with a server")
	}
	st, err := d.trem.Status(ctx)
	if err != nil {
		return nil, err
	}
	return d.linked(ctx, st.Device, func() (*http.Request, error) {
		at := strings.TrimSuffix(d.cfg.Home, "/") + home.PathPeople + "/" + st.Device.String() + path
		req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
		}
		return req, err
	})
}

func (d *device) askWhose(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, looksFor)
	defer cancel()
	res, err := d.aboutPeople(ctx, http.MethodGet, "", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxPersonFile+1))
	if err == nil && res.StatusCode != http.StatusOK { // of an earlier build, too, which knows no people
		err = fmt.Errorf("the house answers %s", res.Status)
	}
	return data, err
}

// once has the house read an adult's PIN, for one play. A PIN does not go through the
// network where others can read it.
func (d *device) once(ctx context.Context, env *Env, adult string) error {
	if u, err := url.Parse(d.cfg.Home); err != nil || u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return refused("this device was paired without TLS, and anybody in the network could read the PIN. Pair it again, when the house has TLS (lares device pair --home https://...)")
	}
	pin, err := readPIN(env, "")
	if err != nil {
		return err
	}
	body, err := json.Marshal(httpd.OnceRequest{By: adult, PIN: pin})
	if err != nil {
		return fmt.Errorf("encode the question: %w", err)
	}
	res, err := d.aboutPeople(ctx, http.MethodPost, "/once", body)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if res.StatusCode == http.StatusNoContent {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxHomeAnswer))
	if err != nil {
		return later("the house does not answer: %w", err)
	}
	return homeProblem(res.StatusCode, data)
}

// asking is who asks on this device for a title; rated is what its folder says; nil:
// somebody who keeps the house's rules, or whom an adult lets play once.
func (d *device) asking(ctx context.Context, env *Env, id ident.Content, rated func() *uint8, by string) (*license.Person, error) {
	w, err := d.whose(ctx)
	if err != nil || w.Person == nil {
		return nil, err
	}
	if by != "" {
		return nil, d.once(ctx, env, by)
	}
	return w.Asked(id, rated(), d.now()), nil
}

// mayHandle has the module judge whether who uses this device may hand a title on, or
// take it out of the house's server.
func (d *device) mayHandle(ctx context.Context, id ident.Content, op trem.Op) error {
	w, err := d.whose(ctx)
	if err != nil || w.Person == nil {
		return err
	}
	action := map[trem.Op]permission.Permission{trem.OpMove: permission.Move, trem.OpCopy: permission.Copy, trem.OpLend: permission.Lend}[op]
	got, err := d.trem.Evaluate(ctx, trem.Ask{Content: id, Action: action, Person: w.Asked(id, nil, d.now())})
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeUnknown { // it is not here yet
		got, err = license.Decision{Action: action, Reasons: []license.Reason{{Code: license.PersonCode, Constraint: "HANDLING", Closed: true, Remedy: license.AskAdult}}}, nil
	}
	if err == nil && !got.Allow {
		err = &trem.RefusalError{Decision: got}
	}
	return err
}

// ratedOf is from which age a title is, as its folder says; nil: nobody says, or the
// folder is not reached.
func (d *device) ratedOf(ctx context.Context, id ident.Content) *uint8 {
	src, err := d.playFiles(id, "")
	if err != nil {
		return nil
	}
	m, err := src.manifest(ctx)
	if err != nil {
		return nil
	}
	return m.Rated
}
