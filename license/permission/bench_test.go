package permission_test

import (
	"testing"

	"github.com/lares-drm/lares/license/permission"
)

// rental is the worked example of docs/spec/permission.md.
const rental = "PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2026-02-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=2; EXPORT=clearkey; CHARGE=RENTAL"

func BenchmarkEncode(b *testing.B) {
	u, err := permission.ParseText(rental)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	c := encode(b, rental)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := permission.Parse(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkText(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		u, err := permission.ParseText(rental)
		if err != nil {
			b.Fatal(err)
		}
		if u.Text() != rental {
			b.Fatal("the text is another one")
		}
	}
}
