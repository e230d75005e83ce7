package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

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
	path := d.plain() + home.RestorePath // a restored house may have another CA, and what it says is signed
	data, err := fetch(ctx, http.DefaultClient, path+"/"+st.Domain.String())
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
		d.tell(ctx, path, trem.Succession{Restore: other})
		return later("this house was restored twice, and nothing comes from either until its owner restores one of the two again")
	case got.Manager != d.cfg.Server:
		d.cfg.Server = got.Manager
		return d.save()
	}
	return nil
}

// tell shows the house a restore that it may not know. It judges by itself.
func (d *device) tell(ctx context.Context, url string, s trem.Succession) {
	data, err := json.Marshal(s)
	if err != nil {
		return
	}
	_, _ = submit(ctx, url, "application/json", data) // it is told again with the next command
}
