package home

import (
	"context"
	"log/slog"
	"sync"

	"github.com/lares-drm/lares/license/ident"
)

// protecting are the films that are being protected, one after the other.
type protecting struct {
	step  sync.Mutex // held while a license and its folder are brought into agreement
	queue chan *protectJob

	mu   sync.Mutex
	jobs map[ident.Content]*protectJob // guarded by mu; those that failed stay until the next try
	over error                         // guarded by mu; why no more are taken: the house goes off
}

type protectJob struct {
	id    ident.Content
	ended chan struct{} // closed when out and now.Err hold

	out Protected  // set before ended is closed
	now Protecting // guarded by protecting.mu

	cancel    context.CancelFunc // guarded by protecting.mu; nil: it waits for its turn
	withdrawn bool               // guarded by protecting.mu
}

func newProtecting() *protecting {
	return &protecting{queue: make(chan *protectJob, maxProtecting), jobs: map[ident.Content]*protectJob{}}
}

// protectFilms brings licenses and folders into agreement after a start, and protects what
// it is told to, until ctx ends.
func (h *Home) protectFilms(ctx context.Context) error {
	h.settleOwn(ctx)
	for {
		select {
		case <-ctx.Done():
			h.protecting.stop(ctx.Err())
			return ctx.Err()
		case j := <-h.protecting.queue:
			h.protectOne(ctx, j)
		}
	}
}

// stop ends all that wait for their turn.
func (p *protecting) stop(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = why
	for {
		select {
		case j := <-p.queue:
			if !j.withdrawn {
				p.end(j, Protected{}, why)
			}
		default:
			return
		}
	}
}

// end says how a job has ended. The caller holds mu.
func (p *protecting) end(j *protectJob, out Protected, err error) {
	if err != nil && j.withdrawn {
		err = ErrWithdrawn
	}
	if j.out, j.now.Err = out, err; err == nil || j.withdrawn {
		delete(p.jobs, j.id)
	}
	close(j.ended)
}

// callOff has a film not protected that is being protected or waits for it, and waits
// until that has ended, either way; false: nobody asked for it.
func (h *Home) callOff(ctx context.Context, id ident.Content) (bool, error) {
	p := h.protecting
	p.mu.Lock()
	j := p.jobs[id]
	if failed := j != nil && j.now.Err != nil; j == nil || failed {
		p.mu.Unlock()
		return false, nil
	}
	j.withdrawn = true
	if j.cancel != nil {
		j.cancel()
	} else {
		p.end(j, Protected{}, ErrWithdrawn)
	}
	p.mu.Unlock()
	h.publish(Event{Kind: EventLibrary})
	select {
	case <-j.ended:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (h *Home) protectOne(ctx context.Context, j *protectJob) {
	packing, cancel := context.WithCancel(ctx)
	defer cancel()
	p := h.protecting
	p.mu.Lock()
	j.cancel = cancel
	withdrawn := j.withdrawn
	p.mu.Unlock()
	if withdrawn { // while it waited
		return
	}
	out, err := h.protect(packing, j)
	p.mu.Lock()
	p.end(j, out, err)
	p.mu.Unlock()
	if err != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "an own film is not protected", slog.Any("error", err))
	} else {
		h.log.LogAttrs(ctx, slog.LevelInfo, "an own film is protected")
	}
	h.publish(Event{Kind: EventLibrary})
}
