package lrp_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/wire"
)

func hello(versions ...uint64) lrp.Hello {
	h := lrp.DefaultHello("http")
	h.Versions = versions
	return h
}

func encode(t *testing.T, h lrp.Hello) []byte {
	t.Helper()
	b, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHello_Spec3_WorkedExample(t *testing.T) {
	offer := encode(t, lrp.DefaultHello("http"))
	if want := specHex(t, "### Worked example: HELLO"); !bytes.Equal(offer, want) {
		t.Errorf("encoded\n%x\nspecification\n%x", offer, want)
	}
}

func TestHello_Spec3_HighestCommonVersionWins(t *testing.T) {
	for _, tc := range []struct {
		name         string
		mine, theirs []uint64
		want         uint64
	}{
		{"same", []uint64{1}, []uint64{1}, 1},
		{"I am newer", []uint64{1, 2, 3}, []uint64{1, 2}, 2},
		{"they are newer", []uint64{1, 2}, []uint64{2, 7}, 2},
		{"none", []uint64{1}, []uint64{2}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			offer := encode(t, hello(tc.theirs...))
			answer, a, err := hello(tc.mine...).Answer(offer)
			if tc.want == 0 {
				if !errors.Is(err, lrp.ErrVersion) {
					t.Errorf("%v, want ErrVersion", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := hello(tc.theirs...).Accept(offer, answer)
			if err != nil {
				t.Fatal(err)
			}
			if a.Version != tc.want {
				t.Errorf("version %d, want %d", a.Version, tc.want)
			}
			if diff := cmp.Diff(a, b, cmpopts.IgnoreUnexported(lrp.Limits{}), cmpopts.IgnoreFields(lrp.Limits{}, "_")); diff != "" {
				t.Error("the two sides agree on different things:", diff)
			}
		})
	}
}

func TestHello_Spec3_SmallerLimitWins(t *testing.T) {
	small := hello(1)
	small.Limits = lrp.Limits{Body: 1000, Pending: 1 << 20}
	_, a, err := hello(1).Answer(encode(t, small))
	if err != nil {
		t.Fatal(err)
	}
	if a.Limits.Body != 1000 || a.Limits.Frames != lrp.MaxFrames || a.Limits.Pending != lrp.MaxPending {
		t.Errorf("%+v", a.Limits)
	}
}

func TestHello_Spec3_AnswerEchoesTheOffer(t *testing.T) {
	mine, other := encode(t, hello(1)), encode(t, hello(1, 2))
	answer, _, err := hello(1).Answer(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hello(1).Accept(mine, answer); !errors.Is(err, lrp.ErrAnswer) {
		t.Errorf("answer to another offer: %v, want ErrAnswer", err)
	}
	if _, err := hello(1).Accept(mine, mine); !errors.Is(err, lrp.ErrAnswer) {
		t.Errorf("an offer as answer: %v, want ErrAnswer", err)
	}
	if _, _, err := hello(1).Answer(answer); !errors.Is(err, lrp.ErrFrame) {
		t.Errorf("an answer as offer: %v, want ErrFrame", err)
	}
}

func TestHello_Spec3_ExtensionKeys(t *testing.T) {
	h := hello(1)
	h.Other = map[uint64]wire.RawMessage{24: {0x18, 0x2a}}
	b := encode(t, h)
	got, err := lrp.ParseHello(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Other[24], []byte{0x18, 0x2a}) || !bytes.Equal(encode(t, got), b) {
		t.Errorf("the extension is not kept: %x", got.Other)
	}
	if _, _, err := hello(1).Answer(b); err != nil {
		t.Errorf("an unknown even key: %v", err)
	}
	all := map[uint64]wire.RawMessage{}
	if err := wire.Unmarshal(b, &all, wire.Limit{}); err != nil {
		t.Fatal(err)
	}
	all[17] = all[24]
	critical, err := wire.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lrp.ParseHello(critical); !errors.Is(err, lrp.ErrFrame) {
		t.Errorf("an unknown critical key: %v, want ErrFrame", err)
	}
}

func TestHello_Spec3_RejectsMalformed(t *testing.T) {
	for name, h := range map[string]lrp.Hello{
		"no versions":       hello(),
		"falling versions":  hello(2, 1),
		"doubled versions":  hello(1, 1),
		"no protocols":      {Versions: []uint64{1}, Bindings: []string{}},
		"short offer hash":  {Versions: []uint64{1}, Protocols: []string{}, Bindings: []string{}, Offer: make([]byte, 31)},
		"two versions back": {Versions: []uint64{1, 2}, Protocols: []string{}, Bindings: []string{}, Offer: make([]byte, 32)},
	} {
		if _, err := h.Encode(); !errors.Is(err, lrp.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
}
