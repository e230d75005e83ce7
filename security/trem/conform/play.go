package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/trembench"
)

// segmentSize is that of the segments that are played, in bytes: four seconds of
// the film at its peak rate, so that what is released is counted as time.
const segmentSize = 3_900_000

// playChecks play the purchase.
func playChecks() []Check {
	return []Check{
		{Name: "BEGIN opens a session, and TRACK gives the clear initialization segment", run: checkBegin, gate: true},
		{Name: "DECRYPT gives the plaintext", run: checkDecrypt, gate: true},
		{Name: "the buffer gives the same plaintext, of what the host or the module reads", run: checkBuffer, opt: true},
		{Name: "no plaintext of what is damaged, of another title, or of another session", run: checkForeign},
		{Name: "LINK-KEYS are of link-encrypted sessions only", run: checkNoLinkKeys},
		{Name: "after END a session is gone, and its handle does not come again", run: checkEnd},
		{Name: "sessions end with their stream", run: checkStreamEnds, gate: true},
	}
}

// begin opens a session on a title with one track.
func (s *subject) begin(ctx context.Context, ask trem.Ask) (trembench.Reel, error) {
	r, err := s.host.Reel(ask.Content)
	if err != nil {
		return r, err
	}
	s.session, err = s.Begin(ctx, ask)
	if err != nil {
		return r, err
	}
	if s.session.Handle <= s.last {
		return r, fmt.Errorf("BEGIN: session %d after session %d", s.session.Handle, s.last)
	}
	s.last = s.session.Handle
	if len(s.session.KIDs) == 0 || !s.session.Decision.Allow || s.session.License == (ident.License{}) {
		return r, fmt.Errorf("BEGIN: %+v", s.session)
	}
	var init []byte
	s.track, init, err = s.Track(ctx, s.session.Handle, r.Init())
	if err != nil {
		return r, fmt.Errorf("TRACK: %w", err)
	}
	want := r.Init()
	if ask.Output == trem.OutputInternal {
		want, err = r.ClearInit()
	}
	if err == nil && !bytes.Equal(init, want) {
		err = errors.New("TRACK: not the initialization segment that the player needs")
	}
	return r, err
}

func checkBegin(ctx context.Context, s *subject) error {
	_, err := s.begin(ctx, trembench.Watch())
	return err
}

// segment is one of a reel, protected and as it must come out.
func segment(r trembench.Reel, n int) (protected, plain []byte, err error) {
	if protected, err = r.Segment(n, segmentSize); err == nil {
		plain, err = r.Clear(protected)
	}
	return protected, plain, err
}

func checkDecrypt(ctx context.Context, s *subject) error {
	r, err := s.host.Reel(trembench.Film)
	if err != nil {
		return err
	}
	for n := range 2 {
		seg, want, err := segment(r, n)
		if err != nil {
			return err
		}
		got, err := s.Decrypt(ctx, s.session.Handle, s.track, seg)
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("%d bytes that are not the plaintext", len(got))
		}
		if err != nil {
			return fmt.Errorf("segment %d: %w", n, err)
		}
	}
	return nil
}

func checkBuffer(ctx context.Context, s *subject) error {
	r, err := s.host.Reel(trembench.Film)
	if err != nil {
		return err
	}
	const place = 4096
	mem, err := s.Buffer(ctx, place+segmentSize+1<<16)
	if e, ok := errors.AsType[*trem.Error](err); ok && (e.Code == trem.CodeState || e.Code == trem.CodeMalformed) {
		return &without{"it has none: " + e.Text}
	}
	if err != nil {
		return err
	}
	seg, want, err := segment(r, 3)
	if err != nil {
		return err
	}
	copy(mem[place:], seg)
	if err := s.DecryptBuffer(ctx, s.session.Handle, s.track, place, len(seg)); err != nil {
		return err
	}
	if !bytes.Equal(mem[place:place+len(seg)], want) {
		return errors.New("it holds something else than the plaintext")
	}
	if err := s.fromFile(ctx, seg, mem, want); err != nil {
		return fmt.Errorf("from a file: %w", err)
	}
	_, err = s.Buffer(ctx, 4096)
	return errors.Join(wantCode("a second buffer", err, trem.CodeState),
		wantCode("a segment outside of it", s.DecryptBuffer(ctx, s.session.Handle, s.track, len(mem), 1), trem.CodeMalformed))
}

// fromFile has the module read a segment from a file into the buffer.
func (s *subject) fromFile(ctx context.Context, seg, mem, want []byte) (err error) {
	f, err := os.CreateTemp("", "lares-conform-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(seg); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := s.DecryptFile(ctx, s.session.Handle, s.track, f, 1, len(seg)); err != nil {
		return err
	}
	if !bytes.Equal(mem[1:1+len(want)], want) {
		return errors.New("the buffer holds something else than the plaintext")
	}
	return s.fromTwo(ctx, f, len(seg))
}

// fromTwo has the module read a segment and then something that is none.
func (s *subject) fromTwo(ctx context.Context, f *os.File, size int) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	done, err := s.DecryptFiles(ctx, s.session.Handle, s.track,
		trem.SegmentFile{File: f, Bytes: size}, trem.SegmentFile{File: f, At: size, Bytes: 1})
	if err == nil && done != 1 {
		err = fmt.Errorf("%d segments are done, and the second was none", done)
	}
	return err
}

func checkForeign(_ context.Context, s *subject) error {
	film, err := s.host.Reel(trembench.Film)
	if err != nil {
		return err
	}
	rental, err := s.host.Reel(trembench.Rental)
	if err != nil {
		return err
	}
	seg, _, err := segment(film, 4)
	if err != nil {
		return err
	}
	cut, long := seg[:len(seg)-1], bytes.Clone(seg)
	long[3]++ // the first box is a byte longer than it is
	part := trem.Part{Session: s.session.Handle, Track: s.track}
	var errs []error
	for what, x := range map[string]struct {
		part trem.Part
		seg  []byte
		code trem.Code
	}{
		"a segment that is cut":        {part, cut, trem.CodeRejected},
		"a segment with a wrong box":   {part, long, trem.CodeRejected},
		"no segment":                   {part, nil, trem.CodeRejected},
		"an initialization segment":    {part, film.Init(), trem.CodeRejected},
		"a track that is not there":    {trem.Part{Session: part.Session, Track: part.Track + 1}, seg, trem.CodeUnknown},
		"a session that is not there":  {trem.Part{Session: part.Session + 1, Track: part.Track}, seg, trem.CodeUnknown},
		"the greatest of all sessions": {trem.Part{Session: ^uint64(0), Track: part.Track}, seg, trem.CodeUnknown},
	} {
		payload, err := s.order(trem.CmdDecrypt, x.part, x.seg)
		errs = append(errs, wantNothing(what, payload, err, x.code))
	}
	return errors.Join(append(errs, s.otherTitle(part, rental))...)
}

// otherTitle plays a title in the session of another one. A module may find that
// out at TRACK or at DECRYPT, and by the key or by the license.
func (s *subject) otherTitle(part trem.Part, r trembench.Reel) error {
	header, err := trem.NewRequest(trem.CmdTrack, part)
	if err != nil {
		return err
	}
	if err := trem.WriteMessage(s.conn, trem.Message{Header: header, Payload: r.Init()}); err != nil {
		return err
	}
	m, err := trem.ReadMessage(s.conn)
	if err != nil {
		return err
	}
	if err := trem.ParseReply(m.Header, &part.Track); err != nil {
		return nil //nolint:nilerr // it is found out
	}
	seg, _, err := segment(r, 0)
	if err != nil {
		return err
	}
	payload, err := s.order(trem.CmdDecrypt, part, seg)
	if err == nil || len(payload) > 0 {
		return fmt.Errorf("another title's segment in this session: %d bytes came back (%w)", len(payload), err)
	}
	return nil
}

func checkNoLinkKeys(ctx context.Context, s *subject) error {
	_, err := s.LinkKeys(ctx, s.session.Handle)
	return wantCode("LINK-KEYS of a session without a link", err, trem.CodeState)
}

// gone holds a module to knowing nothing of a session.
func (s *subject) gone(handle uint64) error {
	r, err := s.host.Reel(trembench.Film)
	if err != nil {
		return err
	}
	seg, _, err := segment(r, 5)
	if err != nil {
		return err
	}
	var errs []error
	for what, cmd := range map[string]trem.Command{"TRACK": trem.CmdTrack, "DECRYPT": trem.CmdDecrypt, "END": trem.CmdEnd} {
		payload, err := s.order(cmd, trem.Part{Session: handle, Track: s.track}, seg)
		errs = append(errs, wantNothing(what, payload, err, trem.CodeUnknown))
	}
	return errors.Join(errs...)
}

func checkEnd(ctx context.Context, s *subject) error {
	old := s.session.Handle
	if err := s.End(ctx, old); err != nil {
		return err
	}
	if err := s.gone(old); err != nil {
		return err
	}
	_, err := s.begin(ctx, trembench.Watch())
	return errors.Join(err, s.gone(old))
}

func checkStreamEnds(ctx context.Context, s *subject) error {
	old := s.session.Handle
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.last = 0
	held, err := s.Licenses(ctx)
	if err == nil && len(held) != 1 {
		err = fmt.Errorf("LICENSES on a new stream: %d", len(held))
	}
	return errors.Join(err, s.gone(old))
}

// linkChecks play the purchase to a browser.
func linkChecks() []Check {
	return []Check{{Name: "a link-encrypted session gives what its own keys open, and those alone", run: checkLink}}
}

func checkLink(ctx context.Context, s *subject) error {
	ask := trembench.Watch()
	ask.Output = trem.OutputLink
	r, err := s.begin(ctx, ask)
	if err != nil {
		return err
	}
	seg, want, err := segment(r, 0)
	if err != nil {
		return err
	}
	got, err := s.Decrypt(ctx, s.session.Handle, s.track, bytes.Clone(seg))
	if err != nil {
		return err
	}
	if bytes.Equal(got, want) || bytes.Equal(got, seg) {
		return errors.New("DECRYPT gives it clear, or as it was")
	}
	keys, err := s.LinkKeys(ctx, s.session.Handle)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(keys, func(k trem.LinkKey) bool { return k.KID == r.KID() })
	if i < 0 {
		return errors.New("LINK-KEYS has no key of the track")
	}
	key, err := cenc.NewContentKey(keys[i].Key)
	if err != nil {
		return err
	}
	open, err := r.ClearBy(key, got)
	if err == nil && !bytes.Equal(open, want) {
		err = errors.New("the session key does not open the stream")
	}
	return errors.Join(err, s.End(ctx, s.session.Handle))
}

// countChecks play the rental of one play.
func countChecks() []Check {
	return []Check{
		{Name: "EXPORT debits once, answers a repetition with the same child, and refuses a system that the license does not name", run: checkExport, opt: true},
		{Name: "a play that is spent is spent, also on a new stream", run: checkSpent},
	}
}

func checkSpent(ctx context.Context, s *subject) error {
	if err := s.deliver(ctx, trembench.Rental); err != nil {
		return err
	}
	ask := trembench.Watch()
	ask.Content = trembench.Rental
	r, err := s.begin(ctx, ask)
	if err != nil {
		return err
	}
	for n := range 4 {
		seg, want, err := segment(r, n)
		if err != nil {
			return err
		}
		if got, err := s.Decrypt(ctx, s.session.Handle, s.track, seg); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("segment %d of the one play: %w", n, err)
		}
	}
	ask.Again = true
	for range 2 {
		if err := s.connect(ctx); err != nil { // in the middle of it
			return err
		}
		s.last = 0
		_, err := s.Begin(ctx, ask)
		if err := wantRefusal("BEGIN of a second play", err, license.CountExhausted); err != nil {
			return err
		}
	}
	return nil
}
