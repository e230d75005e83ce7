package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lares-drm/lares/content/packager"
)

// ContentPeer is what the bench starts as a process of its own: mp4ff KEY IN OUT
// decrypts with that library, fragment by fragment; pack IN DIR packs with ours.
func ContentPeer(ctx context.Context, args []string) error {
	switch {
	case len(args) == 4 && args[0] == "mp4ff":
		return decryptMP4FF(args[1], args[2], args[3])
	case len(args) == 3 && args[0] == "pack":
		_, err := packager.Pack(ctx, packager.Config{Inputs: args[1:2], Dir: args[2], Content: "bench", Title: "bench"})
		return err
	}
	return errors.New("want mp4ff KEY IN OUT, or pack IN DIR")
}

func decryptMP4FF(key, in, out string) error {
	k, err := hex.DecodeString(key)
	if err != nil {
		return errors.New("the key is not hexadecimal")
	}
	src, err := os.Open(in)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // read only
	dst, err := os.Create(out)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(dst, 1<<20)
	return errors.Join(streamMP4FF(w, src, k), w.Flush(), dst.Close())
}

// streamMP4FF holds one fragment at a time. What the library parses of a stream
// points into a buffer that it reads on into: the vectors are copied first.
func streamMP4FF(w io.Writer, src io.ReadSeeker, key []byte) error {
	init, err := initMP4FF(src)
	if err != nil {
		return err
	}
	info, err := mp4.DecryptInit(init)
	if err != nil {
		return fmt.Errorf("mp4ff: %w", err)
	}
	if err := init.Encode(w); err != nil {
		return fmt.Errorf("mp4ff: %w", err)
	}
	var data []byte
	fragment := func(f *mp4.Fragment, s mp4.SampleAccessor) error {
		for _, traf := range f.Moof.Trafs {
			if traf.Senc == nil {
				continue
			}
			if err := traf.ParseReadSenc(info.TrackInfos[0].Sinf.Schi.Tenc.DefaultPerSampleIVSize, f.Moof.StartPos); err != nil {
				return err
			}
			for i := range traf.Senc.IVs {
				traf.Senc.IVs[i] = bytes.Clone(traf.Senc.IVs[i])
			}
		}
		n := int(f.Mdat.GetLazyDataSize()) //nolint:gosec // a fragment of the bench's own film
		data = slices.Grow(data[:0], n)[:n]
		if _, err := s.ReadMdatData(data); err != nil {
			return err
		}
		f.Mdat.SetData(data)
		if err := mp4.DecryptFragment(f, info, key); err != nil {
			return err
		}
		return f.Encode(w)
	}
	sf, err := mp4.InitDecodeStream(src, mp4.WithFragmentCallback(fragment), mp4.WithMaxFragments(1))
	if err != nil {
		return fmt.Errorf("mp4ff: %w", err)
	}
	err = sf.ProcessFragments()
	if _, ok := errors.AsType[*mp4.TrailingBoxesErrror](err); ok {
		return nil // the index at the end, which decryption does not need
	}
	return err
}

// initMP4FF parses the init segment apart, and goes back to its begin.
func initMP4FF(src io.ReadSeeker) (*mp4.InitSegment, error) {
	head := make([]byte, 1<<16)
	n, err := io.ReadFull(src, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	at := bytes.Index(head[:n], []byte("moof"))
	if at < 4 {
		return nil, errors.New("no fragment in the film")
	}
	file, err := mp4.DecodeFile(bytes.NewReader(head[:at-4]))
	if err != nil {
		return nil, fmt.Errorf("mp4ff: %w", err)
	}
	_, err = src.Seek(0, io.SeekStart)
	return file.Init, err
}
