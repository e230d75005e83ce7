package slots

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

var update = flag.Bool("update", false, "write the vectors again")

// vectors are the objects of places as testdata/vectors.json has them, all under one
// key, whose certificate is only hashed.
type vectors struct {
	Source  string    `json:"source"`
	About   string    `json:"about"`
	Key     string    `json:"key"`
	Leaf    string    `json:"leaf"`
	Objects []vector  `json:"objects"`
	Refused []refused `json:"refused"`
}

type vector struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Payload string `json:"payload"`
	Object  string `json:"object"`
}

type refused struct {
	Kind   string `json:"kind"`
	Why    string `json:"why"`
	Object string `json:"object"`
}

func fill[T ~[16]byte](b byte) (out T) {
	for i := range out {
		out[i] = b
	}
	return out
}

func exampleAsk() *Ask {
	return &Ask{
		Nonce: fill[Nonce](1), Op: Begin, Keeper: fill[ident.Device](2), Challenge: fill[Nonce](3), License: fill[ident.License](4),
		Max: 2, OnFull: license.AskTakeover, Takeover: true,
	}
}

func exampleAnswer() *Answer {
	return &Answer{
		Nonce: fill[Nonce](1), Device: fill[ident.Device](5), License: fill[ident.License](4), Outcome: Lost, Challenge: fill[Nonce](6),
		Holders: []Holding{{Device: fill[ident.Device](2), Since: 3_600_000, Own: true}, {Device: fill[ident.Device](7), Since: 42_000, Seen: 42_000}},
		By:      fill[ident.Device](7),
	}
}

// exampleKey is the key of the vectors.
func exampleKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{5}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

const exampleLeaf = "certificate"

func object(tb testing.TB, o wire.Object, v any) []byte {
	tb.Helper()
	out, err := sign(exampleKey(tb), []byte(exampleLeaf), o, v)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// messages are the objects of the vectors, by name.
func messages() (asks map[string]*Ask, answers map[string]*Answer, names []string) {
	beat, first, end := exampleAsk(), exampleAsk(), exampleAsk()
	beat.Op, beat.Takeover, beat.OnFull, beat.Age = Beat, false, license.BlockNew, 60_000
	first.Challenge, first.Takeover, first.OnFull = Nonce{}, false, 0
	end.Op, end.Max, end.OnFull, end.Takeover = End, 0, 0, false
	granted, full, again := exampleAnswer(), exampleAnswer(), exampleAnswer()
	granted.Outcome, granted.Holders, granted.By = Granted, nil, ident.Device{}
	full.Outcome, full.By = Full, ident.Device{}
	again.Outcome, again.Holders, again.By = Again, nil, ident.Device{}
	asks = map[string]*Ask{"BEGIN, a take-over": exampleAsk(), "BEGIN, the first": first, "BEAT": beat, "END": end}
	answers = map[string]*Answer{"LOST": exampleAnswer(), "GRANTED": granted, "FULL": full, "AGAIN": again}
	return asks, answers, []string{"BEGIN, the first", "AGAIN", "BEGIN, a take-over", "GRANTED", "FULL", "BEAT", "LOST", "END"}
}

func current(t *testing.T) vectors {
	t.Helper()
	out := vectors{
		Source: "docs/spec/places.md", About: "Objects by which a device asks its keeper for a place, and the keeper answers, in hexadecimal. All are signed with the private key here (RFC 6979, low s); leaf stands for the signer's certificate.",
		Key: strings.Repeat("05", 32), Leaf: hex.EncodeToString([]byte(exampleLeaf)),
	}
	asks, answers, names := messages()
	for _, name := range names {
		v, o := any(asks[name]), objectAsk
		if asks[name] == nil {
			v, o = answers[name], objectAnswer
		}
		payload, err := wire.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Objects = append(out.Objects, vector{name, string(o), hex.EncodeToString(payload), hex.EncodeToString(object(t, o, v))})
	}
	refuse := func(why string, o wire.Object, v any) {
		out.Refused = append(out.Refused, refused{string(o), why, hex.EncodeToString(object(t, o, v))})
	}
	badAsk := func(why string, bend func(*Ask)) {
		a := exampleAsk()
		bend(a)
		refuse(why, objectAsk, a)
	}
	badAsk("no such operation", func(a *Ask) { a.Op = 4 })
	badAsk("no places", func(a *Ask) { a.Max = 0 })
	badAsk("more places than a license can say", func(a *Ask) { a.Max = maxRule + 1 })
	badAsk("no such way of giving way", func(a *Ask) { a.OnFull = 4 })
	badAsk("an age of what begins", func(a *Ask) { a.Age = 1 })
	badAsk("a heartbeat that takes over", func(a *Ask) { a.Op = Beat })
	badAsk("an age above 2^53", func(a *Ask) { a.Op, a.Takeover, a.Age = Beat, false, maxAge+1 })
	badAsk("an end with a rule", func(a *Ask) { a.Op, a.Takeover = End, false })
	badAnswer := func(why string, bend func(*Answer)) {
		a := exampleAnswer()
		bend(a)
		refuse(why, objectAnswer, a)
	}
	badAnswer("no such outcome", func(a *Answer) { a.Outcome = 6 })
	badAnswer("holders beside a grant", func(a *Answer) { a.Outcome, a.By = Granted, ident.Device{} })
	badAnswer("taken over and not lost", func(a *Answer) { a.Outcome = Full })
	badAnswer("a session of the keeper that was not heard", func(a *Answer) { a.Holders[0].Seen = 1 })
	badAnswer("more holders than a house has", func(a *Answer) { a.Holders = make([]Holding, maxHoldings+1) })
	refuse("an ask in the place of an answer", objectAnswer, exampleAsk())
	return out
}

// TestPlaces_Vectors: what we write is what the file says, what it refuses we refuse.
func TestPlaces_Vectors(t *testing.T) {
	now, err := json.MarshalIndent(current(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	now = append(now, '\n')
	if *update {
		if err := os.WriteFile("testdata/vectors.json", now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(data), string(now)); d != "" {
		t.Error(d)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	asks, answers, _ := messages()
	pub := exampleKey(t).Public()
	for _, x := range v.Objects {
		in, err := hex.DecodeString(x.Object)
		if err != nil {
			t.Fatal(err)
		}
		if want := asks[x.Name]; want != nil {
			got, err := ParseAsk(in, pub, want.Keeper)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("%s: %v %s", x.Name, err, d)
			}
			if _, err := ParseAsk(in, pub, ident.Device{}); err == nil {
				t.Errorf("%s: read by another keeper", x.Name)
			}
			continue
		}
		got, err := ParseAnswer(in, pub)
		if d := cmp.Diff(answers[x.Name], got); d != "" || err != nil {
			t.Errorf("%s: %v %s", x.Name, err, d)
		}
	}
	for _, x := range v.Refused {
		in, err := hex.DecodeString(x.Object)
		if err != nil {
			t.Fatal(err)
		}
		_, no := ParseAsk(in, pub, exampleAsk().Keeper)
		if x.Kind == string(objectAnswer) {
			_, no = ParseAnswer(in, pub)
		}
		if no == nil {
			t.Errorf("%s: it is read", x.Why)
		}
	}
}

// TestPlaces_WorkedExamples holds the page against what we write.
func TestPlaces_WorkedExamples(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/spec/places.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{"place-ask": exampleAsk(), "place": exampleAnswer()} {
		m := regexp.MustCompile("(?s)```hex " + name + "\n(.*?)```").FindSubmatch(text)
		want, err := wire.Marshal(v)
		if err != nil || m == nil {
			t.Fatalf("%s: %v, on the page: %v", name, err, m != nil)
		}
		if got := strings.Join(strings.Fields(string(m[1])), ""); got != hex.EncodeToString(want) {
			t.Errorf("%s is %x, the page says %s", name, want, got)
		}
	}
}

// The longest answer that a house can give fits.
func TestPlaces_TheLongestAnswerFits(t *testing.T) {
	a := exampleAnswer()
	a.Holders = nil
	for range maxHoldings {
		a.Holders = append(a.Holders, Holding{Device: fill[ident.Device](7), Since: maxAge - 1, Seen: maxAge - 1})
	}
	data := object(t, objectAnswer, a)
	if _, err := ParseAnswer(data, exampleKey(t).Public()); err != nil {
		t.Errorf("%d bytes: %v", len(data), err)
	}
}

// FuzzPlaceAsk: what is read is written the same, and nothing verifies under another key.
func FuzzPlaceAsk(f *testing.F) {
	f.Add(object(f, objectAsk, exampleAsk()))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, sig, err := readAsk(in)
		if err != nil {
			return
		}
		if again, err := wire.Marshal(a); err != nil || !bytes.Equal(again, sig.Payload) {
			t.Errorf("%x reads as %x (%v)", sig.Payload, again, err)
		}
		k, h := NewKeeper(a.Keeper, 0), &Holder{}
		if out, _, err := k.Answer(ident.Device{1}, a, nil, 1); err != nil || out.Outcome != Again {
			t.Errorf("%+v: %+v %v", a, out, err)
		}
		if _, err := h.Ask(*a, 1); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	})
}

// FuzzPlaceAnswer: the same, and a device that asked nothing takes nothing.
func FuzzPlaceAnswer(f *testing.F) {
	f.Add(object(f, objectAnswer, exampleAnswer()))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, sig, err := readAnswer(in)
		if err != nil {
			return
		}
		if again, err := wire.Marshal(a); err != nil || !bytes.Equal(again, sig.Payload) {
			t.Errorf("%x reads as %x (%v)", sig.Payload, again, err)
		}
		var h Holder
		if _, err := h.Take(a, a.Device, 1); err == nil {
			t.Errorf("%+v is taken unasked", a)
		}
	})
}
