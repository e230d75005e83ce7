package content_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// A protected track is its init segment and its fragments, each worked on whole.
func Example() {
	initSegment, fragment := cencInit(), exampleFragment()
	in, err := content.ParseInit(initSegment)
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := in.Fragment(fragment)
	if err != nil {
		fmt.Println(err)
		return
	}
	start, dur := f.Time()
	fmt.Printf("%s, %d ms from %d ms, %d protected bytes\n", in.Tracks[0].Entries[0].Scheme, dur, start, f.Bytes())
	err = f.Decrypt(func(kid ident.Key) (cenc.ContentKey, error) {
		return cenc.NewContentKey([]byte("the title's key."))
	})
	fmt.Println(err)
	// Output:
	// cenc, 40 ms from 2000 ms, 16 protected bytes
	// <nil>
}

// The clear view of a file has its length and its byte ranges. It is an
// io.ReaderAt: a server gives ranges of it with http.ServeContent over
// io.NewSectionReader, and only the samples that are asked for are decrypted.
func ExampleView() {
	file := append(cencInit(), exampleFragment()...)
	v, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{
		Keys: func(ident.Key) (cenc.ContentKey, error) { return cenc.NewContentKey([]byte("the title's key.")) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/film.mp4", nil)
	r.Header.Set("Range", "bytes=-20")
	w := httptest.NewRecorder()
	http.ServeContent(w, r, "film.mp4", time.Time{}, io.NewSectionReader(v, 0, v.Size()))
	fmt.Println(w.Code, w.Header().Get("Content-Range"), w.Body.Len())
	// Output: 206 bytes 759-778/779 20
}

// What a file says of its protection needs no key.
func ExampleView_Describe() {
	file := append(cencInit(), exampleFragment()...)
	v, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	err = v.Describe(func(p *content.Piece) error {
		for _, k := range p.Keys {
			fmt.Printf("%s: %d sample, %d protected bytes, vectors of %d bytes\n", k.Scheme, k.Samples, k.Bytes, k.IVSize)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// cenc: 1 sample, 16 protected bytes, vectors of 8 bytes
	// <nil>
}

// A film that comes through a pipe is protected as it comes, sound and pictures
// under keys of their own.
func ExampleView_Protect() {
	clear := slices.Concat(initSeg(bx("avc1", zero(78), bx("avcC", []byte{1, 0x64, 0, 0x1f, 0xff})), 1),
		part{sizes: []int{200}}.build(slices.Concat(u32(196), []byte{0x65}, zero(195))))
	v, err := content.OpenStream(bytes.NewReader(clear), content.ViewConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	var out bytes.Buffer
	err = v.Protect(&out, content.ProtectConfig{Scheme: cenc.SchemeCBCS, Key: func(t *content.Track) (ident.Key, cenc.ContentKey, bool, error) {
		return ident.NewKey(), cenc.GenerateKey(), t.Handler == "vide", nil
	}})
	fmt.Println(err, bytes.Contains(out.Bytes(), []byte("cbcs")))
	// Output: <nil> true
}

func exampleFragment() []byte {
	aux := senc([][]byte{u64(1)}, []cenc.Subsample{{Clear: 4, Protected: 16}})
	return part{sizes: []int{20}, at: 2000, traf: [][]byte{aux}}.build(picture(20))
}

// BenchmarkFragment measures a whole fragment: parse, decrypt, rename; and link
// encryption. 100 samples of 50,000 bytes.
func BenchmarkFragment(b *testing.B) {
	const samples, size = 100, 50_000
	iv := picture(16)
	data := picture(samples * size)
	var sizes []int
	cencAux, cbcsAux := [][]byte{u32(samples)}, [][]byte{u32(samples)}
	for i := range samples {
		sizes = append(sizes, size)
		sub := append(append(u16(1), u16(112)...), u32(size-112)...)
		cencAux, cbcsAux = append(cencAux, u64(i), sub), append(cbcsAux, sub)
	}
	for _, bc := range []struct {
		name      string
		init, aux []byte
	}{
		{"cenc", cencInit(), full("senc", 0, 2, cencAux...)},
		{"cbcs", initSeg(encv(tenc("cbcs", prot(1, 9, 1, 0, kid1, iv))), 1), full("senc", 0, 2, cbcsAux...)},
	} {
		in := parseInit(b, bc.init)
		seg := part{sizes: sizes, traf: [][]byte{bc.aux}}.build(data)
		run := func(name string, work func(*content.Fragment) error) {
			b.Run(bc.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(seg)))
				b.ReportAllocs()
				for b.Loop() {
					f, err := in.Fragment(seg)
					if err == nil {
						err = work(f)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("reencrypt", func(f *content.Fragment) error { return f.Reencrypt(anyKey(1), anyKey(2)) })
		run("parse", func(*content.Fragment) error { return nil })
		run("decrypt", func(f *content.Fragment) error {
			err := f.Decrypt(anyKey(1))
			restore(seg)
			return err
		})
	}
}

// restore gives the senc box its name back, so that the next round has work.
func restore(seg []byte) {
	const moof = 8 + 16 + 8 // moof, mfhd, traf
	for at := moof; at+8 <= len(seg); {
		if string(seg[at+4:at+8]) == "free" {
			copy(seg[at+4:], "senc")
			return
		}
		at += int(seg[at])<<24 | int(seg[at+1])<<16 | int(seg[at+2])<<8 | int(seg[at+3])
	}
}
