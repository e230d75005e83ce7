package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// loanTime is how long the demo lends. Source: local; long enough to watch it.
const loanTime = 4 * time.Second

func (d *demo) proveLoan(ctx context.Context) (string, error) {
	if _, err := d.must(ctx, "home", "lend", string(shared), "--to", "tablet", "--for", loanTime.String(), "--dir", d.path("home")); err != nil {
		return "", err
	}
	d.lent = time.Now()
	var got struct {
		Came []ident.Content `json:"came"`
	}
	if err := d.query(ctx, &got, "device", "transfers", "--dir", d.path("tablet")); err != nil {
		return "", err
	}
	if !slices.Equal(got.Came, []ident.Content{shared}) {
		return "", fmt.Errorf("to the tablet came %v", got.Came)
	}
	if err := d.playsOn(ctx, "tablet"); err != nil {
		return "", err
	}
	v, err := d.titleOf(ctx, shared)
	if err != nil {
		return "", err
	}
	if v.Browser.Allow || !v.Browser.Has(license.LentOut) || len(v.Words.Why) == 0 {
		return "", fmt.Errorf("at the house the lent title plays %v: %v", v.Browser.Allow, v.Browser.Reasons)
	}
	time.Sleep(time.Until(d.lent.Add(loanTime)))
	why, err := d.refusedOn(ctx, "tablet", license.Expired)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("for %v: it plays on the tablet and sleeps at the house; then the tablet says %s", loanTime, why), nil
}

func phaseOf(lib []titleSeen, id ident.Content) string {
	for _, t := range lib {
		if t.Content == string(id) && len(t.Held) == 1 {
			return t.Held[0].Phase
		}
	}
	return "not there"
}

// playsOn asks a device whether the shared title plays there.
func (d *demo) playsOn(ctx context.Context, device string) error {
	var why license.Decision
	if err := d.query(ctx, &why, "device", "why", string(shared), "--dir", d.path(device)); err != nil {
		return err
	}
	if !why.Allow {
		return fmt.Errorf("on the %s it does not play: %v", device, why.Reasons)
	}
	return nil
}

// refusedOn checks that it is refused there for a reason.
func (d *demo) refusedOn(ctx context.Context, device string, want license.Code) (license.Code, error) {
	why, err := d.why(ctx, device)
	if err != nil {
		return "", err
	}
	if why.Allow || !slices.ContainsFunc(why.Reasons, func(r license.Reason) bool { return r.Code == want }) {
		return "", fmt.Errorf("on the %s: it plays %v, %v; want %s", device, why.Allow, why.Reasons, want)
	}
	return want, nil
}

func (d *demo) why(ctx context.Context, device string) (why license.Decision, err error) {
	a, err := d.run(ctx, "device", "why", string(shared), "--dir", d.path(device), "--json")
	if err != nil {
		return why, err
	}
	return why, json.Unmarshal([]byte(a.stdout), &why)
}

// proveReturn waits for what is left of the guard, and lets the house hear the
// time: nobody gives anything back.
func (d *demo) proveReturn(ctx context.Context) (string, error) {
	over := d.lent.Add(loanTime + transfer.GuardHome*time.Millisecond)
	for {
		if res, err := request(ctx, http.MethodPost, d.homeURL+"/api/v1/learn", map[string]any{}); err != nil || res.status >= 300 {
			return "", fmt.Errorf("the house learns nothing: HTTP %d (%w)", res.status, err)
		}
		var list homeTransfers
		if err := d.query(ctx, &list, "home", "transfers", "--dir", d.path("home")); err != nil {
			return "", err
		}
		now := time.Now()
		switch {
		case len(list.Transfers) == 0 && now.Before(over):
			return "", fmt.Errorf("the loan came back %v before its time and guard were over", over.Sub(now))
		case len(list.Transfers) == 0:
			lib, err := d.library(ctx)
			if err != nil {
				return "", err
			}
			if phase := phaseOf(lib, shared); phase != license.Held.String() {
				return "", fmt.Errorf("after its time the title is %s at the house", phase)
			}
			return fmt.Sprintf("%v after it was lent, by the authority's time and without a word from the tablet", now.Sub(d.lent).Round(time.Second)), nil
		case now.After(over.Add(startGrace)):
			return "", errors.New("the loan does not come back")
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(max(time.Until(over), 200*time.Millisecond)):
		}
	}
}

// proveMove moves the title to the tablet, and from there to the phone; that
// second move is killed as soon as it is in the module's log, and its letter
// finds the house dead.
func (d *demo) proveMove(ctx context.Context) (string, error) {
	if _, err := d.must(ctx, "device", "move", string(shared), "--here", "--dir", d.path("tablet")); err != nil {
		return "", err
	}
	if err := d.makeDevice(ctx, "laptop", ""); err != nil {
		return "", err
	}
	if err := d.killMove(ctx, "tablet", "laptop"); err != nil {
		return "", err
	}
	if _, err := d.refusedOn(ctx, "tablet", license.LockedInMove); err != nil {
		return "", err
	}
	if err := d.kill("home"); err != nil {
		return "", err
	}
	if err := d.again("home"); err != nil {
		return "", err
	}
	for _, device := range []string{"tablet", "laptop", "tablet", "laptop"} { // each is on for a moment
		if _, err := d.must(ctx, "device", "transfers", "--dir", d.path(device)); err != nil {
			return "", err
		}
	}
	if err := d.playsOn(ctx, "laptop"); err != nil {
		return "", err
	}
	why, err := d.refusedOn(ctx, "tablet", license.MovedAway)
	if err != nil {
		return "", err
	}
	for _, device := range []string{"tablet", "laptop"} {
		var left struct {
			Transfers []trem.Transfer `json:"transfers"`
		}
		if err := d.query(ctx, &left, "device", "transfers", "--dir", d.path(device)); err != nil {
			return "", err
		}
		if len(left.Transfers) > 0 {
			return "", fmt.Errorf("on the %s %d transfers stay open", device, len(left.Transfers))
		}
	}
	return fmt.Sprintf("tablet and its module killed as it left, its letter lost, the house killed too; it went on by itself: the laptop plays it, the tablet says %s", why), nil
}

// killMove begins a move and kills the command and its module when the letter
// leaves: what it carries is locked, and it never arrives.
func (d *demo) killMove(ctx context.Context, from, to string) error {
	var cmd *exec.Cmd
	started := make(chan struct{})
	killed := make(chan error, 1)
	trap, err := newTrap(ctx, d.homeURL, func() {
		<-started
		killed <- killTree(cmd.Process.Pid)
	})
	if err != nil {
		return err
	}
	defer trap.close() //nolint:errcheck // its work is done
	if err := d.rehome(from, trap.url); err != nil {
		return err
	}
	cmd = d.command(ctx, []string{"device", "move", string(shared), "--to", to, "--dir", d.path(from)})
	cmd.Stderr = d.log
	if err := cmd.Start(); err != nil {
		return err
	}
	close(started)
	if err := cmd.Wait(); err == nil {
		return errors.New("the move ended, and nothing had killed it")
	}
	select {
	case err := <-killed:
		return errors.Join(err, d.rehome(from, d.homeURL))
	case <-time.After(stopGrace): // who kills may say so later than the killed command ends
		return errors.New("the move ended before its letter left")
	}
}

// rehome changes where a device looks for its house, as its owner could.
func (d *demo) rehome(name, url string) error {
	dev := &device{dir: d.path(name)}
	if err := dev.load(); err != nil {
		return err
	}
	dev.cfg.Home = url
	return dev.save()
}
