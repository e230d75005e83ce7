package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// tool is a program that does something to the film.
type tool struct {
	name   string
	argv   []string // nil: it is not there
	why    string   // it is not there
	out    string   // what it makes: a file, or a folder
	copies bool     // it decrypts nothing
}

// spent is what a child process used: seconds and bytes.
type spent struct{ wall, cpu, rss float64 }

// run starts the tool and waits for its end. What it made before is removed first.
func (t *tool) run(ctx context.Context) (spent, error) {
	if t.out != "" {
		if err := os.RemoveAll(t.out); err != nil {
			return spent{}, err
		}
	}
	cmd := exec.CommandContext(ctx, t.argv[0], t.argv[1:]...) //nolint:gosec // a peer's name, or its path by flag
	var say bytes.Buffer
	cmd.Stderr = &say
	from := time.Now() //nolint:forbidigo // who waits for a tool waits by the clock on the wall
	err := cmd.Run()
	wall := time.Since(from) //nolint:forbidigo // as above
	if err != nil {
		return spent{}, fmt.Errorf("%s: %w: %s", t.name, err, bytes.TrimSpace(say.Bytes()))
	}
	u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return spent{}, fmt.Errorf("%s: the system does not say what it used", t.name)
	}
	cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return spent{wall.Seconds(), cpu.Seconds(), float64(u.Maxrss) * 1024}, nil // ru_maxrss is in KiB on Linux
}

// shaka is the program inside of the npm package, which starts it through node.
func (c Config) shaka() (string, bool) {
	path, ok := c.Peer("shaka-packager")
	if info, err := os.Stat(path); ok && err == nil && info.IsDir() {
		arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
		if arch == "" {
			arch = runtime.GOARCH
		}
		path = filepath.Join(path, "bin", "packager-"+runtime.GOOS+"-"+arch)
		_, err := os.Stat(path)
		ok = err == nil
	}
	return path, ok
}

const (
	noShaka  = "shaka-packager is not installed (make setup), or give --peer shaka-packager=PATH"
	noFFmpeg = "ffmpeg, which makes the film, is not installed (make setup), or give --peer ffmpeg=PATH"
)

// reelFilm is the film that the tools work on: a picture of noise, at 16 Mbit/s.
type reelFilm struct {
	cfg Config
	dir string
}

// missing says why there can be no film.
func (f *reelFilm) missing() string {
	if _, ok := f.cfg.Peer("ffmpeg"); !ok {
		return noFFmpeg
	}
	if f.cfg.Program == "" {
		return "nobody said where the program lares is"
	}
	return ""
}

// loops gives a file its size: so many times eight seconds of 2 MB.
func (f *reelFilm) loops(large bool) string {
	switch {
	case f.cfg.Quick:
		return "0"
	case large:
		return "124"
	}
	return "12"
}

func (f *reelFilm) ffmpeg(args ...string) *tool {
	path, _ := f.cfg.Peer("ffmpeg")
	return &tool{name: "ffmpeg", argv: append([]string{path, "-v", "error", "-y", "-nostdin"}, args...)}
}

var fragments = []string{"-c", "copy", "-f", "mp4", "-movflags", "+frag_keyframe+empty_moov+default_base_moof"}

// make makes the clear film and its two protected forms.
func (f *reelFilm) make(ctx context.Context) error {
	length := "8"
	if f.cfg.Quick {
		length = "1"
	}
	steps := []*tool{
		f.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d="+length+",noise=alls=60:allf=t", "-c:v", "libx264", "-preset", "ultrafast",
			"-g", "100", "-keyint_min", "100", "-sc_threshold", "0", "-b:v", "16M", "-minrate", "16M", "-maxrate", "16M", "-bufsize", "16M", "-pix_fmt", "yuv420p", f.path("base.mp4")),
		f.ffmpeg(append(append([]string{"-stream_loop", f.loops(false), "-i", f.path("base.mp4")}, fragments...), f.path("clear.mp4"))...),
	}
	for _, scheme := range []string{"cenc", "cbcs"} {
		steps = append(steps, &tool{name: "lares", argv: []string{f.cfg.Program, "content", "encrypt", "--scheme", scheme, "--key", "HD:" + contentKID + "=" + contentKey, f.path("clear.mp4"), f.path(scheme + ".mp4")}})
	}
	for _, t := range steps {
		if _, err := t.run(ctx); err != nil {
			return fmt.Errorf("make the film: %w", err)
		}
	}
	return nil
}

// makeLarge makes a protected film of 2 GB; the others are not needed any more.
func (f *reelFilm) makeLarge(ctx context.Context) error {
	for _, name := range []string{"clear.mp4", "cenc.mp4", "cbcs.mp4"} {
		if err := os.Remove(f.path(name)); err != nil {
			return err
		}
	}
	film := f.ffmpeg(append(append([]string{"-stream_loop", f.loops(true), "-i", f.path("base.mp4")}, fragments...), "-")...)
	make := exec.CommandContext(ctx, film.argv[0], film.argv[1:]...)                                                                             //nolint:gosec // a peer's path
	protect := exec.CommandContext(ctx, f.cfg.Program, "content", "encrypt", "--key", "HD:"+contentKID+"="+contentKey, "-", f.path("large.mp4")) //nolint:gosec // this program itself
	pipe, err := make.StdoutPipe()
	if err != nil {
		return err
	}
	var say bytes.Buffer
	protect.Stdin, protect.Stderr, make.Stderr = pipe, &say, &say
	if err := make.Start(); err != nil {
		return err
	}
	if err := protect.Run(); err != nil {
		return fmt.Errorf("make a large film: %w: %s", err, say.String())
	}
	if err := make.Wait(); err != nil {
		return fmt.Errorf("make a large film: %w: %s", err, say.String())
	}
	return nil
}

// decrypters are the tools that decrypt a protected film; lares is the first.
func (f *reelFilm) decrypters(scheme string) []tool {
	in, out := f.path(scheme+".mp4"), func(name string) string { return f.path(scheme + "-" + name + ".mp4") }
	tools := []tool{
		{name: "lares", out: out("lares"), argv: []string{f.cfg.Program, "content", "decrypt", "--key", contentKID + "=" + contentKey, in, out("lares")}},
		{name: "shaka-packager", out: out("shaka"), why: noShaka},
		{name: "ffmpeg", out: out("ffmpeg")},
		{name: "mp4ff", out: out("mp4ff"), argv: []string{f.cfg.Program, "bench", "content-peer", "mp4ff", contentKey, in, out("mp4ff")}},
		{name: "cp", out: out("cp"), copies: true, why: "cp is not installed"},
	}
	if path, ok := f.cfg.shaka(); ok {
		tools[1].argv = []string{
			path, "--quiet", "in=" + in + ",stream=video,output=" + out("shaka"),
			"--enable_raw_key_decryption", "--keys", "label=:key_id=" + contentKID + ":key=" + contentKey,
		}
	}
	tools[2].argv = f.ffmpeg("-seekable", "0", "-decryption_key", contentKey, "-i", in, "-c", "copy", out("ffmpeg")).argv
	if path, ok := f.cfg.Peer("cp"); ok {
		tools[4].argv = []string{path, in, out("cp")}
	}
	return tools
}

// packers are the tools that make a protected film; lares is the first.
func (f *reelFilm) packers() []tool {
	in := f.path("clear.mp4")
	tools := []tool{
		{name: "lares", out: f.path("packed"), argv: []string{f.cfg.Program, "bench", "content-peer", "pack", in, f.path("packed")}},
		{name: "shaka-packager", out: f.path("shaka"), why: noShaka},
	}
	if path, ok := f.cfg.shaka(); ok {
		dir := f.path("shaka")
		tools[1].argv = []string{
			path, "--quiet", "in=" + in + ",stream=video,init_segment=" + dir + "/init.mp4,segment_template=" + dir + "/$Number$.m4s",
			"--enable_raw_key_encryption", "--keys", "label=:key_id=" + contentKID + ":key=" + contentKey, "--protection_scheme", "cenc", "--clear_lead", "0",
			"--segment_duration", "4", "--mpd_output", dir + "/manifest.mpd",
		}
	}
	return tools
}
