package conform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits of how hard the judge presses. Source: local; an issuer of ours serves 512
// requests at once, 16 of one network (docs/spec/issuer-api.md section 9).
const (
	maxHeld = 640
	step    = 16
	// maxRetry is the longest Retry-After that says "come again", in seconds.
	maxRetry = 3600
)

func pressureChecks() []check {
	return []check{{"issuer-api.md 9", "who finds no place is told so with 503 busy and a Retry-After, and is served afterwards", []Role{Issuer}, checkPressure}}
}

// checkPressure begins requests whose bodies do not come, until somebody is turned away.
func checkPressure(ctx context.Context, s *subject) error {
	held, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	early := make(chan answer, maxHeld) // what came though the body did not
	verdict := func() error {
		for range maxHeld / step {
			for range step {
				wg.Go(func() { s.holdOn(held, early) })
			}
			a, err := s.ask(ctx, http.MethodGet, "/api/v1/about", "", nil)
			if err != nil {
				return err
			}
			if a.status != http.StatusOK || decode(a, &struct{}{}) != nil {
				return turnedAway("a request beside others that wait", a)
			}
			select {
			case a := <-early:
				return turnedAway("a request whose body has not come", a)
			default:
			}
		}
		return without("the issuer serves %d requests of one network at once, or gives those up whose bodies do not come", maxHeld)
	}()
	stop()
	wg.Wait()
	if verdict != nil {
		return verdict
	}
	for range 20 { // those that were given up make room
		a, err := s.ask(ctx, http.MethodGet, "/api/v1/about", "", nil)
		if err != nil || a.status == http.StatusOK {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	return fmt.Errorf("when the others have gone: expected to be served, seen to be turned away for five seconds")
}

// holdOn begins a request and sends no body until ctx ends.
func (s *subject) holdOn(ctx context.Context, early chan<- answer) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+pathRedeem, never{ctx})
	if err != nil {
		return
	}
	req.ContentLength = 64
	req.Header.Set("Content-Type", typeJSON)
	res, err := s.cfg.HTTP.Do(req)
	if err != nil {
		return // it was given up, or the connection was refused
	}
	defer res.Body.Close() //nolint:errcheck // read only
	switch res.StatusCode {
	case http.StatusRequestTimeout, http.StatusLengthRequired: // it waits for nobody's body: no word about room
		return
	}
	data, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
	early <- answer{status: res.StatusCode, typ: mediaType(res), header: res.Header, body: data}
}

// never is a body that does not come.
type never struct{ ctx context.Context } //nolint:containedctx // a body has no other way to end

func (n never) Read([]byte) (int, error) {
	<-n.ctx.Done()
	return 0, n.ctx.Err()
}

// turnedAway wants that an answer says to come again, and when: 503, or 429 of an
// issuer that bounds each network.
func turnedAway(what string, a answer) error {
	status := http.StatusServiceUnavailable
	if a.status == http.StatusTooManyRequests {
		status = a.status
	}
	if err := wantProblem(what, a, status, "busy"); err != nil {
		return err
	}
	n, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || n < 1 || n > maxRetry {
		return fmt.Errorf("%s: expected Retry-After with seconds from 1 to %d, seen %.40q", what, maxRetry, a.header.Get("Retry-After"))
	}
	return nil
}
