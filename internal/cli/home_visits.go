package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

const (
	// visitEvery is the pause between two visits to a relay. Source: local.
	visitEvery = 5 * time.Second
	// visitsFile says how far the house is with which relay.
	visitsFile = "visits.json"
)

// visited is how far the house is with one relay. To lose it costs letters that are
// said again.
type visited struct {
	Relay string                  `json:"relay"`          // its address
	Read  uint64                  `json:"read,omitzero"`  // up to which number letters were taken there
	Left  map[ident.Device]uint64 `json:"left,omitempty"` // up to which number those of a member's box were left there
}

// visits take letters from a relay's mailbox, and leave there what waits for members.
type visits struct {
	dir    string
	self   lrp.Addr
	link   *lrphttp.Client
	home   *home.Home
	log    *slog.Logger
	state  visited
	absent bool // the last visit failed, and was logged
}

func newVisits(ctx context.Context, s *homeServer, h *home.Home) (*visits, error) {
	relay, err := parseMailRelay(s.relay)
	if err != nil {
		return nil, err
	}
	st, err := s.module.Status(ctx)
	if err != nil {
		return nil, err
	}
	v := &visits{dir: s.dir, self: lrp.Addr(st.Device), home: h, log: s.log}
	if v.link, err = relay.client(introduction(s.module, st.Device, ident.Device(relay.addr)), s.secret.CA(), s.env.Now); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(s.dir, visitsFile))
	if err == nil {
		err = json.Unmarshal(data, &v.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", visitsFile, err)
	}
	if name := relay.addr.String(); v.state.Relay != name {
		v.state = visited{Relay: name}
	}
	if v.state.Left == nil {
		v.state.Left = map[ident.Device]uint64{}
	}
	return v, nil
}

// run visits the relay until ctx ends. One that is away is no error.
func (v *visits) run(ctx context.Context) {
	tick := time.NewTicker(visitEvery)
	defer tick.Stop()
	for {
		err := errors.Join(v.take(ctx), v.leave(ctx))
		if absent := err != nil; absent != v.absent && ctx.Err() == nil {
			v.absent = absent
			if absent {
				v.log.LogAttrs(ctx, slog.LevelWarn, "the relay's mailbox is not visited", slog.Any("error", err))
			} else {
				v.log.LogAttrs(ctx, slog.LevelInfo, "the relay's mailbox is visited again")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// take serves what waits for the house.
func (v *visits) take(ctx context.Context) error {
	taken := 0
	err := takeAll(ctx, v.link, v.state.Read, func(k lrp.Kept) (bool, error) {
		answers, err := v.home.FrameLeft(ctx, k.Frame)
		if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeState {
			return false, nil // its module cannot judge it yet
		}
		if err != nil && !isRejected(err) {
			return false, err
		}
		for _, a := range answers {
			if a.Type != lrp.TypeError {
				_ = leave(ctx, v.link, a) // who asked asks again
			}
		}
		taken++
		return true, nil
	}, func(read uint64) error {
		v.state.Read = read
		return v.save()
	})
	if taken > 0 {
		v.log.LogAttrs(ctx, slog.LevelInfo, "letters by the relay", slog.Int("taken", taken))
	}
	return err
}

// leave leaves what waits for members in their boxes here. A box that is full there
// keeps nobody else's letters back.
func (v *visits) leave(ctx context.Context) (failed error) {
	for _, d := range v.home.Devices() {
		for _, k := range v.home.MailFor(lrp.Addr(d.ID)) {
			if k.Number <= v.state.Left[d.ID] {
				continue
			}
			f := k.Frame
			f.Src = v.self // as whom the house proves itself there; who writes stands in the letter
			err := leave(ctx, v.link, f)
			if e, ok := errors.AsType[*lrp.Error](err); ok && e.Code == lrp.CodeUnknownDst {
				err = nil // it has no box there: it comes to the house
			}
			if err != nil {
				failed = errors.Join(failed, relayWords(f.Dst, err))
				break
			}
			v.state.Left[d.ID] = k.Number
			if err := v.save(); err != nil {
				return err
			}
		}
	}
	return failed
}

func (v *visits) save() error {
	data, err := json.Marshal(v.state)
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(v.dir, visitsFile), append(data, '\n'))
}
