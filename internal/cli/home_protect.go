package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// protectLasts bounds the wait for a film that is packed: the house goes on without it.
const protectLasts = 24 * time.Hour

func newHomeProtectCmd(env *Env, dir *string) *cobra.Command {
	var undo bool
	cmd := &cobra.Command{
		Use:   "protect FILM",
		Short: "Protect a film of your own, to lend it to one viewer at a time",
		Long: `Protect one of your own films. FILM is its ID or its name, as the library has it. The
house packs it, as it is encoded, into a folder of its own, and its secure player says
from then on who may watch: everybody at home, or the one to whom it is lent (lares home
lend). What cannot be packed is refused: H.264, HEVC, AV1 or VP9, AAC, Opus, FLAC, AC-3 or
E-AC-3, and a keyframe now and then.

The file itself stays where it is, unprotected. The protected copy takes as much room
again, in the folder "own" of the house's, which may be a link to a larger disk.

--undo takes it back: the protected copy is destroyed, and plays nowhere any more. It is
refused while somebody has it.`,
		Args: cobra.ExactArgs(1),
		Example: `  lares home protect "Grandmother at eighty"
  lares home protect urn:lares:own:0f9c2f4e2b8d4f3b9d2c6a7e1f5b8c3d --json
  lares home protect "Grandmother at eighty" --undo`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), protectLasts)
			defer cancel()
			id, err := ownFilmCalled(ctx, *dir, args[0])
			if err != nil {
				return err
			}
			at := "/api/v1/library/" + url.PathEscape(id.String()) + "/protect"
			if undo {
				if err := askHome(ctx, *dir, http.MethodDelete, at, nil, nil); err != nil {
					return err
				}
				return env.print(cmd, map[string]ident.Content{"content": id}, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, httpd.Say("said.unprotected"))
					return err
				})
			}
			var got home.Protected
			if err := askHomeWithin(ctx, *dir, http.MethodPost, at, struct{}{}, &got); err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				p := printer{w: w}
				p.line("%s is protected: %v", got.Title, got.Content)
				for _, note := range got.Notes {
					p.line("  note: %s", note)
				}
				p.line("%s\n  %s", httpd.Say("protect.clear"), got.Clear)
				p.line("%s\n  %s", httpd.Say("protected.folder"), got.Folder)
				return p.err
			})
		},
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "take the protection back: the protected copy is destroyed")
	return cmd
}

// ownFilmCalled is the ID of an own film, protected or not, by its ID or name.
func ownFilmCalled(ctx context.Context, dir, name string) (ident.Content, error) {
	if isOwn(ident.Content(name)) {
		return contentArg(name)
	}
	var lib httpd.LibraryView
	if err := askHome(ctx, dir, http.MethodGet, "/api/v1/library", nil, &lib); err != nil {
		return "", err
	}
	var found []ident.Content
	for _, f := range lib.Films {
		if strings.EqualFold(f.Title, name) {
			found = append(found, f.ID)
		}
	}
	for i := range lib.Titles {
		if t := &lib.Titles[i]; isOwn(t.Content) && strings.EqualFold(t.Title, name) {
			found = append(found, t.Content)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%q is no film of your own that is in the library: lares home folders says where the house looks", name)
	case 1:
		return found[0], nil
	}
	return "", usage("%d films are called %q: use the ID", len(found), name)
}
