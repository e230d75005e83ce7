package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// How a device asks its house for a place. Source: local, docs/spec/places.md.
const (
	seatWait  = 3 * time.Second  // for an answer: without one the device is offline
	seatAgain = 20 * time.Second // after a heartbeat that was not heard
	maxSeat   = 64 << 10         // bytes of an answer
	maxTurns  = 8                // licenses of one title that are asked for, one after another
)

// seat is the place of one play among those of the house.
type seat struct {
	d       *device
	license ident.License // whose places they are; zero: nobody has to be asked
	screens []home.PlaceScreen

	stop  context.CancelFunc
	over  sync.WaitGroup
	lost  error // why the play has to end; read it when over is done
	taken bool  // lost is that the house gave the place to another one
	no    error // what the house answered instead of a place; nil: it gave one, or is away
}

// errNoKeeper is that the house was not reached, or keeps no places: the device is offline.
var errNoKeeper = errors.New("the house does not answer")

// seat asks the house for a place for a play. A house that is away is no error: what
// that means is the license's to say (offline_counts).
func (d *device) seat(ctx context.Context, in trem.Ask) (*seat, error) {
	s := &seat{d: d}
	ask, err := d.trem.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &in})
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeState {
		return s, nil // BEGIN says what is missing
	}
	if err != nil || len(ask.Object) == 0 {
		return s, err
	}
	var full []home.PlaceScreen
	for range maxTurns {
		s.license = ask.License
		got, err := s.exchange(ctx, ask)
		if errors.Is(err, errNoKeeper) {
			return s, nil
		}
		if err != nil || got.Outcome != trem.PlaceFull {
			return s, err
		}
		full = append(full, s.screens...)
		s.screens = full
		ask, err = d.trem.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &in, Next: true})
		if err != nil || len(ask.Object) == 0 {
			return s, err
		}
	}
	return s, nil
}

// exchange takes an ask to the house and the answer back, again where the house's module
// wants that.
func (s *seat) exchange(ctx context.Context, ask trem.PlaceAsk) (trem.PlaceTaken, error) {
	ctx, cancel := context.WithTimeout(ctx, seatWait)
	defer cancel()
	for range 3 {
		got, err := s.send(ctx, ask)
		if err != nil {
			return trem.PlaceTaken{}, fmt.Errorf("%w: %w", errNoKeeper, err)
		}
		taken, err := s.d.trem.TakePlace(ctx, got.Object)
		if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeRejected {
			s.no = err
			return trem.PlaceTaken{}, fmt.Errorf("%w: %w", errNoKeeper, err)
		}
		if err != nil {
			return trem.PlaceTaken{}, err
		}
		if s.screens, s.no = got.Screens, nil; taken.Again == nil {
			return taken, nil
		}
		ask = *taken.Again
	}
	s.no = errors.New("it wants to be asked again and again")
	return trem.PlaceTaken{}, errNoKeeper
}

func (s *seat) send(ctx context.Context, ask trem.PlaceAsk) (out home.PlaceAnswer, err error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.d.cfg.Home+home.PathPlaces, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.d.web().Do(req)
	if err != nil {
		return out, err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxSeat))
	switch {
	case err != nil: // it broke off
	case res.StatusCode != http.StatusOK:
		s.no = placeProblem(res.Status, data)
		return out, s.no
	default:
		if err = json.Unmarshal(data, &out); err != nil {
			s.no = fmt.Errorf("its answer cannot be read: %w", err)
			return out, s.no
		}
	}
	return out, err
}

// placeProblem is why the house gave no answer of its module: in its words, where it has any.
func placeProblem(status string, data []byte) error {
	var p struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(data, &p) != nil || p.Detail == "" {
		return fmt.Errorf("it answers %s", status)
	}
	return fmt.Errorf("it answers %s: %s", status, p.Detail)
}

// keep tells the house by heartbeats that a session runs. The context that it returns
// ends when another screen has taken the place over.
func (s *seat) keep(ctx context.Context, handle uint64) context.Context {
	ctx, s.stop = context.WithCancel(ctx)
	if s.license != (ident.License{}) {
		s.over.Go(func() { s.beats(ctx, handle) })
	}
	return ctx
}

func (s *seat) beats(ctx context.Context, handle uint64) {
	defer s.stop()
	next := license.Heartbeat * time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		ask, err := s.d.trem.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceBeat, Session: handle})
		var got trem.PlaceTaken
		if err == nil {
			if len(ask.Object) == 0 { // the module has nobody to ask any more
				<-ctx.Done()
				return
			}
			got, err = s.exchange(ctx, ask)
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNoKeeper):
			next = seatAgain
			continue
		case err != nil:
			s.lost = err
			return
		case got.Outcome == trem.PlaceLost:
			s.lost, s.taken = refused("%s", s.goneTo(got.By)), true
			return
		}
		next = license.Heartbeat * time.Millisecond
	}
}

// goneTo says who has taken this play's place over.
func (s *seat) goneTo(by ident.Device) string {
	for _, p := range slices.Backward(s.screens) { // the newest one of that device
		if p.Device == by {
			return fmt.Sprintf("It goes on on another screen: %s. To have it back here: --takeover", p.Screen)
		}
	}
	return "Another screen has the place of this play now. To have it back here: --takeover"
}

// leave ends the heartbeats, gives the place back and says why the play had to end; nil
// where it had not. A house that is away learns it in three minutes.
func (s *seat) leave(ctx context.Context) error {
	if s.stop != nil {
		s.stop()
	}
	if s.over.Wait(); s.license == (ident.License{}) || s.lost != nil {
		return s.lost
	}
	ask, err := s.d.trem.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceEnd, License: s.license})
	if err == nil && len(ask.Object) > 0 {
		_, err = s.exchange(ctx, ask)
	}
	if errors.Is(err, errNoKeeper) {
		return nil
	}
	return err
}

// tell says who has the places, where a play was refused for want of one.
func (s *seat) tell(w io.Writer, err error) {
	no, ok := errors.AsType[*trem.RefusalError](err)
	if !ok || !no.Decision.Has(license.SlotFull) {
		return
	}
	for _, p := range s.screens {
		fmt.Fprintf(w, "It is playing on this screen: %s, since %s.\n", p.Screen, p.Since.Local().Format("15:04"))
	}
	if slices.ContainsFunc(no.Decision.Reasons, func(r license.Reason) bool { return r.Code == license.SlotFull && r.Remedy == license.Takeover }) {
		fmt.Fprintln(w, "To continue here, so that it stops there: --takeover")
	}
}

// note says that the house is there and gave no place. A house that is away is no news.
func (s *seat) note(w io.Writer) {
	if s.no != nil {
		fmt.Fprintf(w, "The house was asked for a place, and gave none: %v. This device goes on as if the house were off.\n", s.no)
		s.no = nil
	}
}

// seated runs one play in its place: begin, what do shows, end.
func (d *device) seated(ctx context.Context, env *Env, in trem.Ask, do func(context.Context, trem.Session) error) error {
	place, err := d.seat(ctx, in)
	if err != nil {
		return err
	}
	place.note(env.Stderr)
	s, err := d.trem.Begin(ctx, in)
	if err != nil {
		place.tell(env.Stderr, err)
		return errors.Join(err, place.leave(context.WithoutCancel(ctx)))
	}
	err = do(place.keep(ctx, s.Handle), s)
	place.stop()
	quiet := context.WithoutCancel(ctx)
	err = errors.Join(err, d.trem.End(quiet, s.Handle))
	gone := place.leave(quiet)
	if place.note(env.Stderr); place.taken {
		return gone // what the player says of that comes after
	}
	return errors.Join(err, gone)
}
