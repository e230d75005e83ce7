package bench

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// contentKernels are the rows that need no other program.
func contentKernels(ctx context.Context, cfg Config) ([]Row, error) {
	var rows []Row
	for _, part := range []func(context.Context, Config) ([]Row, error){cbcRows, smallRows, linkRows} {
		more, err := part(ctx, cfg)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// cbcRows decrypt whole samples of 64 KB in cbcs, as sound and AES-128 of HLS have
// it, and beside it what the standard library does with the same bytes.
func cbcRows(ctx context.Context, cfg Config) ([]Row, error) {
	c, err := cenc.NewCipher(cenc.GenerateKey())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return nil, err
	}
	s := cenc.Sample{Scheme: cenc.SchemeCBCS, Data: make([]byte, 1<<16)}
	std := cipher.NewCBCDecrypter(block, make([]byte, 16))
	times, err := CPU(ctx, cfg,
		func(n int) error {
			for range n {
				if err := c.Decrypt(&s); err != nil {
					return err
				}
			}
			return nil
		},
		func(n int) error {
			for range n {
				std.CryptBlocks(s.Data, s.Data)
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	rate := func(ns float64) float64 { return round2(float64(len(s.Data)) / ns) }
	return []Row{
		AtLeast("full-sample cbc: decrypt", rate(times[0]), unitRate, minCBC),
		Plain("full-sample cbc: standard library", rate(times[1]), unitRate),
	}, nil
}

// madeFragment is an init segment and a clear fragment of samples of one size, as
// ffmpeg would make them, protected by content.View.Protect.
func madeFragment(handler string, samples, size int) (in *content.Init, seg []byte, err error) {
	file := clearFilm(handler, samples, size)
	v, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{})
	if err != nil {
		return nil, nil, err
	}
	defer v.Close()
	k, err := cenc.NewContentKey(make([]byte, 16))
	if err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	err = v.Protect(&out, content.ProtectConfig{Scheme: cenc.SchemeCENC, Key: func(*content.Track) (ident.Key, cenc.ContentKey, bool, error) {
		return ident.Key{1}, k, true, nil
	}})
	if err != nil {
		return nil, nil, err
	}
	at := bytes.Index(out.Bytes(), []byte("moof")) - 4
	in, err = content.ParseInit(out.Bytes()[:at])
	return in, out.Bytes()[at:], err
}

// clearFilm is a film of one track and one fragment, with no more in it than what
// is read: bytes that no decoder would take.
func clearFilm(handler string, samples, size int) []byte {
	u32 := func(n ...int) []byte {
		var b []byte
		for _, x := range n {
			b = binary.BigEndian.AppendUint32(b, uint32(x)) //nolint:gosec // small
		}
		return b
	}
	box := func(typ string, parts ...[]byte) []byte {
		body := bytes.Join(parts, nil)
		return bytes.Join([][]byte{u32(8 + len(body)), []byte(typ), body}, nil)
	}
	entry := box("mp4a", make([]byte, 28))
	if handler == "vide" {
		entry = box("avc1", make([]byte, 78), box("avcC", []byte{1, 0x64, 0, 0x1f, 0xff}))
	}
	stbl := box("stbl", box("stsd", u32(0, 1), entry))
	mdia := box("mdia", box("mdhd", u32(0, 0, 0, 1000, 0, 0)), box("hdlr", u32(0, 0), []byte(handler), make([]byte, 13)), box("minf", stbl))
	tkhd := box("tkhd", u32(0, 0, 0, 1), make([]byte, 60), u32(1280<<16, 720<<16))
	moov := box("moov", box("trak", tkhd, mdia), box("mvex", box("trex", u32(0, 1, 1, 40, size, 0))))
	moof := func(at int) []byte {
		traf := box("traf", box("tfhd", u32(0x20000, 1)), box("tfdt", u32(0, 0)), box("trun", u32(1, samples, at)))
		return box("moof", box("mfhd", u32(0, 1)), traf)
	}
	sample := append(u32(size-4), bytes.Repeat([]byte{0x65}, size-4)...)
	return bytes.Join([][]byte{box("ftyp", []byte("cmfc\x00\x00\x00\x00")), moov, moof(len(moof(0)) + 8), box("mdat", bytes.Repeat(sample, samples))}, nil)
}

func zeroKey(ident.Key) (cenc.ContentKey, error) { return cenc.NewContentKey(make([]byte, 16)) }

// smallRows are what a sample costs besides its bytes: a thousand of 200 bytes, as
// sound has them, against one stream of the cipher over all of them.
func smallRows(ctx context.Context, cfg Config) ([]Row, error) {
	const samples, size = 1000, 200
	in, seg, err := madeFragment("soun", samples, size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return nil, err
	}
	work := make([]byte, len(seg))
	times, err := CPU(ctx, cfg,
		func(n int) error {
			for range n {
				copy(work, seg)
				f, err := in.Fragment(work)
				if err != nil {
					return err
				}
				if err := f.Decrypt(zeroKey); err != nil {
					return err
				}
			}
			return nil
		},
		func(n int) error {
			for range n {
				copy(work, seg)
				cipher.NewCTR(block, make([]byte, 16)).XORKeyStream(work, work) //nolint:gosec // nothing is kept secret here
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	return []Row{
		AtMost("small samples: each, over the cipher", micros((times[0]-times[1])/samples), unitMicros, maxSmall),
		Plain("small samples: the cipher, each", micros(times[1]/samples), unitMicros),
	}, nil
}

// linkRows play a file to nowhere, as a player has it and as a page has it: link
// encryption decrypts and encrypts again with the key of the session.
func linkRows(ctx context.Context, cfg Config) ([]Row, error) {
	in, seg, err := madeFragment("vide", 50, 80_000)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lares-bench-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // one small file
	name := dir + "/segment"
	if err := os.WriteFile(name, seg, 0o600); err != nil {
		return nil, err
	}
	session := cenc.GenerateKey()
	mem := make([]byte, len(seg))
	play := func(work func(*content.Fragment) error) Kernel {
		return func(n int) error {
			for range n {
				b, err := readInto(mem, name)
				if err != nil {
					return err
				}
				f, err := in.Fragment(b)
				if err != nil {
					return err
				}
				if err := work(f); err != nil {
					return err
				}
				if _, err := io.Discard.Write(b); err != nil {
					return err
				}
			}
			return nil
		}
	}
	times, err := CPU(ctx, cfg,
		play(func(f *content.Fragment) error { return f.Decrypt(zeroKey) }),
		play(func(f *content.Fragment) error {
			return f.Reencrypt(zeroKey, func(ident.Key) (cenc.ContentKey, error) { return session, nil })
		}))
	if err != nil {
		return nil, fmt.Errorf("link encryption: %w", err)
	}
	rate := func(ns float64) float64 { return math.Round(float64(len(seg))/ns*100) / 100 }
	return []Row{
		Plain("file to nowhere, decrypted", rate(times[0]), unitRate),
		Plain("file to nowhere, link encryption", rate(times[1]), unitRate),
		AtLeast("link encryption against decryption", round2(times[0]/times[1]), unitTimes, minLink),
	}, nil
}

// readInto reads a file, whole, into memory that has room for it.
func readInto(mem []byte, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	n, err := io.ReadFull(f, mem)
	return mem[:n], err
}
