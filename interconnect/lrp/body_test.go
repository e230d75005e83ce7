package lrp_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lares-drm/lares/interconnect/lrp"
)

func authFrame(t *testing.T, key []byte, a lrp.Account) lrp.Frame {
	t.Helper()
	f := lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeAuth, []byte{})
	body, err := lrp.SealAccount(key, f, a)
	if err != nil {
		t.Fatal(err)
	}
	f.Body = body
	return f
}

func TestAuth_Spec10_OpensForItsDestinationOnly(t *testing.T) {
	key, err := lrp.NewAuthKey()
	if err != nil {
		t.Fatal(err)
	}
	want := lrp.Account{Kind: "voucher", Credential: []byte("3F9K-22QX")}
	f := authFrame(t, key.Public(), want)
	got, err := key.Open(f)
	if err != nil || got.Kind != want.Kind || !bytes.Equal(got.Credential, want.Credential) {
		t.Errorf("%v, %v", got, err)
	}
	if bytes.Contains(f.Body, want.Credential) || strings.Contains(fmt.Sprintf("%v %+v %#v %s", got, got, got, got), "3F9K") {
		t.Error("the credential can be read in the frame, or is printed")
	}
	for name, change := range map[string]func(*lrp.Frame){
		"another transaction": func(f *lrp.Frame) { f.Tx = lrp.NewTx() },
		"another source":      func(f *lrp.Frame) { f.Src = lrp.Addr{9} },
		"another destination": func(f *lrp.Frame) { f.Dst = lrp.Addr{9} },
		"another byte":        func(f *lrp.Frame) { f.Body = bytes.Clone(f.Body); f.Body[len(f.Body)-1] ^= 1 },
	} {
		g := f
		if change(&g); true {
			if _, err := key.Open(g); !errors.Is(err, lrp.ErrAccount) {
				t.Errorf("%s: %v, want ErrAccount", name, err)
			}
		}
	}
	other, err := lrp.NewAuthKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(f); !errors.Is(err, lrp.ErrAccount) {
		t.Errorf("another's key: %v", err)
	}
	if _, err := lrp.SealAccount(key.Public(), f, lrp.Account{Kind: "voucher", Credential: make([]byte, lrp.MaxCredential+1)}); !errors.Is(err, lrp.ErrAccount) {
		t.Errorf("a credential that is too long: %v", err)
	}
}

func TestEndpoint_Spec10_AccountIsAskedOnce(t *testing.T) {
	key, err := lrp.NewAuthKey()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: home, Auth: key, Account: func(_ lrp.Arrival, _ lrp.Addr, a lrp.Account) error {
		if asked++; string(a.Credential) != "good" {
			return lrp.ErrAccount
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	hello := e.Handle(lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeHello, encode(t, lrp.DefaultHello("http"))), start, nil)
	h, err := lrp.ParseHello(hello[0].Body)
	if err != nil || !bytes.Equal(h.Seal, key.Public()) {
		t.Fatalf("HELLO names the key %x, %v", h.Seal, err)
	}
	f := authFrame(t, h.Seal, lrp.Account{Kind: "voucher", Credential: []byte("good")})
	for range 2 {
		if got := e.Handle(f, start, nil); len(got) != 1 || got[0].Type != lrp.TypeAck {
			t.Errorf("%v", got)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	bad := authFrame(t, h.Seal, lrp.Account{Kind: "voucher", Credential: []byte("bad")})
	if c := code(t, e.Handle(bad, start, nil)); c != lrp.CodeUnproven {
		t.Errorf("a bad account: %v, want UNPROVEN", c)
	}
	bad = authFrame(t, h.Seal, lrp.Account{Kind: "voucher", Credential: []byte("good")})
	bad.Body = []byte{0xf6}
	if c := code(t, e.Handle(bad, start, nil)); c != lrp.CodeMalformed {
		t.Errorf("no account: %v, want MALFORMED", c)
	}
}

func TestGossip_Spec11_AWholeInPieces(t *testing.T) {
	whole := make([]byte, 20*lrp.MaxPiece+17)
	for i := range whole {
		whole[i] = byte(i * 7 >> 3)
	}
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: home, Gossip: func(_ lrp.Addr, g lrp.Gossip) ([]lrp.Gossip, error) {
		return g.Pieces(9, whole), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	in := &lrp.Gathering{Want: lrp.GossipSnapshot}
	var got []byte
	rounds := 0
	for ; got == nil && rounds < 5; rounds++ {
		ask, err := in.Ask(3).Encode()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range e.Handle(lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeGossip, ask), start, nil) {
			p, err := lrp.ParseGossip(a.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = in.Take(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(got, whole) || rounds != 2 {
		t.Errorf("%d bytes in %d questions, want %d in 2", len(got), rounds, len(whole))
	}
}

func TestGossip_Spec11_PiecesThatDoNotFit(t *testing.T) {
	in := &lrp.Gathering{Want: lrp.GossipSnapshot}
	piece := lrp.Gossip{Kind: lrp.GossipSnapshot, Want: lrp.GossipSnapshot, Epoch: 1, Total: 8, Bytes: []byte("abcd")}
	if _, err := in.Take(piece); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]lrp.Gossip{
		"again":      piece,
		"a head":     {Kind: lrp.GossipHead, Want: lrp.GossipHead, Epoch: 1, Offset: 4, Total: 8, Bytes: []byte("efgh")},
		"with a gap": {Kind: lrp.GossipSnapshot, Want: lrp.GossipSnapshot, Epoch: 1, Offset: 6, Total: 8, Bytes: []byte("gh")},
	} {
		if _, err := in.Take(p); !errors.Is(err, lrp.ErrGossip) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := piece
	newer.Epoch, newer.Offset = 2, 4
	if _, err := in.Take(newer); !errors.Is(err, lrp.ErrGossip) || in.Ask(0).Offset != 0 {
		t.Errorf("the middle of a newer state: %v; asks from %d on", err, in.Ask(0).Offset)
	}
	for name, g := range map[string]lrp.Gossip{
		"kind 5":              {Kind: 5, Want: 5, Bytes: []byte{1}, Total: 1},
		"outside the whole":   {Kind: 1, Want: 1, Bytes: []byte{1, 2}, Total: 1},
		"empty":               {Kind: 1, Want: 1, Bytes: []byte{}, Total: 1},
		"question that tells": {Kind: 0, Want: 1, Bytes: []byte{1}},
		"question of nothing": {Kind: 0, Want: 0, Bytes: []byte{}},
		"64 MiB and one byte": {Kind: 1, Want: 1, Bytes: []byte{1}, Total: lrp.MaxGossip + 1},
	} {
		if _, err := g.Encode(); !errors.Is(err, lrp.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
}

func TestContent_Spec11_Body(t *testing.T) {
	ask := lrp.Content{ID: []byte("film"), SHA256: []byte{}, Ranges: [][2]uint64{}}
	tell := lrp.Content{ID: []byte("film"), URL: "http://home:7710/content/film/", SHA256: make([]byte, 32), Ranges: [][2]uint64{{0, 9}, {9, 20}}}
	for _, c := range []lrp.Content{ask, tell} {
		b, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := lrp.ParseContent(b); err != nil || got.URL != c.URL || len(got.Ranges) != len(c.Ranges) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for name, change := range map[string]func(*lrp.Content){
		"no ID":               func(c *lrp.Content) { c.ID = nil },
		"hash of 31 bytes":    func(c *lrp.Content) { c.SHA256 = make([]byte, 31) },
		"ranges that overlap": func(c *lrp.Content) { c.Ranges = [][2]uint64{{0, 9}, {8, 20}} },
		"an empty range":      func(c *lrp.Content) { c.Ranges = [][2]uint64{{9, 9}} },
		"a hash, no URL":      func(c *lrp.Content) { c.URL = "" },
	} {
		c := tell
		if change(&c); true {
			if _, err := c.Encode(); !errors.Is(err, lrp.ErrFrame) {
				t.Errorf("%s: %v, want ErrFrame", name, err)
			}
		}
	}
}

func FuzzGossip(f *testing.F) {
	g, err := lrp.Gossip{Kind: 4, Want: 4, Epoch: 1, Total: 8, Bytes: []byte("abcd")}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(g)
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := lrp.ParseGossip(data)
		if err != nil {
			return
		}
		if again, err := g.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x encodes as %x, %v", data, again, err)
		}
	})
}

func FuzzContent(f *testing.F) {
	c, err := lrp.Content{ID: []byte("film"), URL: "u", SHA256: []byte{}, Ranges: [][2]uint64{{0, 9}}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := lrp.ParseContent(data)
		if err != nil {
			return
		}
		if again, err := c.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x encodes as %x, %v", data, again, err)
		}
	})
}

func FuzzAuth(f *testing.F) {
	key, err := lrp.NewAuthKey()
	if err != nil {
		f.Fatal(err)
	}
	frame := lrp.NewTransaction(home, device, start, lrp.Life).Next(lrp.TypeAuth, []byte{})
	good, err := lrp.SealAccount(key.Public(), frame, lrp.Account{Kind: "oidc", Credential: []byte("x")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0x82, 0x41, 0x04, 0x41, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		frame.Body = data
		if a, err := key.Open(frame); err == nil && !bytes.Equal(data, good) {
			t.Errorf("%x opens as %v", data, a)
		}
	})
}

func FuzzProof(f *testing.F) {
	p, links := newParty(f), lrp.NewLinks(home)
	id := links.Open(start)
	f.Add(p.hello(f, id, home))
	plain, err := lrp.DefaultHello("http").Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src, err := lrp.SignedBy(data, id, home)
		if err != nil || src != p.addr {
			return
		}
		h, err := lrp.ParseHello(data) // of the certificate only the key counts: the rest may differ
		if err != nil {
			t.Fatal(err)
		}
		h.Proof = nil
		if bare, err := h.Encode(); err != nil || !bytes.Equal(bare, plain) {
			t.Errorf("%x proves %v", data, src)
		}
	})
}
