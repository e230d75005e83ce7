package lrp_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/internal/wire"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectorsFile = "testdata/vectors.json"

// vector is one encoded thing, and whether a reader takes it.
type vector struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // frame, hello, sltp, error, gossip, content, kept
	Hex  string `json:"hex"`
	Take bool   `json:"take"`
	Why  string `json:"why,omitempty"`
}

// linkVector is a signed HELLO with all that is needed to check it.
type linkVector struct {
	Name   string `json:"name"`
	Hello  string `json:"hello"`  // the body
	Link   string `json:"link"`   // 32 bytes
	Relay  string `json:"relay"`  // whose link it is
	Source string `json:"source"` // whose proof it is; empty: it proves nothing
	Why    string `json:"why,omitempty"`
}

type blindVector struct {
	Relay, SPKI, Address string
}

type vectorFile struct {
	Bodies []vector      `json:"bodies"`
	Links  []linkVector  `json:"links"`
	Blind  []blindVector `json:"blind"`
}

// again parses and encodes a vector of a kind.
func (v vector) again(data []byte) ([]byte, error) {
	switch v.Kind {
	case "frame":
		return twice(lrp.Parse(data))
	case "hello":
		return twice(lrp.ParseHello(data))
	case "sltp":
		return twice(lrp.ParseSLTP(data))
	case "gossip":
		return twice(lrp.ParseGossip(data))
	case "content":
		return twice(lrp.ParseContent(data))
	case "kept":
		return twice(lrp.ParseKept(data))
	default:
		return twice(lrp.ParseError(data))
	}
}

func twice[T interface{ Encode() ([]byte, error) }](v T, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return v.Encode()
}

func TestVectors_Spec_AStrangerReadsThemAlike(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	var all vectorFile
	data, err := os.ReadFile(vectorsFile)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Bodies) < 20 || len(all.Links) < 3 || len(all.Blind) < 1 {
		t.Fatalf("%d bodies, %d links, %d blinded addresses: vectors are missing", len(all.Bodies), len(all.Links), len(all.Blind))
	}
	for _, v := range all.Bodies {
		in := unhex(t, v.Hex)
		out, err := v.again(in)
		if (err == nil) != v.Take || v.Take && !bytes.Equal(in, out) || !v.Take && v.Why == "" {
			t.Errorf("%s %s: encodes again as %x, %v", v.Kind, v.Name, out, err)
		}
	}
	for _, v := range all.Links {
		src, err := lrp.SignedBy(unhex(t, v.Hello), lrp.LinkID(unhex(t, v.Link)), lrp.Addr(unhex(t, v.Relay)))
		if (err == nil) != (v.Source != "") || err == nil && src.String() != v.Source {
			t.Errorf("%s: of %v, %v", v.Name, src, err)
		}
	}
	for _, v := range all.Blind {
		if got := lrp.Blind(lrp.Addr(unhex(t, v.Relay)), unhex(t, v.SPKI)); got.String() != v.Address {
			t.Errorf("blinded %v, want %s", got, v.Address)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeVectors(t *testing.T) {
	t.Helper()
	var all vectorFile
	add := func(kind, name string, body []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all.Bodies = append(all.Bodies, vector{Name: name, Kind: kind, Hex: hex.EncodeToString(body), Take: true})
		return body
	}
	bad := func(kind, name, why string, body []byte) {
		all.Bodies = append(all.Bodies, vector{Name: name, Kind: kind, Hex: hex.EncodeToString(body), Why: why})
	}
	f := example(t)
	b, err := f.Encode()
	frame := add("frame", "second of a transaction", b, err)
	f.Hops, f.Type, f.Body = 8, lrp.TypeAck, []byte{}
	b, err = f.Encode()
	add("frame", "an acknowledgement at the last hop", b, err)
	bad("frame", "trailing byte", "bytes after the frame", append(bytes.Clone(frame), 0))
	bad("frame", "head not the shortest", "the version as 0x1801", bytes.Replace(frame, []byte{0x89, 1}, []byte{0x89, 0x18, 1}, 1))
	bad("frame", "indefinite length", "an array without a count", append(append([]byte{0x9f}, frame[1:]...), 0xff))
	bad("frame", "version 2", "an unknown layout", append([]byte{0x89, 2}, frame[2:]...))
	bad("frame", "cut", "the last byte is missing", frame[:len(frame)-1])
	offer, err := lrp.DefaultHello("http").Encode()
	add("hello", "offer", offer, err)
	answer, _, err := lrp.DefaultHello("http").Answer(offer)
	add("hello", "its answer", answer, err)
	house := lrp.DefaultHello("http")
	house.TLS = bytes.Repeat([]byte{7}, 32)
	secure, _, err := house.Answer(offer)
	add("hello", "an answer that names the household's CA", secure, err)
	bad("hello", "a hash of 31 bytes", "key 22 is a SHA-256", append(append([]byte{0xa7}, answer[1:]...), append([]byte{0x16, 0x58, 0x1f}, bytes.Repeat([]byte{7}, 31)...)...))
	bad("hello", "an odd key", "key 17 is critical and unknown", append(append([]byte{0xa6}, offer[1:]...), 0x11, 0))
	bad("hello", "falling versions", "versions are not ascending", append([]byte{offer[0], 1, 0x82, 2, 1}, offer[4:]...))
	first, err := lrp.SLTP{Message: []byte{1}}.Encode()
	add("sltp", "to a peer without connection ID", first, err)
	bad("sltp", "connection ID of seven bytes", "it has eight, or is null", []byte{0x82, 0x47, 1, 2, 3, 4, 5, 6, 7, 0x41, 1})
	e, err := lrp.Error{Code: lrp.CodeUnproven}.Encode()
	add("error", "UNPROVEN", e, err)
	bad("error", "code 0", "codes begin at 1", []byte{0x82, 0, 0})
	for _, g := range []lrp.Gossip{
		{Kind: lrp.GossipAsk, Want: lrp.GossipSnapshot, Epoch: 7, Offset: 100, Bytes: []byte{}},
		{Kind: lrp.GossipSnapshot, Want: lrp.GossipSnapshot, Epoch: 9, Offset: 100, Total: 104, Bytes: []byte("tail")},
	} {
		b, err := g.Encode()
		add("gossip", map[bool]string{true: "question", false: "last piece"}[g.Kind == lrp.GossipAsk], b, err)
	}
	outside, err := wire.Marshal(lrp.Gossip{Kind: 4, Want: 4, Epoch: 9, Offset: 101, Total: 104, Bytes: []byte("tail")})
	if err != nil {
		t.Fatal(err)
	}
	bad("gossip", "outside", "the piece ends after the whole", outside)
	b, err = lrp.Content{ID: []byte("film"), SHA256: []byte{}, Ranges: [][2]uint64{}}.Encode()
	add("content", "question", b, err)
	b, err = lrp.Content{ID: []byte("film"), URL: "http://home.example/f.mp4", SHA256: make([]byte, 32), Ranges: [][2]uint64{{0, 900}}}.Encode()
	add("content", "answer", b, err)
	twisted, err := wire.Marshal(lrp.Content{ID: []byte("film"), URL: "u", SHA256: []byte{}, Ranges: [][2]uint64{{9, 9}}})
	if err != nil {
		t.Fatal(err)
	}
	bad("content", "an empty range", "first is not before end", twisted)
	b, err = lrp.Kept{Number: 1795521600000, At: 1795521600000, Mark: 2, Frame: example(t)}.Encode()
	record := add("kept", "a frame in a mailbox", b, err)
	bad("kept", "number 0", "numbers begin at 1", append([]byte{record[0], 1, 0}, record[11:]...))
	all.Links = linkVectors(t)
	spki := []byte("any SubjectPublicKeyInfo")
	all.Blind = []blindVector{{Relay: home.String(), SPKI: hex.EncodeToString(spki), Address: lrp.Blind(home, spki).String()}}
	data, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = os.WriteFile(vectorsFile, append(data, '\n'), 0o644) //nolint:gosec // vectors are for everybody
	}
	if err != nil {
		t.Fatal(err)
	}
}

func linkVectors(t *testing.T) []linkVector {
	t.Helper()
	p := newParty(t)
	id := lrp.LinkID(sha256.Sum256([]byte("a link")))
	v := linkVector{Name: "a proof that holds", Hello: hex.EncodeToString(p.hello(t, id, home)), Link: hex.EncodeToString(id[:]), Relay: home.String(), Source: p.addr.String()}
	elsewhere, otherRelay, other := v, v, lrp.LinkID(sha256.Sum256([]byte("another")))
	elsewhere.Name, elsewhere.Why, elsewhere.Link, elsewhere.Source = "on another link", "the statement names the link", hex.EncodeToString(other[:]), ""
	otherRelay.Name, otherRelay.Why, otherRelay.Relay, otherRelay.Source = "at another relay", "the statement names the relay", device.String(), ""
	changed := v
	h, err := lrp.ParseHello(unhex(t, v.Hello))
	if err != nil {
		t.Fatal(err)
	}
	h.Epoch = 1
	changed.Name, changed.Why, changed.Hello, changed.Source = "of another HELLO", "the statement has the hash of the HELLO without its proof", hex.EncodeToString(encode(t, h)), ""
	return []linkVector{v, elsewhere, otherRelay, changed}
}
