package trem_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// vector is a message with its meaning.
type vector struct {
	Name    string      `json:"name"`
	Command uint8       `json:"command"`
	Message string      `json:"message"`
	Parts   [][2]string `json:"parts"`
	Why     string      `json:"why"`
}

type vectors struct {
	Requests, Replies []vector
	Malformed, Ends   struct{ Messages []vector }
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// message reads the one message that a vector is, and checks that its parts are
// all of it.
func (v *vector) message(t *testing.T) trem.Message {
	t.Helper()
	all := ""
	for _, p := range v.Parts {
		if all += p[0]; p[1] == "" {
			t.Errorf("%s: %s means nothing", v.Name, p[0])
		}
	}
	data, err := hex.DecodeString(v.Message)
	if err != nil || all != v.Message {
		t.Fatalf("%s: the parts are %s, the message %s (%v)", v.Name, all, v.Message, err)
	}
	r := bytes.NewReader(data)
	m, err := trem.ReadMessage(r)
	if err != nil || r.Len() > 0 {
		t.Fatalf("%s: %d bytes are left, %v", v.Name, r.Len(), err)
	}
	return m
}

// upFrom is n bytes that count up.
func upFrom(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i) //nolint:gosec // few
	}
	return b
}

// TestTREM_Vectors_Requests writes each request as our host does.
func TestTREM_Vectors_Requests(t *testing.T) {
	film := trem.Ask{Content: "lares-film", Action: permission.Play, Output: trem.OutputInternal}
	link := trem.Ask{Content: "lares-film", Action: permission.Play, Tier: 3, Output: trem.OutputLink, Confirm: true, FromMS: 90_000, Again: true}
	takes := link
	takes.Again, takes.Takeover = false, true
	shown := trem.Ask{Content: "lares-film", Action: permission.Render, Tier: 3, Output: trem.OutputNetwork, Renderer: "uuid:00112233-4455-6677-8899-aabbccddeeff"}
	child := film
	child.Person = &license.Person{Age: 8, Rated: 12, From: 1769831945848, Until: 1769849841545}
	want := map[string]any{
		"STATUS": trem.None{}, "MEMBERS": trem.None{}, "REQUEST": trem.None{}, "NONCE": trem.None{}, "LICENSES": trem.None{},
		"ENROLL":                              trem.Enrollment{Chain: [][]byte{[]byte("leaf"), []byte("ca")}, Delivery: []byte("delivery"), Roots: [][]byte{[]byte("root")}},
		"LEARN, time":                         trem.Learned{Time: []byte("token"), TimeChain: [][]byte{[]byte("signer")}},
		"LEARN, delta":                        trem.Learned{Head: []byte("head"), HeadChain: [][]byte{[]byte("signer")}, Delta: []byte("delta")},
		"RECEIVE, first message":              trem.SLTPMessage{Bytes: []byte{0x83, 0, 2}},
		"RECEIVE, in a session":               trem.SLTPMessage{CID: []byte{0x37}, Bytes: []byte{0x83, 0, 2}},
		"REFUSE":                              trem.Refusal{Handle: 9, Code: "NO_GRANT", RetryMS: 60_000},
		"EVALUATE":                            film,
		"EVALUATE, a child":                   child,
		"BEGIN, over a link":                  link,
		"BEGIN, a take-over":                  takes,
		"BEGIN, on a renderer":                shown,
		"TRACK":                               trem.Part{Session: 7},
		"DECRYPT, in the payload":             trem.Part{Session: 7, Track: 1},
		"DECRYPT, in the buffer":              trem.Part{Session: 7, Track: 1, Bytes: 2_500_000, At: 4096},
		"DECRYPT, at the start of the buffer": trem.Part{Session: 7, Track: 1, Bytes: 2_500_000},
		"DECRYPT, of two files":               trem.Part{Session: 7, Track: 1, Bytes: 2_500_000, At: 4096, More: []trem.Place{{Bytes: 1_000_000, At: 2_504_192}}},
		"END":                                 trem.Part{Session: 1 << 32},
		"LINK-KEYS":                           trem.Part{Session: 7},
		"BUFFER":                              trem.BufferOrder{Bytes: 4 << 20},
		"EXPORT":                              trem.Export{Request: ident.Request(upFrom(0, 16)), License: [32]byte(upFrom(0x20, 32)), System: "odrl", Holds: []string{"END_TIME", "PLAY_COUNT"}, Plays: 2},
		"ROLL, create":                        trem.RollOrder{Op: trem.RollCreate, Devices: 5, NewAYear: 4},
		"ROLL, admit":                         trem.RollOrder{Op: trem.RollAdmit, Roll: []byte("roll"), Who: &trem.Candidate{Chain: [][]byte{[]byte("leaf"), []byte("ca")}, Hardware: []byte("mark")}},
		"ROLL, remove":                        trem.RollOrder{Op: trem.RollRemove, Roll: []byte("roll"), Device: ident.Device(upFrom(0x40, 16))},
		"ASK-PLACE, a heartbeat":              trem.PlaceOrder{Op: trem.PlaceBeat, Session: 7},
		"ASK-PLACE, an end":                   trem.PlaceOrder{Op: trem.PlaceEnd, License: ident.License(upFrom(0x40, 16))},
		"KEEP-PLACE":                          trem.PlaceAsk{Object: []byte("ask"), Chain: [][]byte{[]byte("leaf")}},
		"TAKE-PLACE":                          []byte("place"),
		"PLACES":                              trem.None{},
		"LEAVE":                               ident.Device(upFrom(0x40, 16)),
		"WIPE":                                trem.WipeOrder{House: ident.Device(upFrom(0x40, 16)), GiveUp: true},
		"PROTECT":                             []byte("sealed"),
		"UNPROTECT":                           ident.Content("urn:lares:own:1"),
		"LINK":                                trem.LinkOrder{Link: [32]byte(upFrom(0, 32)), Relay: ident.Device(upFrom(0x40, 16)), Hello: [32]byte(upFrom(0x20, 32))},
		"SUNSET":                              trem.SunsetOrder{Statement: []byte("notice"), Key: []byte("key")},
	}
	got := readVectors(t).Requests
	if len(got) != len(want) {
		t.Errorf("%d requests, want %d", len(got), len(want))
	}
	for _, v := range got {
		m := v.message(t)
		cmd, _, err := trem.ParseRequest(m.Header)
		if err != nil || uint8(cmd) != v.Command {
			t.Errorf("%s: command %d, %v", v.Name, cmd, err)
			continue
		}
		header, err := trem.NewRequest(cmd, want[v.Name])
		if err != nil || !bytes.Equal(header, m.Header) {
			t.Errorf("%s: we write %x (%v), the vector has %x", v.Name, header, err, m.Header)
		}
	}
}

// TestTREM_Vectors_Replies writes each reply as our module does.
func TestTREM_Vectors_Replies(t *testing.T) {
	no := license.Decision{Action: permission.Play, Reasons: []license.Reason{{Code: license.NoGrant, Closed: true, Remedy: license.Buy}}}
	bytesTo := func(from, to byte) (b []byte) {
		for ; from < to; from++ {
			b = append(b, from)
		}
		return b
	}
	type answer struct {
		out  any
		fail error
	}
	fails := func(code trem.Code, text string) answer { return answer{fail: &trem.Error{Code: code, Text: text}} }
	want := map[string]answer{
		"done, without a result": {out: trem.None{}},
		"NONCE":                  {out: bytesTo(0, 16)},
		"TRACK, clear":           {out: uint64(1)},
		"DECRYPT":                {out: trem.None{}},
		"DECRYPT, of two files":  {out: trem.Segments{Done: 2}},
		"BUFFER":                 {out: trem.Buffer{Bytes: 4 << 20}},
		"EXPORT":                 {out: trem.Exported{Info: []byte("inf"), Lost: []string{"PLAY_COUNT"}, License: []byte("lic")}},
		"LINK-KEYS":              {out: []trem.LinkKey{{KID: ident.Key(bytesTo(0, 16)), Key: bytesTo(16, 32)}}},
		"error, INTERNAL":        fails(trem.CodeInternal, "no"),
		"error, MALFORMED":       fails(trem.CodeMalformed, "command: cut"),
		"error, STATE":           fails(trem.CodeState, "this module is not enrolled yet"),
		"error, REJECTED":        fails(trem.CodeRejected, "membership: has lapsed"),
		"error, UNKNOWN":         fails(trem.CodeUnknown, "no such session"),
		"error, BROKEN":          fails(trem.CodeBroken, "the store failed; restart the module"),
		"refusal":                {fail: &trem.RefusalError{Decision: no}},
	}
	got := readVectors(t).Replies
	if len(got) != len(want) {
		t.Errorf("%d replies, want %d", len(got), len(want))
	}
	for _, v := range got {
		m, w := v.message(t), want[v.Name]
		header, err := trem.NewReply(w.out, w.fail)
		if err != nil || !bytes.Equal(header, m.Header) {
			t.Errorf("%s: we write %x (%v), the vector has %x", v.Name, header, err, m.Header)
		}
	}
}

// TestTREM_Vectors_Limits: what ends the stream is no message.
func TestTREM_Vectors_Limits(t *testing.T) {
	got := readVectors(t).Ends.Messages
	if len(got) != 3 {
		t.Errorf("%d vectors", len(got))
	}
	for _, v := range got {
		data, err := hex.DecodeString(v.Message)
		if err != nil || v.Why == "" {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if m, err := trem.ReadMessage(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: read as %+v", v.Name, m)
		}
	}
}
