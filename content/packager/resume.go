package packager

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// ErrResume is returned for a resume file that is not of this packing.
var ErrResume = errors.New("packager: cannot resume")

// maxJournal bounds a resume file, in bytes. Source: local; every segment of 64
// tracks fits in.
const maxJournal = 256 << 20

// seedLen is the length of a resume file's secret, in bytes. Source: local.
const seedLen = 32

// journal is a resume file: the secret from which all keys and vectors of this
// packing are derived, and what of it is done. The same secret and the same inputs
// give the same bytes, so no vector meets a key with other content. It is as secret
// as the keys, and is removed when the folder is whole.
type journal struct {
	f    *os.File
	seed []byte
	done map[string]doneLine
}

type (
	headLine struct {
		Format int    `json:"format"` // 1
		What   string `json:"what"`   // hash of the inputs and options
		Seed   string `json:"seed"`   // hexadecimal
	}
	doneLine struct {
		content.Segment
		Protected int           `json:"protected"` // bytes
		AES       *content.File `json:"aes,omitempty"`
	}
)

// openJournal makes a resume file, or reads the one that is there.
func openJournal(name, what string) (*journal, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{f: f, done: map[string]doneLine{}}
	if err := j.read(what); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Base(name), err), f.Close())
	}
	return j, nil
}

func (j *journal) read(what string) error {
	r := bufio.NewReader(io.LimitReader(j.f, maxJournal))
	line, err := r.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		j.seed = random(seedLen)
		return j.write(headLine{Format: 1, What: what, Seed: hex.EncodeToString(j.seed)})
	}
	var h headLine
	if err != nil || strict(line, &h) != nil || h.Format != 1 {
		return fmt.Errorf("%w: not a resume file", ErrResume)
	}
	if h.What != what {
		return fmt.Errorf("%w: the inputs or options are others than when it was made: remove it to begin anew", ErrResume)
	}
	if j.seed, err = hex.DecodeString(h.Seed); err != nil || len(j.seed) != seedLen {
		return fmt.Errorf("%w: not a resume file", ErrResume)
	}
	end := int64(len(line))
	for {
		line, err = r.ReadBytes('\n')
		var l doneLine
		if err != nil || strict(line, &l) != nil { // the end, or a line that was cut
			break
		}
		j.done[l.Name] = l
		end += int64(len(line))
	}
	if err := j.f.Truncate(end); err != nil {
		return err
	}
	_, err = j.f.Seek(end, io.SeekStart)
	return err
}

func strict(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (j *journal) write(line any) error {
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = j.f.Write(append(b, '\n'))
	return err
}

// close ends the file: whole says that the folder is there and it is of no more use.
func (j *journal) close(whole bool) error {
	clear(j.seed)
	err := j.f.Close()
	if whole && err == nil {
		err = os.Remove(j.f.Name())
	}
	return err
}

// derive gives n bytes for a purpose: from the resume file's secret, or random.
func (p *packer) derive(n int, purpose string) ([]byte, error) {
	if p.journal == nil {
		return random(n), nil
	}
	return hkdf.Key(sha256.New, p.journal.seed, nil, "lares/1/pack/"+purpose, n)
}

// derivedKey is the key of a tier for a packing that can be resumed.
func (p *packer) derivedKey(t content.Tier, n int) (ident.Key, cenc.ContentKey, error) {
	b, err := p.derive(16+cenc.KeySize, fmt.Sprintf("key/%v/%d", t, n))
	if err != nil {
		return ident.Key{}, cenc.ContentKey{}, err
	}
	defer clear(b)
	kid := ident.Key(b[:16])
	kid[6], kid[8] = kid[6]&0x0f|0x40, kid[8]&0x3f|0x80 // as of a random UUID
	k, err := cenc.NewContentKey(b[16:])
	return kid, k, err
}

// what is a hash of all that decides the bytes of the folder.
func (c *Config) what() (string, error) {
	h := sha256.New()
	files := append([]string(nil), c.Inputs...)
	for _, s := range c.Subtitles {
		files = append(files, s.Path)
		for i := range c.Systems {
			fmt.Fprintf(h, "%x %d %v %x\n", c.Systems[i].System, c.Systems[i].Version, c.Systems[i].KIDs, c.Systems[i].Data)
		}
		fmt.Fprintf(h, "%q %q\n", s.Language, s.Label)
	}
	if c.Poster != "" {
		files = append(files, c.Poster)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %d %d\n", filepath.Base(name), info.Size(), info.ModTime().UnixNano())
	}
	if c.Rated != nil {
		fmt.Fprintf(h, "rated %d\n", *c.Rated)
	}
	fmt.Fprintf(h, "%q %q %v %q %q %d %d %d %v %v\n", c.Content, c.Title, c.Scheme, c.LicenseURL, c.KeyURL, c.FragmentMS, c.ClearLeadMS, c.RotateMS, c.AES128, c.Chapters)
	h.Write(c.Recipient)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// resumed takes a fragment that an earlier run has written, if it is still whole.
func (p *packer) resumed(f *fragment, name string) (doneLine, bool) {
	if p.journal == nil {
		return doneLine{}, false
	}
	l, ok := p.journal.done[name]
	if !ok || !p.isWhole(l.File) || l.AES != nil && !p.isWhole(*l.AES) || (l.AES != nil) != p.cfg.AES128 {
		return doneLine{}, false
	}
	if f.key != nil {
		f.key.iv += uint64(f.to - f.from) //nolint:gosec // a count: its vectors are used
	}
	return l, true
}

func (p *packer) isWhole(file content.File) bool {
	b, err := os.ReadFile(filepath.Join(p.dir, filepath.FromSlash(file.Name)))
	return err == nil && int64(len(b)) == file.Bytes && content.Digest(sha256.Sum256(b)) == file.SHA256
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
