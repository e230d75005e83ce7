package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
)

// Those who do their worst. Source: local.
const (
	hostileCallers = 32
	hostilePause   = 50 * time.Millisecond // between two attempts of one of them: what they do is not to use up the processor that they share with the service
	hostileFrom    = "203.0.113.9"         // the network that they come from, as a proxy of this machine says
	hostileBody    = 16 << 20              // bytes that they would send
	honest         = 16                    // households beside them
	maxHostile     = 2                     // times the wait of 99 of 100 without them
)

// hostile is one attempt of one who does its worst.
type hostile func(ctx context.Context, h *household, s *loadShop) error

func hostiles() map[string]hostile {
	return map[string]hostile{
		"slow bodies":           slowBody,
		"huge bodies":           hugeBody,
		"floods of one network": flood,
		"half-open handshakes":  halfOpen,
	}
}

// besides lets hostile callers work until stop is called. That they are turned
// away is no error.
func (o *loadOrder) besides(ctx context.Context, h *household, s *loadShop) (stop func()) {
	do := hostiles()[o.Hostile]
	if do == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range hostileCallers {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = do(ctx, h, s)
				_ = wait(ctx, hostilePause)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// slowBody begins a request and sends a byte of it at a time.
func slowBody(ctx context.Context, _ *household, s *loadShop) error {
	c, err := dialShop(ctx, s)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // it is given up
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: %s\r\nContent-Type: %s\r\nContent-Length: 4000\r\n\r\n", lrphttp.Path, hostileFrom, lrphttp.TypeFrame); err != nil {
		return err
	}
	for {
		if _, err := c.Write([]byte{0}); err != nil {
			return err
		}
		if err := wait(ctx, hostilePause); err != nil {
			return err
		}
	}
}

// hugeBody sends more than any request has, until it is told to stop.
func hugeBody(ctx context.Context, _ *household, s *loadShop) error {
	c, err := dialShop(ctx, s)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // as above
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", lrphttp.Path, hostileFrom, lrphttp.TypeFrame, hostileBody); err != nil {
		return err
	}
	piece := make([]byte, 64<<10)
	for sent := 0; sent < hostileBody && ctx.Err() == nil; sent += len(piece) {
		if _, err := c.Write(piece); err != nil {
			return err
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		err = res.Body.Close()
	}
	return err
}

func dialShop(ctx context.Context, s *loadShop) (net.Conn, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(2 * time.Second)) //nolint:forbidigo // a socket's deadline
}

// flood asks for what costs the shop a look into its database.
func flood(ctx context.Context, h *household, s *loadShop) error {
	return h.hostilePost(ctx, http.MethodGet, s.URL+s.Status[h.n], "", nil)
}

// halfOpen begins a handshake, each time a new one, and does not go on with it.
func halfOpen(ctx context.Context, h *household, s *loadShop) error {
	now := time.Now() //nolint:forbidigo // a household's clock
	end, err := h.twin()
	if err != nil {
		return err
	}
	_, msgs, err := end.Open(s.Device, sltp.Request{Purpose: sltp.PurposeLicense, ReqID: ident.NewRequest(), Body: sltp.Body{0x80}}, now)
	if err != nil {
		return err
	}
	body, err := lrp.SLTP{CID: msgs[0].CID, Message: msgs[0].Bytes}.Encode()
	if err != nil {
		return err
	}
	var from lrp.Addr
	rand.Read(from[:]) // never returns an error
	data, err := lrp.NewTransaction(lrp.Addr(s.Device), from, now, lrp.Life).Next(lrp.TypeSLTP, body).Encode()
	if err != nil {
		return err
	}
	return h.hostilePost(ctx, http.MethodPost, s.URL+lrphttp.Path, lrphttp.TypeFrame, data)
}

func (h *household) hostilePost(ctx context.Context, method, at, typ string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	req.Header.Set("X-Forwarded-For", hostileFrom)
	if typ != "" {
		req.Header.Set("Content-Type", typ)
	}
	res, err := h.crowd.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

// hostile measures what honest households wait beside hostile callers, against what
// they wait without them: they take turns.
func (r *issuerRun) hostile(context.Context) (rows []Row, err error) {
	n := min(honest, r.scale.crowd())
	for _, name := range []string{"slow bodies", "huge bodies", "floods of one network", "half-open handshakes"} {
		var ratio []float64
		for range 2*r.scale.rounds - 1 {
			var p99 [2]float64
			for i, who := range []string{"", name} {
				t, err := r.take(loadOrder{Do: "handshake", Clients: n, MS: 2 * r.scale.turn, Hostile: who})
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				p99[i] = t.P99
			}
			ratio = append(ratio, p99[1]/p99[0])
		}
		rows = append(rows, AtMost(fmt.Sprintf("%s: wait of others, 99 of 100, against without", name), round2(median(ratio)), unitTimes, maxHostile))
	}
	return rows, nil
}
