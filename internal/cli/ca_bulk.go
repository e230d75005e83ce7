package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

// bulkBatch is how many devices become durable together: what is lost at most
// when the power fails is so many places of the class. Source: local.
const bulkBatch = 1024

// bulkKeyLine is the length of a line of the keys file: two keys in base64, a
// space, a line feed. Source: docs/spec/authority-api.md, Factory.
const bulkKeyLine = 2*88 + 2

type bulkFlags struct {
	out, level, anchor, implementation string
	class, svn                         uint32
}

// bulkHead is the first line of the certificates file.
type bulkHead struct {
	Class pki.Class `json:"class"`
	Chain [][]byte  `json:"chain"` // CAs, the lowest first
	Roots [][]byte  `json:"roots"`
}

// bulkDevice is every other line.
type bulkDevice struct {
	Index    uint32       `json:"index"`
	Device   ident.Device `json:"device"`
	Signing  []byte       `json:"signing"`  // certificate, DER
	Delivery []byte       `json:"delivery"` // certificate, DER
}

type bulkAnswer struct {
	File    string `json:"file"`
	Devices int    `json:"devices"`  // in the file
	Resumed int    `json:"resumed"`  // that were there before
	Seconds int64  `json:"seconds"`  // of this run
	PerHour int64  `json:"per_hour"` // devices of this run
}

func newCABulkCmd(env *Env, dir *string) *cobra.Command {
	var f bulkFlags
	cmd := &cobra.Command{
		Use:   "bulk KEYS",
		Short: "Certify the devices of a factory from a file of public keys",
		Long: `Certify one device for each line of KEYS: its signing key and its delivery key,
P-256, as uncompressed points (65 bytes) in base64, with a space between. The
factory has checked that the devices hold the keys. The file that is written has
a line of JSON for each, in the same order; the first line has the CAs.

It reads and writes line by line, whatever the number. When it was interrupted,
the same command goes on where it stopped. 'lares ca serve' may run meanwhile.`,
		Example: `  lares ca bulk keys.txt --out certificates.jsonl
  lares ca bulk keys.txt --out certificates.jsonl --class 4098 --level SL3 --anchor A2 --svn 2 --implementation player-2026 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request()
			if err != nil {
				return err
			}
			b := bulk{env: env, dir: *dir, req: req, seen: map[ident.Device]int{}}
			out, err := b.run(cmd.Context(), args[0], f.out)
			if pki.RuleOf(err) != "" || errors.Is(err, authority.ErrNoClass) {
				return refused("%w", err)
			}
			if err != nil {
				return err
			}
			return env.print(cmd, out, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s: %d devices, %d of them in this run, in %v.\n", out.File, out.Devices, out.Devices-out.Resumed, time.Duration(out.Seconds)*time.Second)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "", "file to write, or to go on with (required)")
	cmd.Flags().Uint32Var(&f.class, "class", 0, "class of the devices; 0 means the first active one")
	cmd.Flags().StringVar(&f.level, "level", "SL1", "SL1 software, SL2 token, SL3 TPM or secure element")
	cmd.Flags().StringVar(&f.anchor, "anchor", "A0", "A0 none, A1 household witnesses, A2 non-volatile counter")
	cmd.Flags().Uint32Var(&f.svn, "svn", 0, "security version of the modules")
	cmd.Flags().StringVar(&f.implementation, "implementation", "", "which module, at most 32 bytes")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func (f *bulkFlags) request() (authority.Request, error) {
	r := authority.Request{Role: pki.Device, Class: pki.Class(f.class), SVN: f.svn, Implementation: []byte(f.implementation)}
	if err := errors.Join(r.Level.UnmarshalText([]byte(f.level)), r.Anchor.UnmarshalText([]byte(f.anchor))); err != nil {
		return r, usage("%w", err)
	}
	if len(f.implementation) > pki.MaxImplementation {
		return r, usage("--implementation has at most %d bytes", pki.MaxImplementation)
	}
	return r, nil
}

// bulk is one run.
type bulk struct {
	env  *Env
	dir  string
	req  authority.Request
	keys *bufio.Reader
	line int                  // of the keys file
	seen map[ident.Device]int // on which line
	out  *os.File
	head *bulkHead // nil before the first batch of a new file
}

func (b *bulk) run(ctx context.Context, keys, out string) (*bulkAnswer, error) {
	in, err := os.Open(keys)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	defer in.Close() //nolint:errcheck // read only
	size, err := in.Stat()
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	b.keys = bufio.NewReaderSize(in, 1<<16)
	if b.out, err = os.OpenFile(out, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("write certificates: %w", err)
	}
	defer b.out.Close() //nolint:errcheck // synced after every batch
	resumed, err := b.resume()
	if err != nil {
		return nil, fmt.Errorf("go on with %s: %w", out, err)
	}
	started := b.env.Now()
	p := progress{env: b.env, start: started, line: func(done, total int64, spent time.Duration) string {
		return bulkLine(done, total, int64(resumed), spent)
	}}
	show := p.show()
	defer p.end()
	for ctx.Err() == nil {
		pairs, err := b.read(bulkBatch)
		if err != nil {
			return nil, err
		}
		if len(pairs) == 0 {
			spent := b.env.Now().Sub(started)
			done := b.line - resumed
			return &bulkAnswer{File: out, Devices: b.line, Resumed: resumed, Seconds: int64(spent.Seconds()), PerHour: int64(float64(done) / max(spent.Hours(), 1e-9))}, nil
		}
		if err := b.certify(ctx, pairs); err != nil {
			return nil, err
		}
		if show != nil {
			show(int64(b.line), size.Size()/bulkKeyLine)
		}
	}
	return nil, later("interrupted after %d devices: the same command goes on: %w", b.line, ctx.Err())
}

func bulkLine(done, total, resumed int64, spent time.Duration) string {
	line := fmt.Sprintf("certifying %3d %%, %d of %d", done*100/total, done, total)
	if now := done - resumed; now > 0 && spent > 2*time.Second {
		rate := float64(now) / spent.Seconds()
		line += fmt.Sprintf(", %.0f/s, %v left", rate, time.Duration(float64(total-done)/rate*float64(time.Second)).Round(time.Second))
	}
	return line
}

type keyPair struct{ signing, delivery *ecdsa.PublicKey }

// read reads the next lines of keys, at most n.
func (b *bulk) read(n int) (out []keyPair, err error) {
	for len(out) < n {
		text, err := b.keys.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return out, nil
		}
		b.line++
		if err != nil && !errors.Is(err, io.EOF) || len(text) > bulkKeyLine {
			return nil, fmt.Errorf("line %d of the keys: %d characters at most", b.line, bulkKeyLine)
		}
		signing, delivery, ok := bytes.Cut(bytes.TrimRight(text, "\r\n"), []byte(" "))
		p := keyPair{signing: pointOf(signing), delivery: pointOf(delivery)}
		if !ok || p.signing == nil || p.delivery == nil {
			return nil, fmt.Errorf("line %d of the keys: want two P-256 points of 65 bytes in base64, with a space between", b.line)
		}
		id, err := deviceOfKey(p.signing)
		if err != nil {
			return nil, err
		}
		if at := b.seen[id]; at > 0 {
			return nil, fmt.Errorf("line %d of the keys has the signing key of line %d: no two devices have one", b.line, at)
		}
		b.seen[id] = b.line
		out = append(out, p)
	}
	return out, nil
}

// pointOf reads a public key; nil when it is none.
func pointOf(text []byte) *ecdsa.PublicKey {
	raw, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	if err != nil {
		return nil
	}
	return key
}

func deviceOfKey(key *ecdsa.PublicKey) (ident.Device, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	return ident.DeviceOf(spki), err
}

// certify certifies one batch, on all processors, makes it durable, and then
// writes it out.
func (b *bulk) certify(ctx context.Context, pairs []keyPair) error {
	made := make([]*authority.Certified, len(pairs))
	err := withAuthority(b.dir, func(a *authority.Authority) error {
		batch, err := a.NewBatch(b.req, len(pairs), b.env.Now())
		if err != nil {
			return err
		}
		g, _ := errgroup.WithContext(ctx)
		workers := runtime.GOMAXPROCS(0)
		for w := range workers {
			g.Go(func() (err error) {
				for i := w; i < len(pairs) && err == nil; i += workers {
					made[i], err = batch.Certify(i, pairs[i].signing, pairs[i].delivery)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		return batch.Commit()
	})
	if err != nil {
		return err
	}
	return b.write(made)
}

func (b *bulk) write(made []*authority.Certified) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	head := bulkHead{Class: made[0].Member.Class, Chain: made[0].Chain[1:], Roots: made[0].Roots}
	if b.head == nil {
		b.head = &head
		if err := enc.Encode(head); err != nil {
			return err
		}
	}
	if !sameHead(b.head, &head) {
		return fmt.Errorf("the CAs are not those of the file's first line: begin another file for the rest of the keys")
	}
	for _, c := range made {
		if err := enc.Encode(bulkDevice{Index: c.Member.Index, Device: c.Device, Signing: c.Chain[0], Delivery: c.Delivery}); err != nil {
			return err
		}
	}
	if _, err := b.out.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("write certificates: %w", err)
	}
	if err := b.out.Sync(); err != nil {
		return fmt.Errorf("write certificates: %w", err)
	}
	return nil
}

func sameHead(a, b *bulkHead) bool {
	return a.Class == b.Class && bytes.Equal(bytes.Join(a.Chain, nil), bytes.Join(b.Chain, nil)) && bytes.Equal(bytes.Join(a.Roots, nil), bytes.Join(b.Roots, nil))
}

// resume reads what an earlier run has written, holds it against the keys, cuts
// off a last line that is not whole, and says how many devices are there.
func (b *bulk) resume() (n int, err error) {
	r := bufio.NewReaderSize(b.out, 1<<20)
	var whole int64
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("it is no file of certificates: %w", err)
		}
		whole += int64(len(line))
		if b.head == nil {
			b.head = new(bulkHead)
			if err := strictJSON(line, b.head); err != nil || len(b.head.Chain) == 0 {
				return 0, errors.New("it is no file of certificates")
			}
			continue
		}
		var d bulkDevice
		if err := strictJSON(line, &d); err != nil {
			return 0, fmt.Errorf("line %d: %w", n+2, err)
		}
		if err := b.sameDevice(d.Device); err != nil {
			return 0, fmt.Errorf("line %d: %w", n+2, err)
		}
		n++
	}
	if err := b.out.Truncate(whole); err != nil {
		return 0, err
	}
	_, err = b.out.Seek(whole, io.SeekStart)
	return n, err
}

func strictJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// sameDevice takes the next line of keys, which must be that device's.
func (b *bulk) sameDevice(id ident.Device) error {
	pairs, err := b.read(1)
	if err != nil {
		return err
	}
	if len(pairs) == 0 {
		return errors.New("there are more devices than keys")
	}
	if b.seen[id] != b.line {
		return fmt.Errorf("device %v is not that of line %d of the keys: these are other keys", id, b.line)
	}
	return nil
}
