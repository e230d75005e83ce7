package home

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/lares-drm/lares/security/trem"
)

// PairPath is where a home server takes pairings. Source: local, docs/spec/pairing.md.
const PairPath = "/pair/v1/requests"

const (
	maxPairAnswer = 128 << 10        // bytes of an answer
	pairTimeout   = 15 * time.Second // of one request
)

// ErrNotPaired is returned by Join when the house said no or nobody answered.
var ErrNotPaired = errors.New("home: the house did not admit this device")

// Joining is a device's side of pairing.
type Joining struct {
	URL      string                             // required: the home server
	HTTP     *http.Client                       // nil: http.DefaultClient
	Chain    [][]byte                           // required: the device's certificates, leaf first
	Delivery []byte                             // certificate of the device's delivery key, DER
	Hardware []byte                             // machine ID
	Name     string                             // what the owner will read
	Show     func(code string, until time.Time) // required: shows the code to the device's user
	Poll     time.Duration                      // between questions; default 1 second
}

// PairingAnswer is what a device is told about its pairing.
type PairingAnswer struct {
	State PairingState `json:"state"`
	*Admission
}

// Join asks to belong to the house and waits for the owner. The result is for
// the device's trusted module, which checks it; that its manager is the home
// server whose key went into the code is checked here.
func Join(ctx context.Context, j Joining) (trem.Admission, error) {
	if len(j.Chain) == 0 || j.Show == nil {
		return trem.Admission{}, errors.New("home: Joining needs Chain and Show")
	}
	var nonce [NonceSize]byte
	rand.Read(nonce[:])
	commit := Commit(nonce)
	var open PairingOpening
	offer := PairingOffer{Chain: j.Chain, Delivery: j.Delivery, Commit: commit[:], Hardware: j.Hardware, Name: j.Name}
	if err := j.call(ctx, http.MethodPost, PairPath, offer, &open); err != nil {
		return trem.Admission{}, err
	}
	deviceKey, err := keyHash(j.Chain[0])
	if err != nil {
		return trem.Admission{}, err
	}
	homeKey, err := keyHash(open.Leaf)
	if err != nil || len(open.Nonce) != NonceSize {
		return trem.Admission{}, errors.Join(ErrPairing, err)
	}
	path := PairPath + "/" + url.PathEscape(open.ID)
	if err := j.call(ctx, http.MethodPost, path+"/nonce", map[string][]byte{"nonce": nonce[:]}, nil); err != nil {
		return trem.Admission{}, err
	}
	j.Show(PairingFacts{deviceKey, homeKey, nonce, [NonceSize]byte(open.Nonce)}.Code(), open.Expires)
	a, err := j.wait(ctx, path)
	if err != nil {
		return trem.Admission{}, err
	}
	if got, err := keyHash(a.Manager[0]); err != nil || got != homeKey {
		return trem.Admission{}, fmt.Errorf("%w: the answer is by another home server than the code", ErrNotPaired)
	}
	return trem.Admission{Membership: a.Membership, Manager: a.Manager}, nil
}

// wait asks until the pairing is answered. A home server that restarts in
// between is asked on.
func (j *Joining) wait(ctx context.Context, path string) (*Admission, error) {
	poll := j.Poll
	if poll <= 0 {
		poll = time.Second
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		var a PairingAnswer
		err := j.call(ctx, http.MethodGet, path, nil, &a)
		var lost *url.Error
		if err != nil && (!errors.As(err, &lost) || ctx.Err() != nil) {
			return nil, err
		}
		switch a.State {
		case PairingApproved:
			if a.Admission == nil || len(a.Manager) == 0 {
				return nil, ErrPairing
			}
			return a.Admission, nil
		case PairingRefused, PairingExpired:
			return nil, fmt.Errorf("%w: %s", ErrNotPaired, a.State)
		default: // not answered yet
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrNotPaired, ctx.Err())
		case <-tick.C:
		}
	}
}

// call exchanges one JSON document with the home server.
func (j *Joining) call(ctx context.Context, method, path string, in, out any) error {
	base, err := url.Parse(j.URL)
	if err != nil {
		return fmt.Errorf("home: address of the house: %w", err)
	}
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(ctx, pairTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base.JoinPath(path).String(), body)
	if err != nil {
		return fmt.Errorf("home: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := j.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the house: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(res.Body, maxPairAnswer))
	if err != nil {
		return fmt.Errorf("ask the house: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%w: HTTP status %d", ErrNotPaired, res.StatusCode)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("read the house's answer: %w", err)
	}
	return nil
}
