package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

func newContentCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "content",
		Short: "Look into protected MP4 files, decrypt them with a known key",
		Example: `  lares content inspect packed/hd/init.mp4
  lares content decrypt --key 0102…:aabb… protected.mp4 clear.mp4`,
	}
	cmd.AddCommand(newContentInspectCmd(env), newContentDecryptCmd(env))
	return cmd
}

// inspection is what `content inspect --json` prints.
type inspection struct {
	File      string           `json:"file"`
	Tracks    []inspectedTrack `json:"tracks,omitempty"`
	PSSH      []inspectedPSSH  `json:"pssh,omitempty"`
	Fragments []inspectedPart  `json:"fragments,omitempty"`
}

type inspectedTrack struct {
	ID        uint32           `json:"id"`
	Handler   string           `json:"handler"`
	Timescale uint32           `json:"timescale"`
	Width     uint16           `json:"width,omitempty"`
	Height    uint16           `json:"height,omitempty"`
	Entries   []inspectedEntry `json:"entries"`
}

type inspectedEntry struct {
	Codec      string       `json:"codec"`
	Scheme     *cenc.Scheme `json:"scheme,omitempty"`
	KID        *ident.Key   `json:"kid,omitempty"`
	Pattern    string       `json:"pattern,omitempty"`
	IVBytes    uint8        `json:"iv_bytes,omitempty"`
	ConstantIV string       `json:"constant_iv,omitempty"`
}

type inspectedPSSH struct {
	System string      `json:"system"`
	KIDs   []ident.Key `json:"kids,omitempty"`
	Bytes  int         `json:"bytes"`
}

type inspectedPart struct {
	At         int64       `json:"at"`
	Bytes      int         `json:"bytes"`
	StartMS    int64       `json:"start_ms"`
	DurationMS int64       `json:"duration_ms"`
	Protected  int         `json:"protected_bytes"`
	KIDs       []ident.Key `json:"kids,omitempty"`
}

func newContentInspectCmd(env *Env) *cobra.Command {
	var initFile string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show the tracks, keys and fragments of an MP4 file",
		Long: `Show how an MP4 file is protected: schemes, key IDs, vectors, and for each
fragment its time and its protected bytes. A file of fragments only needs its
init segment: --init, or init.mp4 in the same folder.`,
		Example: `  lares content inspect packed/hd/init.mp4
  lares content inspect packed/hd/1.m4s --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := inspect(args[0], initFile)
			if err != nil {
				return err
			}
			return env.print(cmd, in, in.text)
		},
	}
	cmd.Flags().StringVar(&initFile, "init", "", "init segment of a file of fragments")
	return cmd
}

// loadInit reads the init segment of a file that has none: the one named, or
// init.mp4 beside it. It returns nil when there is neither.
func loadInit(file, named string) (*content.Init, error) {
	name := named
	if name == "" {
		name = filepath.Join(filepath.Dir(file), "init.mp4")
	}
	data, err := os.ReadFile(name)
	if named == "" && errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none, and that may be right
	}
	if err != nil {
		return nil, err
	}
	in, err := content.ParseInit(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return in, nil
}

func inspect(file, initFile string) (*inspection, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	out := &inspection{File: file}
	var in *content.Init
	for s := content.NewScanner(f); ; {
		p, err := s.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err == nil {
			switch p.Kind {
			case content.InitPart:
				if in, err = content.ParseInit(p.Data); err == nil {
					out.init(in)
				}
			case content.FragmentPart:
				if in == nil {
					in, err = loadInit(file, initFile)
				}
				if err == nil {
					err = out.fragment(in, p)
				}
			default: // the rest holds no samples
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
}

func (out *inspection) init(in *content.Init) {
	for _, t := range in.Tracks {
		tr := inspectedTrack{ID: t.ID, Handler: t.Handler, Timescale: t.Timescale, Width: t.Width, Height: t.Height}
		for _, e := range t.Entries {
			ie := inspectedEntry{Codec: e.Codec}
			if e.Protected() {
				ie.Scheme, ie.KID, ie.IVBytes, ie.ConstantIV = &e.Scheme, &e.KID, e.IVSize, hex.EncodeToString(e.ConstantIV)
				if e.Crypt != 0 {
					ie.Pattern = fmt.Sprintf("%d:%d", e.Crypt, e.Skip)
				}
			}
			tr.Entries = append(tr.Entries, ie)
		}
		out.Tracks = append(out.Tracks, tr)
	}
	for _, p := range in.PSSH {
		out.PSSH = append(out.PSSH, inspectedPSSH{System: p.System.String(), KIDs: p.KIDs, Bytes: len(p.Data)})
	}
}

func (out *inspection) fragment(in *content.Init, p *content.Part) error {
	if in == nil {
		return errors.New("fragments only: name their init segment with --init")
	}
	f, err := in.FragmentAt(p.Data, p.At)
	if err != nil {
		return err
	}
	start, dur := f.Time()
	out.Fragments = append(out.Fragments, inspectedPart{At: p.At, Bytes: len(p.Data), StartMS: start, DurationMS: dur, Protected: f.Bytes(), KIDs: f.KIDs()})
	return nil
}

func (out *inspection) text(w io.Writer) error {
	var b bytes.Buffer
	for _, t := range out.Tracks {
		fmt.Fprintf(&b, "track %d: %s, timescale %d", t.ID, t.Handler, t.Timescale)
		if t.Width > 0 {
			fmt.Fprintf(&b, ", %dx%d", t.Width, t.Height)
		}
		fmt.Fprintln(&b)
		for _, e := range t.Entries {
			switch {
			case e.Scheme == nil:
				fmt.Fprintf(&b, "  %s, in the clear\n", e.Codec)
			case e.ConstantIV != "":
				fmt.Fprintf(&b, "  %s, %v, key %v, pattern %s, constant vector %s\n", e.Codec, e.Scheme, e.KID, orNone(e.Pattern), e.ConstantIV)
			default:
				fmt.Fprintf(&b, "  %s, %v, key %v, pattern %s, vectors of %d bytes\n", e.Codec, e.Scheme, e.KID, orNone(e.Pattern), e.IVBytes)
			}
		}
	}
	for _, p := range out.PSSH {
		fmt.Fprintf(&b, "pssh: system %s, %d bytes of data, keys %v\n", p.System, p.Bytes, p.KIDs)
	}
	for i, f := range out.Fragments {
		fmt.Fprintf(&b, "fragment %d at byte %d: %d bytes, %d protected, %d ms from %d ms, keys %v\n", i+1, f.At, f.Bytes, f.Protected, f.DurationMS, f.StartMS, f.KIDs)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

var errKeyFlag = errors.New("want KID:KEY, both of 32 hexadecimal digits")

func newContentDecryptCmd(env *Env) *cobra.Command {
	var keys []string
	var initFile string
	cmd := &cobra.Command{
		Use:   "decrypt --key KID:KEY IN OUT",
		Short: "Decrypt an MP4 file with keys you have",
		Long: `Decrypt a fragmented MP4 file (cenc, cens, cbc1 or cbcs) with keys you have, for
tests and for content of your own. No license is involved: the keys of licensed
content never leave the TREM. The result has the same length as the input.`,
		Example: `  lares content decrypt --key 0f0e…:a1b2… protected.mp4 clear.mp4
  lares content decrypt --key 0f0e…:a1b2… --init hd/init.mp4 hd/1.m4s - | ffprobe -`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			find, err := parseKeys(keys)
			if err != nil {
				return err
			}
			var in *content.Init
			if initFile != "" {
				if in, err = loadInit(args[0], initFile); err != nil {
					return err
				}
			}
			src, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer src.Close() //nolint:errcheck // read only
			err = writeFile(env, args[1], func(w io.Writer) error { return content.Clear(w, src, in, find) })
			if _, ok := errors.AsType[*missingKey](err); ok {
				return refused("%s: %w", args[0], err)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "key ID and key, in hexadecimal; once for each key (required)")
	cmd.Flags().StringVar(&initFile, "init", "", "init segment of a file of fragments")
	_ = cmd.MarkFlagRequired("key") // the flag exists
	return cmd
}

// missingKey says that no --key has the key ID of a fragment.
type missingKey struct{ kid ident.Key }

func (e *missingKey) Error() string { return fmt.Sprintf("no --key was given for %v", e.kid) }

func parseKeys(flags []string) (content.Keys, error) {
	keys := map[ident.Key]cenc.ContentKey{}
	for i, s := range flags {
		id, val, _ := strings.Cut(s, ":")
		var kid ident.Key
		raw, err := hex.DecodeString(val)
		if err != nil || kid.UnmarshalText([]byte(id)) != nil {
			return nil, usage("--key number %d: %w", i+1, errKeyFlag)
		}
		if keys[kid], err = cenc.NewContentKey(raw); err != nil {
			return nil, usage("--key number %d: %w", i+1, errKeyFlag)
		}
	}
	return func(kid ident.Key) (cenc.ContentKey, error) {
		if k, ok := keys[kid]; ok {
			return k, nil
		}
		return cenc.ContentKey{}, &missingKey{kid}
	}, nil
}

// writeFile makes a file whole or not at all; "-" is standard output.
func writeFile(env *Env, name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(env.Stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".lares-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
