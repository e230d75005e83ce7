package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/lares-drm/lares/internal/conform"
	"github.com/lares-drm/lares/security/trem"
)

// proveWalls asks the modules of the house and of its devices which walls stand.
// A wall that this kernel does not have is said, and is no failure of the house.
func (d *demo) proveWalls(ctx context.Context) (string, error) {
	home, err := d.homeModule(ctx)
	if err != nil {
		return "", err
	}
	modules := []trem.Status{home}
	for _, name := range []string{"tablet", "phone"} {
		var s trem.Status
		if err := d.query(ctx, &s, "trem", "status", "--dir", d.path(name, "trem")); err != nil {
			return "", err
		}
		modules = append(modules, s)
	}
	var stand, open []string
	for i, m := range modules {
		if len(m.Walls) == 0 || m.Role == "" {
			return "", fmt.Errorf("module %d is a %q and says nothing of its walls", i, m.Role)
		}
		for _, w := range m.Walls {
			list, text := &open, w.Name+": "+w.Detail
			if w.Stands {
				list, text = &stand, w.Name
			}
			if !slices.Contains(*list, text) {
				*list = append(*list, text)
			}
		}
	}
	if !slices.Contains(stand, "no dump") {
		return "", errors.New("the memory of a module can be read by other processes of its user")
	}
	proved := fmt.Sprintf("in %d modules stand: %s", len(modules), strings.Join(stand, ", "))
	if len(open) > 0 {
		proved += "; this kernel leaves open " + strings.Join(open, "; ")
	}
	return proved + fmt.Sprintf("; level SL%d, so their administrator is trusted", home.Level), nil
}

// proveConform has the judge of anybody's servers judge those of the house, with all
// the means that it can be given: what it then says does not apply is about others.
func (d *demo) proveConform(ctx context.Context) (string, error) {
	voucher, err := d.voucher(ctx, "--role", "home-server")
	if err != nil {
		return "", err
	}
	var said []string
	for _, judged := range []struct {
		name, url string
		args      []string
	}{
		{"the shop", d.shopURL, []string{"--ca", d.caURL, "--voucher", voucher, "--key", d.path("shop", issuerToken), "--title", string(bought)}},
		{"the house", d.homeURL, []string{"--member", d.path("tablet"), "--member", d.path("phone")}},
		{"the authority", d.caURL, nil},
	} {
		var out struct {
			Clauses []conform.Result `json:"clauses"`
		}
		if err := d.query(ctx, &out, append([]string{"conform", judged.url}, judged.args...)...); err != nil {
			return "", err
		}
		passed := 0
		for _, r := range out.Clauses {
			switch r.Verdict {
			case conform.Passed:
				passed++
			case conform.NotRun:
				return "", fmt.Errorf("of %s was not judged: %s: %s", judged.name, r.Name, r.Reason)
			case conform.Failed, conform.Inapplicable: // the command says the first, and the second is about others
			}
		}
		if passed == 0 {
			return "", fmt.Errorf("of %s no clause applies", judged.name)
		}
		said = append(said, fmt.Sprintf("%s passes %d", judged.name, passed))
	}
	return "lares conform: " + strings.Join(said, ", ") + " clauses, and none fails", nil
}

// homeModule is what the house's server says of its module.
func (d *demo) homeModule(ctx context.Context) (trem.Status, error) {
	data, err := fetch(ctx, http.DefaultClient, d.homeURL+"/api/v1/status")
	if err != nil {
		return trem.Status{}, err
	}
	var v struct {
		Module trem.Status `json:"module"`
	}
	return v.Module, json.Unmarshal(data, &v)
}
