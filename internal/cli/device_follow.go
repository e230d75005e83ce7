package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// follow asks the house whether it was restored, and goes along when this
// device's module accepts that. A house that is away, or was never restored, is no
// error.
func (d *device) follow(ctx context.Context) error {
	st, err := d.trem.Status(ctx)
	if err != nil || st.Domain == (ident.Domain{}) || d.cfg.Home == "" || d.remote() {
		return err
	}
	data, base, err := d.restores(ctx, st.Domain)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	var s trem.Succession
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read the house's answer: %w", err)
	}
	manager, err := deviceOf(s.Manager)
	if err != nil {
		return err
	}
	got, err := d.trem.Follow(ctx, s)
	var e *trem.Error
	switch {
	case errors.As(err, &e) && e.Code != trem.CodeBroken:
		if manager == d.cfg.Server { // it is with that home server already
			return nil
		}
		return refused("the house was restored, and this device does not go along: %s. When the backup is older than what this device knows: lares home restore FILE --above NUMBER; else pair this device again", e.Text)
	case err != nil:
		return err
	case got.Rival != nil:
		other := got.Rival
		if bytes.Equal(other, s.Restore) {
			other = got.Restore
		}
		d.tell(ctx, base, trem.Succession{Restore: other})
		return later("this house was restored twice, and nothing comes from either until its owner restores one of the two again")
	case got.Manager != d.cfg.Server:
		d.cfg.Server = got.Manager
		return d.save()
	}
	return nil
}

// restores asks the house for its newest RESTORE: by HTTPS where its CA is known, and
// without where that is no longer the house's. What it says is signed. base is where
// it was found.
func (d *device) restores(ctx context.Context, of ident.Domain) (data []byte, base string, err error) {
	for _, base = range slices.Compact([]string{strings.TrimSuffix(d.cfg.Home, "/"), d.plain()}) {
		try, cancel := context.WithTimeout(ctx, tlsTry)
		data, err = fetch(try, d.web(), base+home.RestorePath+"/"+of.String())
		cancel()
		if err == nil {
			return data, base, nil
		}
	}
	return nil, "", err
}

// tell shows the house a restore that it may not know. It judges by itself.
func (d *device) tell(ctx context.Context, base string, s trem.Succession) {
	data, err := json.Marshal(s)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tlsTry)
	defer cancel()
	_, _ = submit(ctx, d.web(), base+home.RestorePath, "application/json", data) // it is told again with the next command
}
