package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// Agent is a device that is told by its page what to do.
type Agent interface {
	// See says how it is.
	See(ctx context.Context) AgentView
	// Order does one thing, or begins to; said is what came of it, in words.
	Order(ctx context.Context, o AgentOrder) (said string, err error)
}

// AgentView is what the agent's page shows.
type AgentView struct {
	Name    string        `json:"name"`
	Home    string        `json:"home,omitempty"`  // URL of its house; empty: none yet
	Found   []string      `json:"found,omitempty"` // URLs of houses in the network, while it belongs to none
	Code    string        `json:"code,omitempty"`  // of the pairing that waits for the owner's yes
	Asked   string        `json:"asked,omitempty"` // URL of the house that is to say yes
	Playing string        `json:"playing,omitempty"`
	Busy    string        `json:"busy,omitempty"` // what else is being done
	Said    string        `json:"said,omitempty"` // what the last order came to
	Ask     ident.Content `json:"ask,omitempty"`  // begins to run when it is played, which wants a yes
	Titles  []AgentTitle  `json:"titles"`
	SeenAt  time.Time     `json:"seen_at,omitzero"` // the titles were looked at then
}

// Yes is the page of the house on which its owner says yes to this device, for the camera
// of a phone that the house knows: it answers over HTTPS, to addresses and names of home
// networks. "" where the house is known by no such address.
func (v AgentView) Yes() string {
	u, err := url.Parse(v.Asked)
	if err != nil || v.Code == "" || !inHome(u.Host) {
		return ""
	}
	return "https://" + u.Host + "/devices"
}

// AgentTitle is a title that the device holds.
type AgentTitle struct {
	Content ident.Content `json:"content"`
	Title   string        `json:"title"`
	Kind    string        `json:"kind"` // Rental, Loan, Your copy
	Left    string        `json:"left"`
}

// The things that an agent does. Source: local, docs/spec/device-api.md.
const (
	OrderPair   = "pair"
	OrderGet    = "get"
	OrderPlay   = "play"
	OrderStop   = "stop"
	OrderMove   = "move"
	OrderCopy   = "copy"
	OrderLend   = "lend"
	OrderReturn = "return"
	OrderFetch  = "fetch" // the files, to play without the house
)

// AgentOrder is one of them, with what it needs.
type AgentOrder struct {
	Do      string        `json:"do"`
	Content ident.Content `json:"content,omitzero"` // all but pair and stop
	To      string        `json:"to,omitempty"`     // move, copy, lend: a device's name, or house
	For     string        `json:"for,omitempty"`    // lend: 6h, 14d
	Home    string        `json:"home,omitempty"`   // pair: URL of the house
	Yes     bool          `json:"yes,omitempty"`    // play: also when a time begins by it
}

// OrderError is an order that was not carried out, with the HTTP status of it.
type OrderError struct {
	Status int
	Code   string
	Text   string
}

func (e *OrderError) Error() string { return e.Text }

// maxOrder bounds an order, in bytes. Source: local, docs/spec/device-api.md.
const maxOrder = 4 << 10

type agentServer struct {
	agent Agent
	page  *template.Template
	log   *slog.Logger
}

// NewAgent returns the page and the API of a device agent, which answer on this
// machine only, as a house's do.
func NewAgent(a Agent, log *slog.Logger) (http.Handler, error) {
	if a == nil {
		return nil, errors.New("httpd: an agent's page needs an agent")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	page, err := template.New("agent.html").Funcs(pageFuncs()).ParseFS(templateFiles, "templates/agent.html")
	if err != nil {
		return nil, err
	}
	s := &agentServer{agent: a, page: page, log: log}
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	m.HandleFunc("GET /{$}", s.show)
	m.HandleFunc("POST /{$}", s.form)
	m.HandleFunc("GET /yes.png", s.yes)
	m.HandleFunc("GET /api/v1/agent", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, http.StatusOK, a.See(r.Context())) })
	m.HandleFunc("POST /api/v1/orders", s.order)
	m.Handle("GET /static/", http.HandlerFunc(serveStatic))
	m.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "not_found", say("agent.nothing"))
	})
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusForbidden, "cross_origin", say("agent.cross-origin"))
	}))
	return secure(cross.Handler((&server{}).guard(m))), nil
}

func (s *agentServer) show(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	if err := s.page.Execute(&b, s.agent.See(r.Context())); err != nil {
		s.log.LogAttrs(r.Context(), slog.LevelError, "page failed", slog.Any("error", err))
		problem(w, http.StatusInternalServerError, "internal", say("agent.not-shown"))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w) // the client is gone
}

// yes draws the address of the page on which the house's owner says yes.
func (s *agentServer) yes(w http.ResponseWriter, r *http.Request) {
	address := s.agent.See(r.Context()).Yes()
	if address == "" {
		problem(w, http.StatusNotFound, "not_found", say("agent.nothing"))
		return
	}
	png, err := QR(address)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(png) // the client is gone
}

// form is an order of the page, which works without a script.
func (s *agentServer) form(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxOrder)
	if err := r.ParseForm(); err != nil {
		problem(w, http.StatusBadRequest, "malformed", say("agent.unread"))
		return
	}
	o := AgentOrder{Do: r.PostForm.Get("do"), To: r.PostForm.Get("to"), For: r.PostForm.Get("for"), Home: r.PostForm.Get("home"), Yes: r.PostForm.Get("yes") != ""}
	if id := r.PostForm.Get("content"); id != "" {
		if err := o.Content.UnmarshalText([]byte(id)); err != nil {
			problem(w, http.StatusBadRequest, "malformed", say("agent.no-title"))
			return
		}
	}
	if _, err := s.do(r.Context(), o); err != nil && !isOrder(err) {
		s.fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther) // the page says what came of it
}

// order is an order of a program.
func (s *agentServer) order(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "Send application/json.")
		return
	}
	o, err := parseOrder(http.MaxBytesReader(w, r.Body, maxOrder))
	if err != nil {
		problem(w, http.StatusBadRequest, "malformed", say("agent.unread"))
		return
	}
	said, err := s.do(r.Context(), o)
	if err != nil {
		s.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"said": said})
}

// parseOrder reads one JSON value with known keys, and nothing after it.
func parseOrder(r io.Reader) (o AgentOrder, err error) {
	d := json.NewDecoder(io.LimitReader(r, maxOrder+1))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("more than one value")
	}
	return o, nil
}

// do checks that an order has what it needs.
func (s *agentServer) do(ctx context.Context, o AgentOrder) (string, error) {
	need := func(ok bool, text string) error {
		if ok {
			return nil
		}
		return &OrderError{http.StatusBadRequest, "malformed", text}
	}
	about := []string{OrderGet, OrderPlay, OrderMove, OrderCopy, OrderLend, OrderReturn, OrderFetch}
	err := errors.Join(
		need(slices.Contains(append(about, OrderPair, OrderStop), o.Do), say("agent.unknown")),
		need(!slices.Contains(about, o.Do) || o.Content != "", say("agent.which")),
		need(o.Do != OrderPair || o.Home != "", say("agent.where")),
		need(!slices.Contains([]string{OrderMove, OrderCopy, OrderLend}, o.Do) || o.To != "", say("agent.to")),
	)
	if err != nil {
		var first *OrderError
		errors.As(err, &first)
		return "", first
	}
	return s.agent.Order(ctx, o)
}

func isOrder(err error) bool { _, ok := errors.AsType[*OrderError](err); return ok }

func (s *agentServer) fail(w http.ResponseWriter, err error) {
	if e, ok := errors.AsType[*OrderError](err); ok {
		problem(w, e.Status, e.Code, e.Text)
		return
	}
	s.log.LogAttrs(context.Background(), slog.LevelError, "order failed", slog.Any("error", err))
	problem(w, http.StatusInternalServerError, "internal", say("agent.failed"))
}
