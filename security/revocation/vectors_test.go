package revocation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/pki"
)

const vectorFile = "testdata/vectors.json"

// What testdata/vectors.json holds; docs/spec/revocation.md, Vectors, says the
// same.
type (
	vectors struct {
		States  []stateVector   `json:"states"`
		Proofs  []proofVector   `json:"proofs"`
		Refused []refusedVector `json:"refused"`
	}
	stateVector struct {
		Name     string         `json:"name"`
		Epoch    [2]uint64      `json:"epoch"` // generation, number
		Signer   string         `json:"signer"`
		Head     string         `json:"head"`
		Snapshot string         `json:"snapshot"`
		Delta    string         `json:"delta"` // from the state before
		Classes  []classVector  `json:"classes"`
		Issuers  []issuerVector `json:"issuers"`
	}
	classVector struct {
		Class  uint32   `json:"class"`
		Status uint8    `json:"status"`
		Reason uint8    `json:"reason"`
		MinSVN uint32   `json:"min_svn"`
		Issued uint32   `json:"issued_count"`
		CRL    string   `json:"crl"`
		Count  int      `json:"revoked_count"`
		First  []uint32 `json:"first_revoked"`  // up to eight
		Hash   string   `json:"revoked_sha256"` // of all their indexes, ascending, 4 bytes each
	}
	issuerVector struct {
		ID       string `json:"id"`
		LastSeen int64  `json:"last_seen"`
		Sunset   bool   `json:"sunset"`

		Compromised [][3]uint64 `json:"compromised"` // class, index, epoch
	}
	proofVector struct {
		Name     string   `json:"name"`
		State    int      `json:"state"`
		Proof    string   `json:"proof"`
		Standing [][4]any `json:"standing"` // class, index, SVN, what it is refused as or ""
	}
	refusedVector struct {
		What  string `json:"what"`
		Why   string `json:"why"`
		State int    `json:"state"` // the older one of a delta, the trusted one of a proof
		Bytes string `json:"bytes"`
	}
)

// vectorStates are the states of the vectors, each made from the one before.
func vectorStates(t *testing.T) (all []*State, names []string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 62224)) //nolint:gosec // the same in every run
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := NewBuilder(nil)
	step := func(name string, edit func()) {
		edit()
		s, err := b.Sign(exampleKey(t), Issue{Epoch: pki.Epoch{Number: uint64(len(all) + 1)}, IssuedAt: at, NextUpdate: at.Add(24 * time.Hour)})
		must(t, err)
		all, names = append(all, s), append(names, name)
	}
	scatter := func(class pki.Class, from, to uint32, n int) {
		var drawn []uint32
		for range n {
			drawn = append(drawn, from+rnd.Uint32N(to-from))
		}
		must(t, b.RevokeDevices(class, drawn))
	}
	step("one class, nobody revoked", func() { must(t, b.Allot(0, 1)) })
	step("plain classes with gaps between their numbers", func() {
		for _, c := range []pki.Class{1, 2, 3, 4096, 4097, 4098, 4099, pki.MaxClass - 1} {
			must(t, b.Allot(c, 1+rnd.Uint32N(3*PageSize)))
		}
	})
	step("a few members of most classes", func() {
		for _, l := range all[1].Leaves() {
			scatter(l.Class, 0, l.Issued, rnd.IntN(40))
		}
	})
	step("nothing but a new head", func() {})
	step("a day of three", func() {
		for _, c := range []pki.Class{2, 4097, 4098} {
			scatter(c, 0, PageSize, 1)
		}
	})
	step("a class with a parameter of its own", func() { scatter(4096, 0, PageSize, 2000) })
	step("lots, a dense page and a page of every other index", func() {
		must(t, b.Allot(5000, 4*PageSize))
		for i := range uint32(700) {
			must(t, b.RevokeDevice(5000, 3000+i))
			must(t, b.RevokeDevice(5000, PageSize-350+i))
		}
		scatter(5000, 2*PageSize, 3*PageSize, 30_000)
	})
	step("every status, minSVN, a CRL and issuers", func() {
		must(t, b.Suspend(1, CertificateHold))
		must(t, b.RevokeClass(4097, KeyCompromise))
		must(t, b.Retire(4098, Cessation))
		must(t, b.SetMinSVN(4099, 7))
		must(t, b.SetCRL(3, leafHash([]byte("CRL"))))
		must(t, b.SetIssuer("shop.example", at, true))
		must(t, b.SetIssuer("a", at.Add(time.Hour), false))
	})
	step("resumed, patched again, more indexes, an issuer heard from", func() {
		must(t, b.Resume(1))
		must(t, b.SetMinSVN(4099, 8))
		must(t, b.Allot(4099, 9*PageSize))
		must(t, b.SetIssuer("shop.example", at.Add(2*time.Hour), true))
		scatter(4099, 8*PageSize, 9*PageSize, 3)
	})
	step("three keys of an issuer were stolen", func() {
		must(t, b.Compromise("shop.example", pki.Member{Class: 2, Index: 300}, 4))
		must(t, b.Compromise("shop.example", pki.Member{Class: 2, Index: 7}, 9))
		must(t, b.Compromise("shop.example", pki.Member{Class: 3, Index: 1}, maxEpoch))
	})
	return all, names
}

func makeVectors(t *testing.T) *vectors {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(exampleKey(t).Public())
	must(t, err)
	v := &vectors{}
	states, names := vectorStates(t)
	for i, s := range states {
		x := stateVector{Name: names[i], Epoch: [2]uint64{0, s.Epoch().Number}, Signer: hexOf(spki), Head: hexOf(s.Head().Bytes()), Snapshot: hexOf(s.Snapshot()), Classes: describe(s), Issuers: []issuerVector{}}
		if i > 0 {
			d, err := s.Delta(states[i-1])
			must(t, err)
			x.Delta = hexOf(d)
		}
		for _, l := range s.issuers {
			compromised := [][3]uint64{}
			for _, c := range l.Compromised {
				compromised = append(compromised, [3]uint64{uint64(c.Member.Class), uint64(c.Member.Index), c.Since})
			}
			x.Issuers = append(x.Issuers, issuerVector{string(l.ID), l.LastSeen, l.Sunset, compromised})
		}
		v.States = append(v.States, x)
	}
	last := len(states) - 1
	for _, p := range []struct {
		name    string
		state   int
		members []pki.Member
	}{
		{"the only class", 0, []pki.Member{{}}},
		{"a party and the CAs above it", 4, []pki.Member{{Class: 4097, Index: 9}, {Class: 4096, Index: 1}, {Class: 0, Index: 2}}},
		{"two pages of one class", last, []pki.Member{{Class: 5000, Index: 3100}, {Class: 5000, Index: PageSize + 1}, {Class: 4099, Index: 8*PageSize + 4}}},
		{"classes that do not stand, and one with a CRL", last, []pki.Member{{Class: 4097, Index: 9}, {Class: 4098, Index: 1}, {Class: 3, Index: 3}}},
	} {
		v.Proofs = append(v.Proofs, proofOf(t, p.name, p.state, states[p.state], p.members))
	}
	v.Refused = refusals(t, states)
	return v
}

func describe(s *State) (out []classVector) {
	for i := range s.rows {
		r := &s.rows[i]
		c := classVector{Class: uint32(r.Class), Status: uint8(r.Status), Reason: uint8(r.Reason), MinSVN: r.MinSVN, Issued: r.Issued, First: []uint32{}}
		if r.CRL != (hash{}) {
			c.CRL = hexOf(r.CRL[:])
		}
		var all []byte
		for _, g := range r.pages {
			for i := range uint32(PageSize) {
				if g.page.Has(uint16(i)) { //nolint:gosec // below PageSize
					at := uint32(g.no*PageSize) + i //nolint:gosec // below 2^32
					if c.Count++; len(c.First) < 8 {
						c.First = append(c.First, at)
					}
					all = binary.BigEndian.AppendUint32(all, at)
				}
			}
		}
		sum := sha256.Sum256(all)
		c.Hash = hexOf(sum[:])
		out = append(out, c)
	}
	return out
}

func proofOf(t *testing.T, name string, at int, s *State, members []pki.Member) proofVector {
	t.Helper()
	data, err := s.Proof(members...)
	must(t, err)
	p, err := OpenProof(data, s.Trusted())
	must(t, err)
	out := proofVector{Name: name, State: at, Proof: hexOf(data)}
	for _, m := range members {
		for _, index := range []uint32{m.Index, m.Index / PageSize * PageSize, m.Index | PageSize - 1, MaxIssued} {
			out.Standing = append(out.Standing, [4]any{uint32(m.Class), index, 7, word(p.Check(m.Class, index, 7))})
		}
	}
	out.Standing = append(out.Standing, [4]any{uint32(77), uint32(0), 7, word(p.Check(77, 0, 7))})
	return out
}

func word(err error) string {
	for e, w := range map[error]string{
		pki.ErrRevoked: "revoked", pki.ErrClassRevoked: "class revoked", pki.ErrSuspended: "suspended", pki.ErrRetired: "retired",
		pki.ErrNotIssued: "not issued", pki.ErrSVN: "SVN", pki.ErrUnknownClass: "unknown",
	} {
		if errors.Is(err, e) {
			return w
		}
	}
	return ""
}

// refusals are bytes that are near to something that is accepted.
func refusals(t *testing.T, states []*State) (out []refusedVector) {
	t.Helper()
	add := func(what, why string, state int, data []byte) {
		out = append(out, refusedVector{what, why, state, hexOf(data)})
	}
	page := NewPage(1, 2, 70, 9000)
	for _, h := range headers() {
		if h != page.header() && h != pageBitmap {
			w := &bitWriter{out: []byte{h}}
			page.body(w, h)
			add("page", "the same set with header "+hexOf([]byte{h}), 0, w.out)
		}
	}
	good := page.Encode()
	add("page", "a page that goes on", 0, append(slices.Clone(good), 0))
	add("page", "a page that is cut off", 0, good[:len(good)-1])
	add("page", "an unknown header", 0, []byte{0x40})
	snapshot := states[2].Snapshot()
	add("snapshot", "a later layout", 0, flipped(snapshot, 0))
	add("snapshot", "a snapshot that goes on", 0, append(slices.Clone(snapshot), 0))
	add("snapshot", "a snapshot that is cut off", 0, snapshot[:len(snapshot)-1])
	add("snapshot", "fewer bits than members", 0, bomb())
	add("delta", "a later layout", 1, flipped(mustDelta(t, states[2], states[1]), 0))
	add("delta", "a delta that is cut off", 1, mustDelta(t, states[2], states[1])[:5])
	add("delta", "a delta that goes on", 4, append(mustDelta(t, states[5], states[4]), 0))
	for i := 1; i < 8; i++ { // what these say is another set or no set at all: never this one
		d := mustDelta(t, states[4], states[3])
		if bad := flipped(d, 8*len(d)-i); refusedDelta(states[3], bad) {
			add("delta", "bit "+strconv.Itoa(8*len(d)-i)+" turned over", 3, bad)
		}
	}
	proof, err := states[4].Proof(pki.Member{Class: 4097, Index: 9}, pki.Member{Class: 0})
	must(t, err)
	add("proof", "of another epoch", 5, proof)
	for _, at := range []int{170, 200, 240, len(proof) - 40, len(proof) - 1} {
		add("proof", "byte "+strconv.Itoa(at)+" changed", 4, flipped(proof, 8*at))
	}
	add("proof", "a proof that is cut off", 4, proof[:len(proof)-32])
	head := states[0].Head().Bytes()
	add("head", "another version", 0, flipped(head, 7))
	add("head", "reserved flags", 0, flipped(head, 15))
	add("head", "a head that is cut off", 0, head[:165])
	return out
}

func refusedDelta(s *State, data []byte) bool { _, err := s.parseDelta(data); return err != nil }

func mustDelta(t *testing.T, to, from *State) []byte {
	t.Helper()
	d, err := to.Delta(from)
	must(t, err)
	return d
}

func flipped(data []byte, bit int) []byte {
	out := slices.Clone(data)
	out[bit/8] ^= 0x80 >> (bit % 8)
	return out
}

// bomb says that a class has some four billion members, in a few bytes.
func bomb() []byte {
	w := &bitWriter{}
	w.bits(layoutVersion, 1)
	w.gamma(2) // one class
	w.gamma(1)
	w.bits(maxBase, 4)
	w.bits(0, 5)
	w.gamma(2) // plain
	w.gamma(MaxIssued / PageSize)
	rice(w, MaxIssued, maxBase+15)
	return append(w.out, 0)
}

// TestPKI_2_Vectors: the code makes the committed vectors, and reads them back.
func TestPKI_2_Vectors(t *testing.T) {
	want := makeVectors(t)
	data, err := json.MarshalIndent(want, "", " ")
	must(t, err)
	if *update {
		must(t, os.WriteFile(vectorFile, append(compact(data), '\n'), 0o644)) //nolint:gosec // vectors for all
	}
	file, err := os.ReadFile(vectorFile)
	must(t, err)
	if !bytes.Equal(bytes.TrimSpace(file), compact(data)) {
		t.Fatalf("%s is not what the code makes; run with -update and read the difference", vectorFile)
	}
	states, _ := vectorStates(t)
	for _, r := range want.Refused {
		data, err := hex.DecodeString(r.Bytes)
		must(t, err)
		switch r.What {
		case "page":
			_, err = ParsePage(data)
		case "snapshot":
			_, err = readSnapshot(data)
		case "delta":
			_, err = states[r.State].parseDelta(data)
		case "proof":
			_, err = OpenProof(data, states[r.State].Trusted())
		case "head":
			_, err = ParseHead(data)
		}
		if err == nil {
			t.Errorf("%s accepted: %s", r.What, r.Why)
		}
	}
	forms := map[int]int{}
	for _, s := range states {
		sizes := s.measure()
		for i := range s.rows {
			forms[s.rows[i].form(&sizes[i], s.tune(sizes)).kind]++
		}
	}
	if len(forms) != 3 {
		t.Errorf("the vectors have forms %v: not all", forms)
	}
}

// compact puts what is between two numbers on one line.
func compact(data []byte) []byte {
	return regexp.MustCompile(`([\[,])\s+(\d+|"[a-zS ]*")(\s*\])?`).ReplaceAllFunc(data, func(m []byte) []byte {
		return bytes.Join(bytes.Fields(m), []byte(" "))
	})
}

// TestInterop_SecondDecoder: one that was written from the page alone, in
// another language, reads the vectors and agrees.
func TestInterop_SecondDecoder(t *testing.T) {
	needs.Long(t)
	out, err := exec.CommandContext(t.Context(), needs.Tool(t, "python3"), "../../tools/reader/revocation.py", vectorFile).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := regexp.MustCompile(`^(\d+) passed, 0 failed$`).FindStringSubmatch(lines[len(lines)-1])
	if err != nil || last == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n, err := strconv.Atoi(last[1]); err != nil || n < 60 {
		t.Errorf("%d checked, want at least 60", n)
	}
}
