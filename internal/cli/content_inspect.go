package cli

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// inspection is what `content inspect --json` prints.
type inspection struct {
	File      string           `json:"file"`
	Layout    string           `json:"layout"` // "fragments", "progressive" or "init"
	Protected bool             `json:"protected"`
	Tracks    []inspectedTrack `json:"tracks,omitempty"`
	PSSH      []inspectedPSSH  `json:"pssh,omitempty"`
	Keys      []inspectedKey   `json:"keys,omitempty"`
	LeadMS    int64            `json:"clear_lead_ms,omitempty"` // media before the first protected fragment
	Rotation  int              `json:"rotation,omitempty"`      // keys of one track, one after the other, when there are several
	Fragments []inspectedPart  `json:"fragments,omitempty"`
}

type inspectedTrack struct {
	ID        uint32           `json:"id"`
	Handler   string           `json:"handler"`
	Timescale uint32           `json:"timescale"`
	Width     uint16           `json:"width,omitempty"`
	Height    uint16           `json:"height,omitempty"`
	Tier      string           `json:"tier,omitempty"` // by pixels
	Entries   []inspectedEntry `json:"entries"`
}

type inspectedEntry struct {
	Codec      string       `json:"codec"`
	Scheme     *cenc.Scheme `json:"scheme,omitempty"`
	PIFF       bool         `json:"piff,omitempty"`
	Foreign    string       `json:"foreign_scheme,omitempty"` // not of Common Encryption
	KID        *ident.Key   `json:"kid,omitempty"`
	Pattern    string       `json:"pattern,omitempty"`
	IVBytes    uint8        `json:"iv_bytes,omitempty"`
	ConstantIV string       `json:"constant_iv,omitempty"`
}

type inspectedPSSH struct {
	System string      `json:"system"`
	Name   string      `json:"name,omitempty"`
	KIDs   []ident.Key `json:"kids,omitempty"`
	Bytes  int         `json:"bytes"`
	Times  int         `json:"times"` // in the movie box and in fragments
}

// inspectedKey sums up how samples are protected under one key.
type inspectedKey struct {
	KID        ident.Key   `json:"kid"`
	Codec      string      `json:"codec"`
	Scheme     cenc.Scheme `json:"scheme"`
	Pattern    string      `json:"pattern,omitempty"`
	IVBytes    uint8       `json:"iv_bytes"` // a sample; 0: constant
	Samples    int         `json:"samples"`
	Mapped     int         `json:"mapped"` // with subsamples
	Subsamples int         `json:"subsamples"`
	Protected  int64       `json:"protected_bytes"`
}

type inspectedPart struct {
	At         int64       `json:"at"`
	Bytes      int64       `json:"bytes"`
	StartMS    int64       `json:"start_ms"`
	DurationMS int64       `json:"duration_ms"`
	Protected  int         `json:"protected_bytes"`
	KIDs       []ident.Key `json:"kids,omitempty"`
}

func newContentInspectCmd(env *Env) *cobra.Command {
	var initFile string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Explain how an MP4 file is protected: tracks, schemes, keys, systems",
		Long: `Explain how an MP4 file is protected, whoever made it: schemes, key IDs, vectors,
subsample maps, DRM systems by name, clear lead, key rotation, and for each
fragment its time and its protected bytes. No key is needed. A file of fragments
only needs its init segment: --init, or init.mp4 in the same folder. "-" is
standard input.`,
		Example: `  lares content inspect packed/hd/init.mp4
  lares content inspect packed/hd/1.m4s --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := inspect(env, args[0], initFile)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return env.print(cmd, in, in.text)
		},
	}
	cmd.Flags().StringVar(&initFile, "init", "", "init segment of a file of fragments")
	return cmd
}

func inspect(env *Env, file, initFile string) (*inspection, error) {
	in, err := loadInit(file, initFile)
	if err != nil {
		return nil, err
	}
	v, done, err := openView(env, file, content.ViewConfig{Init: in})
	if err != nil {
		return nil, err
	}
	defer done()
	out := &inspection{File: file, Layout: "init"}
	out.init(v.Init())
	lead := true
	err = v.Describe(func(p *content.Piece) error {
		out.piece(p)
		if lead = lead && len(p.Keys) == 0; lead && p.Fragment {
			out.LeadMS = max(out.LeadMS, p.StartMS+p.DurationMS)
		}
		return nil
	})
	if lead { // nothing is protected at all
		out.LeadMS = 0
	}
	out.rotation()
	return out, err
}

func (out *inspection) init(in *content.Init) {
	for _, t := range in.Tracks {
		tr := inspectedTrack{ID: t.ID, Handler: t.Handler, Timescale: t.Timescale, Width: t.Width, Height: t.Height}
		switch {
		case t.Handler == "vide" && t.Width > 0:
			tr.Tier = content.TierOf(int(t.Width), int(t.Height)).String()
		case t.Handler == "soun":
			tr.Tier = content.Audio.String()
		}
		for _, e := range t.Entries {
			ie := inspectedEntry{Codec: e.Codec, PIFF: e.PIFF}
			if e.Foreign != 0 {
				out.Protected, ie.Foreign = true, e.Foreign.String()
			}
			if e.Protected() {
				out.Protected = true
				ie.Scheme, ie.KID, ie.IVBytes, ie.ConstantIV = &e.Scheme, &e.KID, e.IVSize, hex.EncodeToString(e.ConstantIV)
				ie.Pattern = pattern(e.Crypt, e.Skip)
			}
			tr.Entries = append(tr.Entries, ie)
		}
		out.Tracks = append(out.Tracks, tr)
	}
	out.pssh(in.PSSH)
}

func pattern(crypt, skip uint8) string {
	if crypt == 0 {
		return ""
	}
	return fmt.Sprintf("%d:%d", crypt, skip)
}

// pssh takes headers in, each once.
func (out *inspection) pssh(all []cenc.PSSH) {
	for _, p := range all {
		one := inspectedPSSH{System: p.System.String(), Name: p.System.Name(), KIDs: p.KIDs, Bytes: len(p.Data), Times: 1}
		same := func(o inspectedPSSH) bool {
			return o.System == one.System && o.Bytes == one.Bytes && slices.Equal(o.KIDs, one.KIDs)
		}
		if i := slices.IndexFunc(out.PSSH, same); i >= 0 {
			out.PSSH[i].Times++
			continue
		}
		out.PSSH = append(out.PSSH, one)
	}
}

func (out *inspection) piece(p *content.Piece) {
	out.Layout = "progressive"
	out.pssh(p.PSSH)
	part := inspectedPart{At: p.At, Bytes: p.Bytes, StartMS: p.StartMS, DurationMS: p.DurationMS}
	for _, u := range p.Keys {
		part.Protected += u.Bytes
		if !slices.Contains(part.KIDs, u.KID) {
			part.KIDs = append(part.KIDs, u.KID)
		}
		k := inspectedKey{KID: u.KID, Codec: u.Codec, Scheme: u.Scheme, Pattern: pattern(u.Crypt, u.Skip), IVBytes: u.IVSize}
		same := func(o inspectedKey) bool {
			return o.KID == k.KID && o.Codec == k.Codec && o.Scheme == k.Scheme && o.Pattern == k.Pattern && o.IVBytes == k.IVBytes
		}
		i := slices.IndexFunc(out.Keys, same)
		if i < 0 {
			i = len(out.Keys)
			out.Keys = append(out.Keys, k)
		}
		sum := &out.Keys[i]
		sum.Samples += u.Samples
		sum.Mapped += u.Mapped
		sum.Subsamples += u.Subsamples
		sum.Protected += int64(u.Bytes)
	}
	if p.Fragment {
		out.Layout = "fragments"
		out.Fragments = append(out.Fragments, part)
	}
	out.Protected = out.Protected || len(p.Keys) > 0
}

// rotation counts keys that no sample description names: seig groups bring them.
func (out *inspection) rotation() {
	var described []ident.Key
	for _, t := range out.Tracks {
		for _, e := range t.Entries {
			if e.KID != nil {
				described = append(described, *e.KID)
			}
		}
	}
	for _, k := range out.Keys {
		if !slices.Contains(described, k.KID) {
			out.Rotation++
		}
	}
}

func (out *inspection) text(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s", out.File, map[string]string{"init": "an init segment", "fragments": fmt.Sprintf("%d fragments", len(out.Fragments)), "progressive": "a progressive file"}[out.Layout])
	if !out.Protected {
		fmt.Fprint(&b, ", in the clear")
	}
	fmt.Fprintln(&b)
	out.tracksText(&b)
	for _, p := range out.PSSH {
		name := p.Name
		if name == "" {
			name = "an unknown system"
		}
		fmt.Fprintf(&b, "pssh of %s (%s), %d bytes of data, keys %s%s\n", name, p.System, p.Bytes, orNone(kidList(p.KIDs)), times(p.Times))
	}
	for _, k := range out.Keys {
		iv := fmt.Sprintf("vectors of %d bytes", k.IVBytes)
		if k.IVBytes == 0 {
			iv = "a constant vector"
		}
		how := "whole"
		if k.Mapped > 0 {
			how = fmt.Sprintf("%d with subsamples, %.1f each", k.Mapped, float64(k.Subsamples)/float64(k.Mapped))
		}
		fmt.Fprintf(&b, "key %v: %s, %v, pattern %s, %s; %d samples, %s; %d protected bytes\n", k.KID, k.Codec, k.Scheme, orNone(k.Pattern), iv, k.Samples, how, k.Protected)
	}
	if out.LeadMS > 0 {
		fmt.Fprintf(&b, "clear lead: %d ms\n", out.LeadMS)
	}
	if out.Rotation > 0 {
		fmt.Fprintf(&b, "key rotation: %d keys of sample groups (seig)\n", out.Rotation)
	}
	for i, f := range out.Fragments {
		fmt.Fprintf(&b, "fragment %d at byte %d: %d bytes, %d protected, %d ms from %d ms, keys %s\n", i+1, f.At, f.Bytes, f.Protected, f.DurationMS, f.StartMS, orNone(kidList(f.KIDs)))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (out *inspection) tracksText(b *bytes.Buffer) {
	for _, t := range out.Tracks {
		fmt.Fprintf(b, "track %d: %s, timescale %d", t.ID, t.Handler, t.Timescale)
		if t.Width > 0 {
			fmt.Fprintf(b, ", %dx%d", t.Width, t.Height)
		}
		if t.Tier != "" {
			fmt.Fprintf(b, ", tier %s", t.Tier)
		}
		fmt.Fprintln(b)
		for _, e := range t.Entries {
			var say []string
			switch {
			case e.Foreign != "":
				say = []string{"protected by the scheme " + e.Foreign + ", which is not of Common Encryption"}
			case e.Scheme == nil:
				say = []string{"in the clear"}
			default:
				say = []string{e.Scheme.String(), "key " + e.KID.String(), "pattern " + orNone(e.Pattern)}
				if e.PIFF {
					say[0] += " (as PIFF)"
				}
				if e.ConstantIV != "" {
					say = append(say, "constant vector "+e.ConstantIV)
				} else {
					say = append(say, fmt.Sprintf("vectors of %d bytes", e.IVBytes))
				}
			}
			fmt.Fprintf(b, "  %s, %s\n", e.Codec, strings.Join(say, ", "))
		}
	}
}

func times(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(", %d times", n)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
