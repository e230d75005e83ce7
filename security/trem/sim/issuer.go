package sim

import (
	"encoding/binary"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// request asks the issuer for a license. Its ID is the same however often it is sent.
type request struct {
	id    ident.Request
	from  int
	asset asset
	units units
}

// opRequest asks for a license, or once more for one that was asked for.
func (w *World) opRequest(b *box) error {
	if b.index == 0 {
		return nil
	}
	r := request{from: b.index, asset: asset{License: w.rnd.Uint64N(uint64(len(w.issued)))}, units: units{Plays: 1 + w.rnd.Uint64N(3), Copies: w.rnd.Uint64N(2)}}
	binary.BigEndian.PutUint64(r.id[:], uint64(len(w.asked)+1))
	if n := len(w.asked); n > 0 && w.rnd.IntN(2) == 0 {
		if r = w.asked[w.rnd.IntN(n)]; r.from != b.index {
			return nil
		}
	} else {
		w.asked = append(w.asked, r)
	}
	w.relay.put(&letter{from: b.index, to: 0, request: &r, kind: "request"})
	w.note("box %d asks for license %d (request %x)", b.index, r.asset.License, r.id[:8])
	return nil
}

// issue answers a request: the issuer's row of the request and the transfer
// come into being in one batch, so that a repetition leads to the same.
func (w *World) issue(b *box, l *letter) error {
	r, to := l.request, w.boxes[l.from]
	if w.cfg.Mutant != NoRequests {
		if x := b.src.ByRequest(to.id, r.id); x != nil {
			return w.post(b, x)
		}
		if tid, ok := b.src.ClosedRequest(to.id, r.id); ok {
			m, err := b.src.Answer(tid)
			if err != nil {
				return err
			}
			return w.post(b, m)
		}
	}
	if h := b.account.have[r.asset]; h.Plays < r.units.Plays || h.Copies < r.units.Copies {
		return nil // sold out
	}
	return w.prepare(b, to, entry{Op: transfer.OpIssue, Asset: r.asset, Units: r.units}, false, nil, r.id)
}

func unmarshal(data []byte, v any) error { return wire.Unmarshal(data, v, limit()) }
