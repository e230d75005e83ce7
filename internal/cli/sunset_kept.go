package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// Notices that an issuer has signed: each can stand, and then only its own withdrawal
// takes it back, whatever was signed behind it. Source: local, docs/spec/sunset.md.
const (
	issuerNotices = "notices" // folder of an issuer's folder: HASH.cose, hash in hexadecimal
	maxNotices    = 64        // in it, the newest
	noticeExt     = ".cose"
	standingWait  = 10 * time.Second // for the authority's list
)

// keepNotice keeps a signed notice, so that it can be taken back.
func keepNotice(dir string, hash [32]byte, data []byte) error {
	folder := filepath.Join(dir, issuerNotices)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(folder, hex.EncodeToString(hash[:])+noticeExt), data); err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(dir, issuerNotice), data); err != nil {
		return err
	}
	names, err := keptNames(folder)
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-maxNotices)] {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// keptNames are the files of the notices, the one that was signed last at the end.
func keptNames(folder string) ([]string, error) {
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, at := []string{}, map[string]time.Time{}
	for _, f := range files {
		if filepath.Ext(f.Name()) != noticeExt {
			continue
		}
		st, err := f.Info()
		if err != nil {
			return nil, err
		}
		name := filepath.Join(folder, f.Name())
		names, at[name] = append(names, name), st.ModTime()
	}
	slices.SortStableFunc(names, func(a, b string) int { return at[a].Compare(at[b]) })
	return names, nil
}

// signedNotice is a notice as it was signed.
type signedNotice struct {
	*license.SignedNotice
	data []byte
}

func (n *signedNotice) name() string { return hex.EncodeToString(n.Hash[:]) }

// noticeBook is what an issuer knows of its notices.
type noticeBook struct {
	kept  []signedNotice // the one that was signed last at the end
	stood []signedNotice // those that stand
	err   error          // why it is not known what stands
}

// readNotices reads the notices of an issuer that are kept, and asks its authority
// which stands. No other than one that the notice key has signed is in either.
func readNotices(ctx context.Context, dir string, issuer ident.Issuer, key []byte, ask func(context.Context) ([][]byte, error)) (b noticeBook, err error) {
	own := func(data []byte) (signedNotice, bool) {
		n, err := license.ParseNotice(data)
		if err != nil || n.Issuer != issuer || n.Verify(key) != nil {
			return signedNotice{}, false
		}
		return signedNotice{n, data}, true
	}
	names, err := keptNames(filepath.Join(dir, issuerNotices))
	if err != nil {
		return b, err
	}
	for _, name := range append(names, filepath.Join(dir, issuerNotice)) {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return b, err
		}
		if n, ok := own(data); ok {
			b.kept = slices.DeleteFunc(b.kept, func(o signedNotice) bool { return o.Hash == n.Hash })
			b.kept = append(b.kept, n)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, standingWait)
	defer cancel()
	list, err := ask(ctx)
	b.err = err
	for _, said := range list {
		if data, err := license.NoticeIn(said); err == nil {
			if n, ok := own(data); ok {
				b.stood = append(b.stood, n)
			}
		}
	}
	return b, nil
}

// toWithdraw is the notice that a withdrawal is of: the named one; else the one that
// stands; else the one that was sent; else the one that was signed last.
func (b *noticeBook) toWithdraw(of string, sent [32]byte, now time.Time) (signedNotice, error) {
	if of != "" {
		return b.named(strings.ToLower(of))
	}
	if len(b.stood) > 0 {
		return b.stood[0], nil
	}
	open := slices.DeleteFunc(slices.Clone(b.kept), func(n signedNotice) bool { return n.Effective <= now.UnixMilli() })
	if b.err != nil && len(open) > 1 {
		return signedNotice{}, fmt.Errorf("the authority does not say which notice stands (%w); name the one to take back by --of:%s", b.err, noticesListed(open))
	}
	if i := slices.IndexFunc(b.kept, func(n signedNotice) bool { return n.Hash == sent }); i >= 0 {
		return b.kept[i], nil
	}
	if len(b.kept) == 0 {
		return signedNotice{}, errors.New("this issuer has given no notice: lares issuer sunset notice")
	}
	return b.kept[len(b.kept)-1], nil
}

func (b *noticeBook) named(of string) (signedNotice, error) {
	all := b.kept
	for _, n := range b.stood {
		if !slices.ContainsFunc(all, func(o signedNotice) bool { return o.Hash == n.Hash }) {
			all = append(all, n)
		}
	}
	found := slices.DeleteFunc(slices.Clone(all), func(n signedNotice) bool { return !strings.HasPrefix(n.name(), of) })
	if len(found) != 1 {
		return signedNotice{}, usage("--of: %d of this issuer's notices begin with %s; there are:%s", len(found), of, noticesListed(all))
	}
	return found[0], nil
}

// noticesListed names notices, one a line.
func noticesListed(all []signedNotice) string {
	if len(all) == 0 {
		return " none"
	}
	var out strings.Builder
	for _, n := range all {
		fmt.Fprintf(&out, "\n  %s  ends %s, for %s", n.name(), time.UnixMilli(n.Effective).UTC().Format(time.DateOnly), titlesOf(n.Scope))
	}
	return out.String()
}

// pendingSunset is the statement that an issuer's folder has for the running issuer,
// and what has become of it; nil where there is none that can be read.
func pendingSunset(dir string) (*license.Statement, sunsetAnswer) {
	name := filepath.Join(dir, issuerSunset)
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, sunsetAnswer{}
	}
	data, _, err := parseSigned(name, text)
	if err != nil {
		return nil, sunsetAnswer{}
	}
	s, err := license.ParseStatement(data)
	if err != nil {
		return nil, sunsetAnswer{}
	}
	a, err := readSunsetAnswer(dir)
	if err != nil {
		a = sunsetAnswer{}
	}
	return s, a.of(digest(text))
}

// free refuses to send something in the place of a withdrawal that the authority does
// not have yet: the notice would go on to stand, and nobody would know.
func (w *sunsetWay) free(dir string, of [32]byte, withdraws bool) error {
	s, a := pendingSunset(dir)
	if !w.send || w.replace || s == nil || s.Notice != nil || a.last() || withdraws && s.Of == of {
		return nil
	}
	return refused("a withdrawal of the notice %x has not reached the authority yet, and would never be sent; wait for it (lares issuer sunset show), or add --replace", s.Of[:8])
}

// stop ends that a notice is sent that is taken back by a file.
func (w *sunsetWay) stop(dir string, of [32]byte) error {
	if s, a := pendingSunset(dir); w.send || s == nil || s.Notice == nil || s.Of != of || a.last() {
		return nil
	}
	return os.Remove(filepath.Join(dir, issuerSunset))
}
