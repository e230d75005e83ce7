package module

import (
	"io"
	"os"

	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/core"
)

// decrypt does a command with which files came: one segment after another is read
// into the buffer and decrypted, so that the processor still has what it read. What
// is wrong with the first is the answer; what is wrong with a later one ends the
// work, and the answer is how many were done before.
func (s *sharer) decrypt(c *core.Core, clock func() (core.Reading, error), header []byte) (trem.Message, error) {
	files := s.came
	s.came = nil
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	order, places, err := s.order(header, len(files))
	if err != nil {
		return reply(nil, err)
	}
	for done, place := range places {
		now, err := clock()
		if err != nil {
			return trem.Message{}, err
		}
		order.Bytes, order.At, order.More = place.Bytes, place.At, nil
		failed := s.fill(files[done], place)
		if failed == nil {
			if failed, err = decryptOne(c, order, now); err != nil {
				return trem.Message{}, err
			}
		}
		switch {
		case failed != nil && done == 0:
			return reply(nil, failed)
		case failed != nil:
			return reply(trem.Segments{Done: uint64(done)}, nil)
		}
	}
	if len(places) == 1 {
		return reply(trem.None{}, nil)
	}
	return reply(trem.Segments{Done: uint64(len(places))}, nil)
}

// decryptOne decrypts a segment in the buffer. Failed is what a host is answered.
func decryptOne(c *core.Core, order trem.Part, now core.Reading) (failed, err error) {
	header, err := trem.NewRequest(trem.CmdDecrypt, order)
	if err != nil {
		return nil, err
	}
	out, err := c.Do(trem.Message{Header: header}, now)
	if err != nil {
		return nil, err
	}
	return trem.ParseReply(out.Header, &trem.None{}), nil
}

// order is what so many files came for, and the place of each. The error is the
// answer to the command.
func (s *sharer) order(header []byte, files int) (order trem.Part, places []trem.Place, err error) {
	cmd, body, err := trem.ParseRequest(header)
	if err == nil && cmd == trem.CmdDecrypt {
		err = trem.ParseBody(body, &order)
	}
	places = append([]trem.Place{{Bytes: order.Bytes, At: order.At}}, order.More...)
	good := err == nil && cmd == trem.CmdDecrypt && len(places) == files && files <= trem.MaxFiles
	for _, p := range places {
		size := uint64(len(s.shared))
		good = good && p.Bytes > 0 && p.At <= size && p.Bytes <= size-p.At
	}
	if !good {
		return order, nil, &trem.Error{Code: trem.CodeMalformed, Text: "command: files came, and there is no place for each"}
	}
	return order, places, nil
}

// fill reads the segment of a file into its place. The error is the answer to the
// command.
func (s *sharer) fill(f *os.File, p trem.Place) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return &trem.Error{Code: trem.CodeMalformed, Text: "command: what came with it is no regular file"}
	}
	if _, err := io.ReadFull(f, s.shared[p.At:][:p.Bytes]); err != nil {
		return &trem.Error{Code: trem.CodeRejected, Text: "segment: read its file: " + err.Error()}
	}
	return nil
}

func reply(v any, failed error) (trem.Message, error) {
	header, err := trem.NewReply(v, failed)
	return trem.Message{Header: header}, err
}
