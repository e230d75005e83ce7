package license_test

import (
	"encoding/hex"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license"
)

// sentVector is the page's: a module says that the worked example's notice is sent.
func sentVector(t testing.TB) (said license.Sent, object []byte) {
	t.Helper()
	point, notice, _, _ := noticeVectors(t)
	said = license.SentBy("shop.example", notice, point, spring-86_400_000)
	object, err := license.SignSent(scalar(t, 2), []byte("certificate"), said)
	if err != nil {
		t.Fatal(err)
	}
	return said, object
}

func TestSunset_3_SentWorkedExample(t *testing.T) {
	text, err := os.ReadFile("../docs/spec/sunset.md")
	if err != nil {
		t.Fatal(err)
	}
	said, object := sentVector(t)
	m := regexp.MustCompile("(?s)```hex sent\n(.*?)```").FindSubmatch(text)
	if m == nil || strings.Join(strings.Fields(string(m[1])), "") != hex.EncodeToString(object) {
		t.Errorf("the page has another object than %x", object)
	}
	if got, err := license.ParseSent(object, scalar(t, 2).Public()); err != nil || got != said {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := license.ParseSent(object, scalar(t, 3).Public()); !errors.Is(err, license.ErrNotice) {
		t.Errorf("of another module: %v", err)
	}
	object[len(object)-70] ^= 1
	if _, err := license.ParseSent(object, scalar(t, 2).Public()); !errors.Is(err, license.ErrNotice) {
		t.Errorf("changed: %v", err)
	}
}

// TestSunset_3_StatementIsNoticeOrWithdrawal: the kind of the object says which of
// the two it is, and both name the same notice.
func TestSunset_3_StatementIsNoticeOrWithdrawal(t *testing.T) {
	point, notice, withdrawal, standing := noticeVectors(t)
	n, err := license.ParseStatement(notice)
	if err != nil || n.Notice == nil || n.Issuer != "shop.example" || n.Verify(point) != nil {
		t.Fatalf("%+v, %v", n, err)
	}
	w, err := license.ParseStatement(withdrawal)
	if err != nil || w.Notice != nil || w.Issuer != n.Issuer || w.Of != n.Of || w.Verify(point) != nil {
		t.Errorf("%+v, %v", w, err)
	}
	other, err := license.NoticeKey(scalar(t, 8).Public())
	if err != nil || w.Verify(other) == nil || n.Verify(other) == nil {
		t.Errorf("another key, %v", err)
	}
	if _, err := license.ParseStatement(standing); !errors.Is(err, license.ErrNotice) {
		t.Errorf("a standing: %v", err)
	}
}

// FuzzSent: what is read, of any of the three, is signed again to as many bytes.
func FuzzSent(f *testing.F) {
	_, notice, withdrawal, _ := noticeVectors(f)
	_, object := sentVector(f)
	for _, b := range [][]byte{object, notice, withdrawal, {}} {
		f.Add(b)
	}
	signer, point := scalar(f, 2), []byte(nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := license.ParseStatement(data); err == nil {
			_ = s.Verify(point)
		}
		s, err := license.ParseSent(data, signer.Public())
		if err != nil {
			return
		}
		again, err := license.SignSent(signer, []byte("certificate"), s)
		if err != nil || len(again) != len(data) {
			t.Fatalf("%x, %v", data, err)
		}
		if back, err := license.ParseSent(again, signer.Public()); err != nil || back != s {
			t.Errorf("%+v, %v", back, err)
		}
	})
}
