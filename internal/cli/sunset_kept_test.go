package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license"
	ca "github.com/lares-drm/lares/security/pki/authority"
)

// bookTest is an issuer's folder with its notices, and the list of an authority.
type bookTest struct {
	*testing.T
	dir    string
	key    noticeKeyPair
	now    time.Time
	stands [][]byte
	away   error
}

func newBookTest(t *testing.T) *bookTest {
	b := &bookTest{T: t, dir: t.TempDir(), now: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)}
	var err error
	if b.key, err = noticeKey(b.dir); err != nil {
		t.Fatal(err)
	}
	return b
}

// signs is a notice of an issuer, kept as the command keeps it.
func (b *bookTest) signs(days int) signedNotice {
	b.Helper()
	data, err := license.SignNotice(b.key.key, license.Notice{Issuer: "shop.example", Effective: b.now.AddDate(0, 0, days).UnixMilli()})
	if err != nil {
		b.Fatal(err)
	}
	n, err := license.ParseNotice(data)
	if err == nil {
		err = keepNotice(b.dir, n.Hash, data)
	}
	if err != nil {
		b.Fatal(err)
	}
	for i, name := range must(b, keptNames, filepath.Join(b.dir, issuerNotices)) { // one a second
		if err := os.Chtimes(name, time.Time{}, time.Unix(int64(i), 0)); err != nil {
			b.Fatal(err)
		}
	}
	return signedNotice{n, data}
}

func must[A, B any](t testing.TB, do func(A) (B, error), a A) B {
	t.Helper()
	out, err := do(a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// standing is what an authority says of a notice that stands.
func (b *bookTest) standing(notice []byte) []byte {
	b.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	said, err := license.SignStanding(signer, []byte("certificate"), notice, b.now.UnixMilli())
	if err != nil {
		b.Fatal(err)
	}
	return said
}

func (b *bookTest) picks(of string, sent [32]byte) (signedNotice, error) {
	b.Helper()
	book, err := readNotices(b.Context(), b.dir, "shop.example", b.key.point, func(context.Context) ([][]byte, error) { return b.stands, b.away })
	if err != nil {
		b.Fatal(err)
	}
	return book.toWithdraw(of, sent, b.now)
}

func (b *bookTest) want(name string, of string, sent [32]byte, want signedNotice) {
	b.Helper()
	if got, err := b.picks(of, sent); err != nil || got.Hash != want.Hash {
		b.Errorf("%s: %v; want %x", name, err, want.Hash)
	}
}

// TestSunset_3_WithdrawsTheOneThatStands: whatever was signed behind it.
func TestSunset_3_WithdrawsTheOneThatStands(t *testing.T) {
	b := newBookTest(t)
	if _, err := b.picks("", [32]byte{}); err == nil {
		t.Error("nothing was signed, and it is withdrawn")
	}
	first := b.signs(40)
	b.stands = [][]byte{[]byte("what is this"), b.standing(newBookTest(t).signs(50).data), b.standing(first.data)} // one is another shop's
	second := b.signs(60)
	b.want("the first stands", "", [32]byte{}, first)
	b.want("and the second was sent", "", second.Hash, first)
	b.want("the second is named", second.name()[:8], [32]byte{}, second)
	if err := os.RemoveAll(filepath.Join(b.dir, issuerNotices)); err != nil {
		t.Fatal(err)
	}
	b.want("its file is gone", "", [32]byte{}, first)
	b.want("its file is gone, and it is named", first.name(), [32]byte{}, first)
	b.stands = nil
	first = b.signs(40)
	second = b.signs(60)
	b.want("none stands", "", [32]byte{}, second)
	b.want("none stands, and the first was sent", "", first.Hash, first)
	b.away = errors.New("no route")
	if _, err := b.picks("", [32]byte{}); err == nil || !strings.Contains(err.Error(), first.name()) || !strings.Contains(err.Error(), "--of") {
		t.Errorf("not known which stands: %v", err)
	}
	b.want("not known which stands, and named", first.name(), [32]byte{}, first)
	if _, err := b.picks("zz", [32]byte{}); err == nil {
		t.Error("no notice is named so")
	}
	b.now = b.now.AddDate(0, 0, 50)
	b.want("only one is ahead", "", [32]byte{}, second)
}

// TestSunset_3_KeepsTheNewestNotices: so many, and the oldest go.
func TestSunset_3_KeepsTheNewestNotices(t *testing.T) {
	b := newBookTest(t)
	first := b.signs(40)
	for i := range maxNotices {
		b.signs(41 + i)
	}
	names := must(t, keptNames, filepath.Join(b.dir, issuerNotices))
	if len(names) != maxNotices || strings.Contains(strings.Join(names, " "), first.name()) {
		t.Errorf("%d notices, the first among them: %v", len(names), strings.Contains(strings.Join(names, " "), first.name()))
	}
}

// TestSunset_3_UnsentWithdrawalIsNotReplaced, and a withdrawal by file ends the sending.
func TestSunset_3_UnsentWithdrawalIsNotReplaced(t *testing.T) {
	b := newBookTest(t)
	n := b.signs(40)
	back, err := license.SignWithdrawal(b.key.key, n.data)
	if err != nil {
		t.Fatal(err)
	}
	asks := signedFile(back, b.key.point)
	if err := writeDurably(filepath.Join(b.dir, issuerSunset), asks); err != nil {
		t.Fatal(err)
	}
	other := sha256.Sum256([]byte("another notice"))
	free := func(w sunsetWay, of [32]byte, withdraws bool) error { return w.free(b.dir, of, withdraws) }
	for name, tc := range map[string]struct {
		way       sunsetWay
		of        [32]byte
		withdraws bool
		refused   bool
	}{
		"a notice":                      {sunsetWay{send: true}, other, false, true},
		"the same notice again":         {sunsetWay{send: true}, n.Hash, false, true},
		"the withdrawal of another one": {sunsetWay{send: true}, other, true, true},
		"the withdrawal again":          {sunsetWay{send: true}, n.Hash, true, false},
		"told to":                       {sunsetWay{send: true, replace: true}, other, false, false},
		"by a file":                     {sunsetWay{out: "f"}, other, false, false},
	} {
		err := free(tc.way, tc.of, tc.withdraws)
		if e, ok := errors.AsType[*exitError](err); ok != tc.refused || ok && e.code != statusRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := &sunsetSender{dir: b.dir}
	if err := s.write(sunsetAnswer{Request: digest(asks), State: ca.SentWithdrawn.String()}); err != nil {
		t.Fatal(err)
	}
	if err := free(sunsetWay{send: true}, other, false); err != nil {
		t.Errorf("the authority has it: %v", err)
	}

	if err := writeDurably(filepath.Join(b.dir, issuerSunset), signedFile(n.data, b.key.point)); err != nil {
		t.Fatal(err)
	}
	there := func() bool { _, err := os.Stat(filepath.Join(b.dir, issuerSunset)); return err == nil }
	for _, way := range []sunsetWay{{out: "f"}, {send: true}} {
		if err := way.stop(b.dir, other); err != nil || !there() {
			t.Errorf("%+v: the withdrawal of another one: %v, %v", way, err, there())
		}
	}
	if err := (&sunsetWay{out: "f"}).stop(b.dir, n.Hash); err != nil || there() {
		t.Errorf("withdrawn by a file, and it is sent on: %v, %v", err, there())
	}
}

// TestSunset_3_UnreadableIsSaidOnce: in the log by the hour, and where show reads it.
func TestSunset_3_UnreadableIsSaidOnce(t *testing.T) {
	p := newPostTest(t)
	p.answer = takenAs(ca.SentWaits, nil)
	name := filepath.Join(p.dir, issuerSunset)
	if err := os.Mkdir(name, 0o700); err != nil { // nobody reads a folder as a file
		t.Fatal(err)
	}
	errs := 0
	for range 100 {
		p.at = p.at.Add(sunsetLook)
		if p.look(t.Context()) != nil {
			errs++
		}
	}
	a, err := readSunsetAnswer(p.dir)
	if said := a.of("what was asked"); err != nil || errs != 1 || said.State != stateSending || !strings.Contains(said.Why, "cannot read") || said.refusal() != nil {
		t.Errorf("%d errors, %+v, %v", errs, said, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	p.asks("closing")
	p.want("readable", p.looks(sunsetLook), "waits", 1)
	if err := os.WriteFile(name, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	errs = 0
	for range 100 {
		p.at = p.at.Add(sunsetLook)
		if p.look(t.Context()) != nil {
			errs++
		}
	}
	a, err = readSunsetAnswer(p.dir)
	p.want(fmt.Sprint("damaged ", err), a, "refused", 1)
	if errs != 1 || a.refusal() == nil {
		t.Errorf("damaged: %d errors, %+v", errs, a)
	}
}
