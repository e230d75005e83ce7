package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/packager"
)

// prepared is what ffmpeg makes of the inputs before they are packed.
type prepared struct {
	inputs    []string // MP4 files
	subtitles []packager.Subtitle
	chapters  []content.Chapter
	poster    string
	notes     []string

	dir  string // of what was made
	keep bool   // it stays when packing fails, so that it can go on
}

// textCodecs are subtitles that are text, as ffprobe names them; pictures of text
// cannot be WebVTT.
var textCodecs = []string{"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text"}

// prepare turns inputs that are not MP4 into it, without encoding anything anew,
// and takes subtitles, chapters and a poster out of them. Without ffmpeg MP4 files
// are taken as they are.
func (f *packFlags) prepare(ctx context.Context, inputs []string) (*prepared, error) {
	p := &prepared{poster: f.poster, keep: f.resume != ""}
	_, err := exec.LookPath("ffmpeg")
	if err == nil {
		_, err = exec.LookPath("ffprobe")
	}
	have := err == nil
	for _, in := range inputs {
		ok, err := isMP4(in)
		switch {
		case err != nil:
			return nil, err
		case !ok && !have:
			return nil, fmt.Errorf("%s is not an MP4 file, and ffmpeg, which could make one of it, is not installed (Debian: apt-get install ffmpeg)", in)
		}
	}
	if !have {
		p.inputs = inputs
		return p, nil
	}
	if err := p.folder(f.out); err != nil {
		return nil, err
	}
	for i, in := range inputs {
		if err := p.input(ctx, i, in); err != nil {
			return nil, errors.Join(err, p.close(false))
		}
	}
	if p.poster == "" {
		p.takePoster(ctx)
	}
	return p, nil
}

// folder makes the folder for what is made: beside the output, where there is room.
func (p *prepared) folder(out string) (err error) {
	parent, base := filepath.Split(filepath.Clean(out))
	if p.keep {
		p.dir = filepath.Join(parent, "."+base+".convert")
		return os.MkdirAll(p.dir, 0o700)
	}
	p.dir, err = os.MkdirTemp(filepath.Clean(parent), ".lares-convert-*")
	return err
}

// close takes away what was made, unless an interrupted packing will need it again.
func (p *prepared) close(whole bool) error {
	if p.dir == "" || p.keep && !whole {
		return nil
	}
	return os.RemoveAll(p.dir)
}

// isMP4 reports whether a file begins with a box that MP4 files begin with.
func isMP4(name string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // read only
	var head [8]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return false, nil
	}
	return slices.Contains([]string{"ftyp", "styp", "moov", "moof", "mdat", "free", "skip", "wide", "pdin", "sidx", "uuid"}, string(head[4:])), nil
}

// probed is what ffprobe says of a file.
type probed struct {
	Streams []struct {
		Index int    `json:"index"`
		Type  string `json:"codec_type"`
		Codec string `json:"codec_name"`
		Tags  struct {
			Language string `json:"language"`
			Title    string `json:"title"`
		} `json:"tags"`
	} `json:"streams"`
	Chapters []struct {
		Start string `json:"start_time"`
		Tags  struct {
			Title string `json:"title"`
		} `json:"tags"`
	} `json:"chapters"`
}

func (p *prepared) input(ctx context.Context, i int, in string) error {
	raw, err := runTool(ctx, "ffprobe", "-v", "error", "-show_streams", "-show_chapters", "-of", "json", "file:"+in)
	if err != nil {
		return err
	}
	var got probed
	if err := json.Unmarshal(raw, &got); err != nil {
		return fmt.Errorf("read what ffprobe says of %s: %w", in, err)
	}
	mp4, err := isMP4(in)
	if err != nil {
		return err
	}
	if !mp4 {
		to := filepath.Join(p.dir, strconv.Itoa(i)+"-"+strings.TrimSuffix(filepath.Base(in), filepath.Ext(in))+".mp4")
		if err := p.ffmpeg(ctx, to, "-i", "file:"+in, "-map", "0:V?", "-map", "0:a?", "-c", "copy", "-strict", "-2", "-f", "mp4"); err != nil {
			return err
		}
		p.notes = append(p.notes, fmt.Sprintf("%s: taken out of its container by ffmpeg, nothing was encoded anew", filepath.Base(in)))
		p.inputs = append(p.inputs, to)
	} else {
		p.inputs = append(p.inputs, in)
	}
	return p.texts(ctx, i, in, &got)
}

// texts takes the text subtitles of an input, and the chapters of the first that has
// some.
func (p *prepared) texts(ctx context.Context, i int, in string, got *probed) error {
	for _, s := range got.Streams {
		if s.Type != "subtitle" {
			continue
		}
		if !slices.Contains(textCodecs, s.Codec) {
			p.notes = append(p.notes, fmt.Sprintf("%s: subtitles %d (%s) are not text: not packed", filepath.Base(in), s.Index, s.Codec))
			continue
		}
		to := filepath.Join(p.dir, fmt.Sprintf("%d-%d.vtt", i, s.Index))
		if err := p.ffmpeg(ctx, to, "-i", "file:"+in, "-map", fmt.Sprintf("0:%d", s.Index), "-f", "webvtt"); err != nil {
			return err
		}
		lang := s.Tags.Language
		if !content.Language(lang) {
			lang = "und"
		}
		p.subtitles = append(p.subtitles, packager.Subtitle{Path: to, Language: lang, Label: s.Tags.Title})
	}
	if len(p.chapters) > 0 {
		return nil
	}
	last := int64(-1)
	for n, c := range got.Chapters {
		at, err := strconv.ParseFloat(c.Start, 64)
		if ms := int64(at * 1000); err == nil && ms > last {
			title := c.Tags.Title
			if title == "" {
				title = fmt.Sprintf("Chapter %d", n+1)
			}
			p.chapters, last = append(p.chapters, content.Chapter{StartMS: ms, Title: title}), ms
		}
	}
	return nil
}

// takePoster takes a picture out of the last input, which is often the best. A film
// without a picture has none.
func (p *prepared) takePoster(ctx context.Context) {
	to, in := filepath.Join(p.dir, "poster.jpg"), p.inputs[len(p.inputs)-1]
	for _, at := range []string{"30", "0"} { // a short film has no second 30
		err := p.ffmpeg(ctx, to, "-ss", at, "-i", "file:"+in, "-frames:v", "1", "-vf", "scale=w='min(1280,iw)':h=-2", "-q:v", "3", "-f", "image2")
		if info, serr := os.Stat(to); err == nil && serr == nil && info.Size() > 0 {
			p.poster = to
			return
		}
		_ = os.Remove(to) // perhaps an empty one
	}
}

// ffmpeg makes a file, unless an earlier run has. It appears when it is whole.
func (p *prepared) ffmpeg(ctx context.Context, to string, args ...string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	part := to + ".part"
	args = append(append([]string{"-v", "error", "-nostdin", "-y"}, args...), part)
	if _, err := runTool(ctx, "ffmpeg", args...); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, to)
}

// runTool runs a program and returns its output; its error has the last line of what
// the program says.
func runTool(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return nil, fmt.Errorf("%s: %w: %s", name, err, lines[len(lines)-1])
	}
	return out.Bytes(), nil
}
