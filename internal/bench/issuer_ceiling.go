package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	lrphttp "github.com/lares-drm/lares/interconnect/lrp/http"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// Sizes of what goes over the wire for one license that counts, in a session and
// with LRP around it, and of what is sealed in the database. Source: measured
// here, `lares bench issuer`.
const (
	askBytes    = 330
	answerBytes = 1100
	sealedBytes = 850
)

// The paths of the ceiling: HTTP alone, HTTP with one durable transaction, and HTTP
// with a durable transaction that is shared with who else asks.
const (
	emptyPath  = "/empty"
	plainPath  = "/plain"
	sharedPath = "/shared"
)

// empty, plain and shared are a household's side of it.
func (h *household) empty(ctx context.Context, s *loadShop, _ int) error {
	return h.post(ctx, s, emptyPath)
}

func (h *household) plain(ctx context.Context, s *loadShop, _ int) error {
	return h.post(ctx, s, plainPath)
}

func (h *household) shared(ctx context.Context, s *loadShop, _ int) error {
	return h.post(ctx, s, sharedPath)
}

func (h *household) post(ctx context.Context, s *loadShop, path string) error {
	body := make([]byte, askBytes)
	copy(body, h.domain[:])
	data, err := h.fetch(ctx, s, http.MethodPost, path, lrphttp.TypeFrame, body)
	if err == nil && len(data) != answerBytes {
		err = fmt.Errorf("an answer of %d bytes", len(data))
	}
	return err
}

// IssuerCeiling is the process that an issuer is held against: the same server of
// HTTP and the same store, which writes the rows of one license durably for each
// request, and does nothing else: no SLTP, no module, no signature. It prints its URL
// and serves until ctx ends. plain and shared are database files, or with postgres
// connection strings: in the first each request is a transaction of its own, in the
// other one those that come together share theirs, as they do for an issuer.
func IssuerCeiling(ctx context.Context, kind, plain, shared string, out io.Writer) (err error) {
	debug.SetGCPercent(benchGC)
	one, err := openCeiling(ctx, kind, plain)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.db.Close()) }()
	one.db.Apart()
	many, err := openCeiling(ctx, kind, shared)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, many.db.Close()) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+emptyPath, one.serve(func(context.Context, ident.Domain) error { return nil }))
	mux.HandleFunc("POST "+plainPath, one.serve(one.license))
	mux.HandleFunc("POST "+sharedPath, many.serve(many.license))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: lrphttp.Timeout, WriteTimeout: 2 * lrphttp.Timeout}
	go func() {
		<-ctx.Done()
		srv.Close() //nolint:errcheck // the process ends
	}()
	fmt.Fprintln(out, "http://"+listener.Addr().String())
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type ceiling struct {
	db     *store.Store
	answer []byte

	mu  sync.Mutex
	seq map[ident.Domain]uint64 // guarded by mu: the last number of each household
}

func openCeiling(ctx context.Context, kind, where string) (*ceiling, error) {
	open := store.OpenSQLite
	if kind == postgresStore {
		open = store.OpenPostgres
	}
	db, err := open(ctx, where)
	return &ceiling{db: db, answer: make([]byte, answerBytes), seq: map[ident.Domain]uint64{}}, err
}

func (c *ceiling) serve(do func(context.Context, ident.Domain) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
		if err != nil || len(body) < 16 {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		if err := do(r.Context(), ident.Domain(body[:16])); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", lrphttp.TypeFrames)
		w.Write(c.answer) //nolint:errcheck // the peer is gone
	}
}

// license writes what an issuer writes for one license that counts. A household
// that is not known yet gets its grant, as much as it will ever need.
func (c *ceiling) license(ctx context.Context, domain ident.Domain) error {
	key := issuer.GrantKey{Domain: domain, Grant: issuer.GrantID(domain)}
	c.mu.Lock()
	c.seq[domain]++ // a household asks for one thing after another
	tid := ident.Transfer{Src: ident.Device{1}, Dst: ident.Device(domain), Seq: c.seq[domain]}
	c.mu.Unlock()
	if tid.Seq == 1 {
		g := issuer.Grant{ID: key.Grant, Domain: domain, Content: countedTitle, Kind: issuer.Rental, Terms: countedTerms, Remaining: 1 << 40, Version: 1}
		err := c.db.Update(ctx, func(ctx context.Context, tx issuer.Tx) error {
			_, err := tx.PutGrant(ctx, g)
			return err
		})
		if err != nil {
			return err
		}
	}
	is := issuer.Issue{
		Claim: issuer.Claim{Domain: domain, Request: ident.NewRequest(), License: ident.NewLicense(), Transfer: tid, At: 1}, Grant: key, Version: 1,
		License:  issuer.License{Domain: domain, Device: tid.Dst, Grant: key.Grant, State: issuer.Issued, Version: 1, IssuedAt: 1},
		Transfer: issuer.Transfer{Domain: domain, ID: tid, State: issuer.Escrow, Sealed: make([]byte, sealedBytes)},
	}
	is.License.ID, is.License.Request, is.Transfer.License = is.Claim.License, is.Claim.Request, is.Claim.License
	rand.Read(is.Transfer.Sealed) // never returns an error
	ok, err := c.db.Issue(ctx, is)
	if err == nil && !ok {
		err = errors.New("the ceiling's license was not recorded")
	}
	return err
}
