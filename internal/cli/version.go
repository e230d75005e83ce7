package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Version is the version of this tree, the newest one of CHANGELOG.md.
const Version = "0.1.0-dev"

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCmd(env *Env) *cobra.Command {
	var release string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and what built it, or hold a release against it",
		Long: `Print the version of this program. With --release look into a folder with the
files of a release: is it newer, and are the files for this machine what its
SHA256SUMS says? Status 5 when they are not. Nothing is asked over the network.
The sums tell damage, not who made them: compare them with what the maker says
elsewhere, or build the release yourself.`,
		Example: `  lares version
  lares version --json
  lares version --release ~/Downloads/lares-0.2.0   # is it an update, and whole?`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if release != "" {
				return printRelease(cmd, env, release)
			}
			v := buildVersion()
			return env.print(cmd, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "lares %s %s (%s, %s)\n", v.Version, v.short(), v.Go, v.Platform)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&release, "release", "", "folder with the files of a release and their SHA256SUMS")
	return cmd
}

func buildVersion() versionInfo {
	v := versionInfo{Version: Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// short is the commit as people quote it, with a plus when files were changed.
func (v versionInfo) short() string {
	switch {
	case v.Commit == "":
		return "no commit recorded"
	case v.Modified:
		return v.Commit[:min(12, len(v.Commit))] + "+"
	default:
		return v.Commit[:min(12, len(v.Commit))]
	}
}
