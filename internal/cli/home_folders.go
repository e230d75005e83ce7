package cli

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/home"
)

// added is what `home add` prints: a title, or a folder that is watched.
type added struct {
	Content ident.Content `json:"content,omitempty"`
	Title   string        `json:"title,omitempty"`
	Watched *home.Found   `json:"watched,omitempty"`
}

func newHomeAddCmd(env *Env, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "add FOLDER",
		Short: "Put a packed film, or a folder of films, into the library; they stay where they are",
		Long: `Put films into the library. A packed film is the folder that has its content.json. Any
other folder is watched from now on: packed films in it, and your own films, which are
MP4 files that nobody protected, are in the library as long as they lie there, three
folders deep. A film appears when it is all there.`,
		Args: cobra.ExactArgs(1),
		Example: `  lares home add ~/films/metropolis
  lares home add /srv/films        # all that lies there, and what comes later
  lares home add ./packed --dir ./house --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			folder, err := filepath.Abs(args[0])
			if err != nil {
				return fmt.Errorf("find the folder: %w", err)
			}
			var got added
			if err := askHome(cmd.Context(), *dir, http.MethodPost, "/api/v1/library", httpd.AddRequest{Folder: folder}, &got); err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				p := printer{w: w}
				if got.Watched != nil {
					p.line("Watched: %s", got.Watched.Folder)
					p.found(got.Watched)
				} else {
					p.line("In the library: %s (%v)", got.Title, got.Content)
				}
				return p.err
			})
		},
	}
}

// found says what lies in a watched folder.
func (p *printer) found(f *home.Found) {
	switch {
	case f.Away:
		p.line("  not there: its films come back with its disk")
	case f.Titles+f.Films+f.Waits+f.Unread == 0:
		p.line("  nothing in it yet: what you put there appears by itself")
	default:
		p.line("  %d of shops and libraries, %d of your own", f.Titles, f.Films)
	}
	if f.Waits > 0 {
		p.line("  %d not all there yet", f.Waits)
	}
	if f.Unread > 0 {
		p.line("  %d files that are damaged, protected or no films", f.Unread)
	}
}

func newHomeFoldersCmd(env *Env, dir *string) *cobra.Command {
	var remove string
	cmd := &cobra.Command{
		Use:   "folders",
		Short: "List the folders that are watched for films",
		Args:  cobra.NoArgs,
		Example: `  lares home folders
  lares home folders --remove /srv/films   # its films leave the library; the files stay`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if remove != "" {
				folder, err := filepath.Abs(remove)
				if err != nil {
					return fmt.Errorf("find the folder: %w", err)
				}
				if err := askHome(cmd.Context(), *dir, http.MethodDelete, "/api/v1/folders", httpd.AddRequest{Folder: folder}, nil); err != nil {
					return err
				}
			}
			var got struct {
				Folders []home.Found `json:"folders"`
			}
			if err := askHome(cmd.Context(), *dir, http.MethodGet, "/api/v1/folders", nil, &got); err != nil {
				return err
			}
			return env.print(cmd, got, func(w io.Writer) error {
				p := printer{w: w}
				if len(got.Folders) == 0 {
					p.line("No folder is watched: lares home add FOLDER.")
				}
				for i := range got.Folders {
					p.line("%s", got.Folders[i].Folder)
					p.found(&got.Folders[i])
				}
				return p.err
			})
		},
	}
	cmd.Flags().StringVar(&remove, "remove", "", "a folder that is not watched any more")
	return cmd
}
