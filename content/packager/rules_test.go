package packager_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license/ident"
)

func TestPack_FolderIsWhatContentJSONSays(t *testing.T) {
	dir, res := pack(t, cenc.SchemeCENC)
	data, err := os.ReadFile(filepath.Join(dir, content.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(res.Manifest, m); d != "" {
		t.Error(d)
	}
	if m.DurationMS != 60_000 || m.Poster == nil || m.Poster.Name != "poster.jpg" {
		t.Errorf("duration %d, poster %v", m.DurationMS, m.Poster)
	}
	for _, want := range []struct {
		tier     content.Tier
		w, h     int
		segments int
	}{{content.Audio, 0, 0, 15}, {content.SD, 640, 360, 15}, {content.HD, 1280, 720, 15}} {
		f, ok := m.Best(want.tier)
		if !ok || f.Tier != want.tier || f.Width != want.w || f.Height != want.h || len(f.Segments) != want.segments {
			t.Errorf("%v: %+v", want.tier, f)
		}
	}
	found := 0
	err = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if name == content.ManifestName {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if f, ok := m.File(filepath.ToSlash(name)); !ok || f.Bytes != int64(len(b)) || f.SHA256 != content.Digest(sha256.Sum256(b)) {
			t.Errorf("%s is not what content.json says: %v", name, f)
		}
		found++
		return nil
	})
	if err != nil || found != 3*16+2+4 {
		t.Errorf("%d files, %v", found, err)
	}
}

// TestPack_RatesBoundEveryFragment: a license meters by the peak rate, so no
// fragment of a second or more may be above it.
func TestPack_RatesBoundEveryFragment(t *testing.T) {
	dir, res := pack(t, cenc.SchemeCENC)
	for i := range res.Manifest.Tracks {
		f := &res.Manifest.Tracks[i]
		in, err := content.ParseInit(load(t, dir, f.Init))
		if err != nil {
			t.Fatal(err)
		}
		var most uint64
		for _, s := range f.Segments {
			frag, err := in.Fragment(load(t, dir, s.File))
			if err != nil {
				t.Fatal(err)
			}
			rate := (uint64(frag.Bytes())*1000 + uint64(s.DurationMS) - 1) / uint64(s.DurationMS)
			if most = max(most, rate); rate > f.BPS || s.Bytes*8000 > f.Bandwidth*s.DurationMS {
				t.Errorf("%s: %d bytes/s, peak says %d", s.Name, rate, f.BPS)
			}
		}
		if most != f.BPS {
			t.Errorf("%s: peak %d, highest fragment %d", f.Name, f.BPS, most)
		}
	}
}

// TestPack_NoIVTwiceUnderOneKey packs one file twice into one tier: two tracks
// under one key, whose vectors must all differ.
func TestPack_NoIVTwiceUnderOneKey(t *testing.T) {
	_, paths := inputs(t)
	dir := filepath.Join(t.TempDir(), "out")
	res, err := packager.Pack(context.Background(), packager.Config{Inputs: []string{paths[0], paths[0]}, Dir: dir, Content: "c", Title: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Manifest.Tracks) != 2 || len(res.Delivery.Keys) != 1 || res.Manifest.Tracks[1].Name != "sd-2" {
		t.Fatalf("tracks %d, keys %d", len(res.Manifest.Tracks), len(res.Delivery.Keys))
	}
	seen := map[string]bool{}
	for i := range res.Manifest.Tracks {
		for _, s := range res.Manifest.Tracks[i].Segments {
			b := load(t, dir, s.File)
			at := bytes.Index(b, []byte("senc")) + 4
			if b[at+3] != 2 {
				t.Fatalf("%s: senc flags %x", s.Name, b[at:at+4])
			}
			n := int(b[at+6])<<8 | int(b[at+7])
			at += 8
			for range n {
				if iv := string(b[at : at+8]); seen[iv] {
					t.Fatalf("%s: IV %x again", s.Name, iv)
				} else {
					seen[iv] = true
				}
				at += 8
				at += 2 + 6*(int(b[at])<<8|int(b[at+1]))
			}
		}
	}
	if len(seen) != 2*1440 {
		t.Errorf("%d vectors, want one a frame", len(seen))
	}
}

// dashManifest is what the test reads of a manifest.
type dashManifest struct {
	Sets []struct {
		ID         string `xml:"id,attr"`
		Protection []struct {
			Scheme string   `xml:"schemeIdUri,attr"`
			Value  string   `xml:"value,attr"`
			KID    string   `xml:"urn:mpeg:cenc:2013 default_KID,attr"`
			PSSH   string   `xml:"urn:mpeg:cenc:2013 pssh"`
			Dashif []string `xml:"https://dashif.org/CPS Laurl"`
			Ck     []string `xml:"http://dashif.org/guidelines/clearKey Laurl"`
		} `xml:"ContentProtection"`
		Switching []struct {
			Scheme string `xml:"schemeIdUri,attr"`
			Value  string `xml:"value,attr"`
		} `xml:"SupplementalProperty"`
		Tracks []struct {
			ID string `xml:"id,attr"`
			S  []struct {
				D uint64 `xml:"d,attr"`
				R uint64 `xml:"r,attr"`
			} `xml:"SegmentTemplate>SegmentTimeline>S"`
		} `xml:"Representation"`
	} `xml:"Period>AdaptationSet"`
}

func TestPack_DASHManifest(t *testing.T) {
	dir, res := pack(t, cenc.SchemeCBCS)
	var m dashManifest
	b, err := os.ReadFile(filepath.Join(dir, "manifest.mpd"))
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Sets) != 3 {
		t.Fatalf("%d adaptation sets", len(m.Sets))
	}
	for i, set := range m.Sets {
		f := &res.Manifest.Tracks[i]
		p := set.Protection
		if len(p) != 3 || p[0].Scheme != "urn:mpeg:dash:mp4protection:2011" || p[0].Value != "cbcs" || p[0].KID != f.KID.String() {
			t.Fatalf("set %d: %+v", i, p)
		}
		raw, err := base64.StdEncoding.DecodeString(p[2].PSSH)
		if err != nil {
			t.Fatal(err)
		}
		box, err := cenc.ParsePSSH(raw)
		if err != nil || box.System != cenc.CommonSystem() || len(box.KIDs) != 3 || !slices.Contains(box.KIDs, f.KID) {
			t.Errorf("set %d: pssh %+v, %v", i, box, err)
		}
		if p[1].Scheme != "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e" || !slices.Equal(p[1].Dashif, []string{"license"}) || !slices.Equal(p[1].Ck, []string{"license"}) {
			t.Errorf("set %d: Clear Key %+v", i, p[1])
		}
		if i == 0 && len(set.Switching) != 0 || i > 0 && (len(set.Switching) != 1 || set.Switching[0].Value != m.Sets[3-i].ID) {
			t.Errorf("set %d: switching %+v", i, set.Switching)
		}
		n := 0
		for _, s := range set.Tracks[0].S {
			n += 1 + int(s.R)
		}
		if set.Tracks[0].ID != f.Name || n != len(f.Segments) {
			t.Errorf("set %d: representation %s with %d segments, want %s with %d", i, set.Tracks[0].ID, n, f.Name, len(f.Segments))
		}
	}
}

func TestPack_AllOrNothing(t *testing.T) {
	_, paths := inputs(t)
	parent := t.TempDir()
	broken := filepath.Join(t.TempDir(), "cut.mp4")
	whole, err := film.Files.ReadFile(film.HD)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	text := filepath.Join(parent, "text.txt")
	if err := os.WriteFile(text, []byte("no film"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ctx  context.Context
		edit func(*packager.Config)
		want error
	}{
		"cut input":      {context.Background(), func(c *packager.Config) { c.Inputs = append(c.Inputs, broken) }, packager.ErrInput},
		"not MP4":        {context.Background(), func(c *packager.Config) { c.Inputs = []string{text} }, packager.ErrInput},
		"no such file":   {context.Background(), func(c *packager.Config) { c.Inputs = []string{"none.mp4"} }, os.ErrNotExist},
		"folder exists":  {context.Background(), func(c *packager.Config) { c.Dir = parent }, os.ErrExist},
		"canceled":       {canceled, func(*packager.Config) {}, context.Canceled},
		"poster is text": {context.Background(), func(c *packager.Config) { c.Poster = text }, packager.ErrInput},
		"bad recipient":  {context.Background(), func(c *packager.Config) { c.Recipient = []byte("x") }, nil},
		"cens":           {context.Background(), func(c *packager.Config) { c.Scheme = cenc.SchemeCENS }, nil},
		"an old rating":  {context.Background(), func(c *packager.Config) { years := uint8(22); c.Rated = &years }, nil},
		"no title":       {context.Background(), func(c *packager.Config) { c.Title = "" }, nil},
		"license URL":    {context.Background(), func(c *packager.Config) { c.LicenseURL = "javascript:x" }, nil},
		"no keys":        {context.Background(), func(c *packager.Config) { c.Keys = noKeys }, errNoKeys},
	} {
		cfg := packager.Config{Inputs: slices.Clone(paths), Dir: filepath.Join(parent, "out"), Content: "c", Title: "t"}
		tc.edit(&cfg)
		if _, err := packager.Pack(tc.ctx, cfg); err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		left, err := os.ReadDir(parent)
		if err != nil || len(left) != 1 {
			t.Errorf("%s: %v is left behind, %v", name, left, err)
		}
	}
}

var errNoKeys = errors.New("no keys today")

func noKeys(content.Tier) (ident.Key, cenc.ContentKey, error) {
	return ident.Key{}, cenc.ContentKey{}, errNoKeys
}

func TestPack_SealsForTheRecipient(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<33, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	_, paths := inputs(t)
	dir := filepath.Join(t.TempDir(), "out")
	res, err := packager.Pack(context.Background(), packager.Config{Inputs: paths, Dir: dir, Content: "c", Title: "t", Recipient: cert, State: []byte("state")})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := os.ReadFile(filepath.Join(dir, content.StateName)); err != nil || string(state) != "state" {
		t.Errorf("the revocation state that goes along: %q, %v", state, err)
	}
	blob, err := os.ReadFile(filepath.Join(dir, packager.KeysName))
	if err != nil {
		t.Fatal(err)
	}
	kx, err := key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	d, err := content.OpenKeys(kx, cert, blob)
	if err != nil {
		t.Fatal(err)
	}
	if d.DurationMS != 60_000 || len(d.Keys) != len(res.Delivery.Keys) {
		t.Errorf("delivery of %d ms with %d keys", d.DurationMS, len(d.Keys))
	}
	for i, k := range d.Keys {
		if w := res.Delivery.Keys[i]; k.KID != w.KID || !k.Key.Equal(w.Key) || k.BPS != w.BPS || k.BPS != res.Manifest.Tracks[i].BPS {
			t.Errorf("key %d: %v, want %v", i, k, w)
		}
		raw, err := k.Key.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		holdsNoKey(t, dir, raw[:])
	}
}

func holdsNoKey(t *testing.T, dir string, key []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if bytes.Contains(b, key) {
			t.Errorf("%s holds a content key", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
