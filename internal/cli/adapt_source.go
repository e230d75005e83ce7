package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// moduleSource is an adapt.Source: a trusted module that this process runs, or that of
// a home server that serves.
type moduleSource struct {
	export func(context.Context, trem.Export) (trem.Exported, error)
}

// Propose asks for a trial.
func (s moduleSource) Propose(ctx context.Context, parent *license.License, o adapt.Order) (*license.Info, []string, error) {
	got, err := s.export(ctx, trem.Export{Request: o.Request, License: parent.Hash(), System: o.System, Holds: o.Holds, Plays: o.Plays, Trial: true})
	if err != nil {
		return nil, nil, err
	}
	info, err := license.ParseInfo(got.Info)
	return info, got.Lost, err
}

// Release has the module debit and sign.
func (s moduleSource) Release(ctx context.Context, parent *license.License, o adapt.Order) (*license.License, error) {
	got, err := s.export(ctx, trem.Export{Request: o.Request, License: parent.Hash(), System: o.System, Holds: o.Holds, Plays: o.Plays})
	if err != nil {
		return nil, err
	}
	return license.Parse(got.License)
}

// relay hands a title of a module over to another system: debited first.
func (f *convertFlags) relay(cmd *cobra.Command, env *Env, a adapt.Adapter, title string, out *converted) error {
	id, err := contentArg(title)
	if err != nil {
		return err
	}
	request := ident.NewRequest()
	if f.request != "" {
		if err := request.UnmarshalText([]byte(f.request)); err != nil {
			return usage("--request %q: want 32 hexadecimal digits", f.request)
		}
	}
	return withSource(cmd.Context(), f.dir, id, f.to, func(src moduleSource, parent *license.License) error {
		if !a.System().Live {
			out.Request = &request
			fmt.Fprintf(env.Stderr, "request %v: the same again costs nothing more (--request)\n", request)
		}
		got, err := adapt.Relay(cmd.Context(), a, src, parent, adapt.Order{Request: request, Plays: f.plays})
		if err != nil {
			return err
		}
		out.MediaType, out.Artifact, out.Loss = got.Artifact.MediaType, string(got.Artifact.Body), append(out.Loss, got.Loss...)
		return nil
	})
}

// withSource finds the license of a title that a system is named in, at the module
// of a folder: a home server that serves is asked, another module is started.
func withSource(ctx context.Context, dir string, id ident.Content, system string, do func(moduleSource, *license.License) error) (err error) {
	if _, err := os.Stat(filepath.Join(dir, urlFile)); err == nil {
		var found struct{ License []byte }
		path := "/api/v1/library/" + url.PathEscape(id.String()) + "/license?system=" + url.QueryEscape(system)
		if err := askHome(ctx, dir, http.MethodGet, path, nil, &found); err != nil {
			return err
		}
		parent, err := license.Inspect(found.License)
		if err != nil {
			return fmt.Errorf("read the license of %v: %w", id, err)
		}
		return do(moduleSource{atHome(dir)}, parent)
	}
	if _, err := os.Stat(filepath.Join(dir, "trem")); err != nil {
		return usage("%s is the folder of no home server and of no device", dir)
	}
	module, stop, err := startTREM(filepath.Join(dir, "trem"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	parent, err := home.ForSystem(ctx, module, id, system)
	if errors.Is(err, home.ErrUnknown) {
		return refused("there is no license of %v here", id)
	}
	if err != nil {
		return err
	}
	return do(moduleSource{module.Export}, parent)
}

// atHome asks the module of a home server that serves.
func atHome(dir string) func(context.Context, trem.Export) (trem.Exported, error) {
	return func(ctx context.Context, e trem.Export) (trem.Exported, error) {
		var out httpd.ExportAnswer
		in := httpd.ExportRequest{Request: e.Request, License: e.License, System: e.System, Holds: e.Holds, Plays: e.Plays, Trial: e.Trial}
		err := askHome(ctx, dir, http.MethodPost, "/api/v1/exports", in, &out)
		return trem.Exported{Info: out.Info, Lost: out.Lost, License: out.License}, err
	}
}
