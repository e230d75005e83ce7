package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp/dnssd"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// agentEvery is how often an idle agent meets its house. Source: local, docs/spec/device-api.md.
const agentEvery = time.Minute

// agentConfig is what a device agent is made of.
type agentConfig struct {
	dir, name, player, tier string
	env                     *Env
	find                    func(context.Context, time.Duration) ([]dnssd.Found, error)
	log                     *slog.Logger
}

// agent runs the commands of a device for its page, one after the other: the
// device's folder is open for one at a time, and free for the command line in
// between. It is safe for concurrent use.
type agent struct {
	agentConfig

	turn chan struct{} // held by who has the folder

	mu    sync.Mutex
	view  httpd.AgentView          // guarded by mu
	names map[ident.Content]string // guarded by mu
	stop  context.CancelFunc       // guarded by mu; of what plays
	work  sync.WaitGroup           // plays and pairings
	root  context.Context          //nolint:containedctx // of the agent's run: what outlives a request ends with it
}

func newAgent(ctx context.Context, cfg agentConfig) *agent {
	return &agent{agentConfig: cfg, root: ctx, turn: make(chan struct{}, 1), view: httpd.AgentView{Name: cfg.name, Titles: []httpd.AgentTitle{}}, names: map[ident.Content]string{}}
}

// take waits for the folder; false: something else goes on for longer.
func (a *agent) take(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case a.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *agent) give() { <-a.turn }

// command runs one command of this device, which has the folder.
func (a *agent) command(ctx context.Context, args ...string) answer {
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: a.env.Now}
	code := Main(ctx, append([]string{"device", "--dir", a.dir}, args...), env)
	return answer{code: code, stdout: out.String(), stderr: errs.String()}
}

// run meets the house when the agent starts and then every agentEvery, until ctx
// ends, and after that waits for what is being done.
func (a *agent) run(ctx context.Context) {
	defer a.work.Wait()
	tick := time.NewTicker(agentEvery)
	defer tick.Stop()
	for {
		a.seek(ctx)
		if a.take(ctx, time.Second) { // else somebody watches
			a.meet(ctx)
			a.look(ctx)
			a.give()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// seek looks for houses in the network while this device belongs to none. Without a
// network that can be asked there are none.
func (a *agent) seek(ctx context.Context) {
	var urls []string
	if a.home() == "" {
		found, _ := a.find(ctx, findWait)
		for _, f := range found {
			urls = append(urls, f.URL)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.view.Found = urls
}

// meet exchanges letters with the house: what was handed over arrives.
func (a *agent) meet(ctx context.Context) {
	if a.home() == "" {
		return
	}
	if got := a.command(ctx, "transfers", "--json"); got.code != statusDone && ctx.Err() == nil {
		a.log.LogAttrs(ctx, slog.LevelInfo, "the house was not met", slog.Int("status", got.code))
	}
}

// home is the house's URL as device.json has it.
func (a *agent) home() string {
	d := &device{dir: a.dir}
	if err := d.load(); err != nil || d.cfg.Server == (ident.Device{}) {
		return ""
	}
	return d.cfg.Home
}

// look reads what the device holds.
func (a *agent) look(ctx context.Context) {
	got := a.command(ctx, "list", "--json")
	var held []trem.Held
	if got.code != statusDone || json.Unmarshal([]byte(got.stdout), &held) != nil {
		return // what was seen before stands
	}
	titles := []httpd.AgentTitle{}
	for _, h := range held {
		titles = append(titles, httpd.AgentTitle{Content: h.Content, Title: a.nameOf(ctx, h.Content), Kind: httpd.KindOf(h), Left: leftHere(h.Counters)})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.view.Titles, a.view.SeenAt = titles, a.env.Now()
}

func leftHere(c license.Counters) string {
	if n := c.PlaysLeft; n != nil {
		return httpd.SayMany("plays-left", *n)
	}
	return httpd.Say("agent.no-limit")
}

// nameOf is the title of a film as its files say, or its ID while they are away.
func (a *agent) nameOf(ctx context.Context, id ident.Content) string {
	a.mu.Lock()
	name := a.names[id]
	a.mu.Unlock()
	if name != "" {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, looksFor)
	defer cancel()
	d := &device{dir: a.dir, now: a.env.Now}
	if err := d.load(); err != nil {
		return id.String()
	}
	if d.cfg.CA != nil { // no module is open here that could be asked for another one
		tr, err := trusting(d.cfg.CA)
		if err != nil {
			return id.String()
		}
		defer tr.CloseIdleConnections()
		d.client = &http.Client{Transport: &proving{d: d, way: tr}}
	}
	src, err := d.playFiles(id, "")
	if err != nil {
		return id.String()
	}
	m, err := src.manifest(ctx)
	if err != nil || m.Title == "" {
		return id.String()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.names[id] = m.Title
	return m.Title
}

// See says how the device is; it waits for nothing.
func (a *agent) See(context.Context) httpd.AgentView {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.view
	if v.Home = a.home(); v.Home != "" {
		v.Found = nil
	}
	return v
}

// orderPatience is how long an order waits for the one before it. Source: local.
const orderPatience = 20 * time.Second

// Order does one thing, or begins to.
func (a *agent) Order(ctx context.Context, o httpd.AgentOrder) (string, error) {
	switch o.Do {
	case httpd.OrderStop:
		return a.end()
	case httpd.OrderPlay:
		return a.play(ctx, o)
	case httpd.OrderPair:
		return a.pair(ctx, o)
	}
	if !a.take(ctx, orderPatience) {
		return "", a.busy()
	}
	defer a.give()
	got := a.command(ctx, a.words(o)...)
	a.look(ctx)
	return a.came(got)
}

// words are the command line of an order. What comes from the page stands behind
// a flag's name or behind --, so that it is never a flag itself.
func (a *agent) words(o httpd.AgentOrder) []string {
	words := []string{o.Do}
	switch o.Do {
	case httpd.OrderFetch:
		words[0] = "download"
	case httpd.OrderLend:
		words = append(words, "--to="+o.To)
		if o.For != "" {
			words = append(words, "--for="+o.For)
		}
	case httpd.OrderMove, httpd.OrderCopy:
		words = append(words, "--to="+o.To)
	}
	return append(words, "--", o.Content.String())
}

// came says what came of a command, to the page and to who asked.
func (a *agent) came(got answer) (string, error) {
	said := strings.TrimSpace(got.stdout)
	if got.code != statusDone {
		said = strings.TrimSpace(strings.ReplaceAll(got.stderr+"\n"+got.stdout, "lares: ", ""))
	}
	a.say(said)
	switch got.code {
	case statusDone:
		return said, nil
	case statusUsage:
		return "", &httpd.OrderError{Status: http.StatusBadRequest, Code: "malformed", Text: said}
	case statusRefused:
		return "", &httpd.OrderError{Status: http.StatusForbidden, Code: "refused", Text: said}
	case statusLater:
		return "", &httpd.OrderError{Status: http.StatusServiceUnavailable, Code: "later", Text: said}
	}
	return "", &httpd.OrderError{Status: http.StatusInternalServerError, Code: "failed", Text: said}
}

func (a *agent) say(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.view.Said, a.view.Busy, a.view.Ask = text, "", ""
}

func (a *agent) busy() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := httpd.Say("agent.busy")
	if a.view.Playing != "" {
		text = httpd.Say("agent.stop-first")
	}
	return &httpd.OrderError{Status: http.StatusConflict, Code: "busy", Text: text}
}

// play starts the player in the background, when the title plays here now.
func (a *agent) play(ctx context.Context, o httpd.AgentOrder) (string, error) {
	if !a.take(ctx, orderPatience) {
		return "", a.busy()
	}
	if err := a.mayPlay(ctx, o); err != nil {
		a.give()
		return "", err
	}
	args := []string{"play", "--player=" + a.player, "--tier=" + a.tier}
	if o.Yes {
		args = append(args, "--yes")
	}
	name := a.nameOf(ctx, o.Content)
	run, stop := context.WithCancel(a.root)
	a.mu.Lock()
	a.view.Playing, a.view.Said, a.view.Ask, a.stop = name, "", "", stop
	a.mu.Unlock()
	a.work.Go(func() {
		defer a.give()
		got := a.command(run, append(args, "--", o.Content.String())...)
		ended := run.Err() != nil
		stop()
		a.mu.Lock()
		a.view.Playing, a.stop = "", nil
		a.mu.Unlock()
		if ended {
			a.say(httpd.Say("watch.stopped"))
		} else {
			_, _ = a.came(got) // the page says it
		}
		a.look(context.WithoutCancel(run))
	})
	return httpd.Say("agent.plays", name), nil
}

// mayPlay asks whether a title plays here now. What begins by playing it wants a yes.
func (a *agent) mayPlay(ctx context.Context, o httpd.AgentOrder) error {
	got := a.command(ctx, "why", "--json", "--", o.Content.String())
	var d license.Decision
	if json.Unmarshal([]byte(got.stdout), &d) != nil {
		_, err := a.came(got)
		return err
	}
	no := slices.ContainsFunc(d.Reasons, func(r license.Reason) bool { return r.Code != license.NeedsConfirm })
	asks := len(d.Confirm) > 0 || len(d.Reasons) > 0
	if !no && (!asks || o.Yes) {
		return nil
	}
	var words bytes.Buffer
	if err := explain(&words, &d); err != nil {
		return err
	}
	text := strings.TrimSpace(strings.ReplaceAll(words.String(), "Add --yes to begin.", ""))
	a.say(text)
	a.mu.Lock()
	defer a.mu.Unlock()
	if no {
		return &httpd.OrderError{Status: http.StatusForbidden, Code: "refused", Text: text}
	}
	a.view.Ask = o.Content
	return &httpd.OrderError{Status: http.StatusForbidden, Code: "confirm", Text: text}
}

// end stops what plays.
func (a *agent) end() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop == nil {
		return "", &httpd.OrderError{Status: http.StatusConflict, Code: "quiet", Text: httpd.Say("agent.quiet")}
	}
	a.stop()
	return httpd.Say("agent.stopping"), nil
}

// codeLine is where the pairing command says its code.
var codeLine = regexp.MustCompile(`(?m)^Code (\S+)$`)

// pair asks a house to admit this device, and waits for its owner in the background.
func (a *agent) pair(ctx context.Context, o httpd.AgentOrder) (string, error) {
	if !a.take(ctx, orderPatience) {
		return "", a.busy()
	}
	a.mu.Lock()
	a.view.Busy, a.view.Said, a.view.Asked = httpd.Say("agent.asking"), "", o.Home
	a.mu.Unlock()
	a.work.Go(func() {
		defer a.give()
		var out bytes.Buffer
		errs := &codeWatch{agent: a}
		env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: errs, Now: a.env.Now}
		code := Main(a.root, []string{"device", "--dir", a.dir, "pair", "--home=" + o.Home, "--name=" + a.name}, env)
		a.mu.Lock()
		a.view.Code, a.view.Asked = "", ""
		a.mu.Unlock()
		_, _ = a.came(answer{code: code, stdout: out.String(), stderr: codeLine.ReplaceAllString(errs.text.String(), "")}) // the page says it
		a.meet(a.root)
		a.look(a.root)
	})
	return httpd.Say("agent.asked"), nil
}

// codeWatch finds the code in what the pairing command says.
type codeWatch struct {
	agent *agent
	text  strings.Builder
}

// Write keeps what is said.
func (w *codeWatch) Write(p []byte) (int, error) {
	n, _ := w.text.Write(p) // never fails
	if m := codeLine.FindStringSubmatch(w.text.String()); m != nil {
		w.agent.mu.Lock()
		w.agent.view.Code, w.agent.view.Busy = m[1], httpd.Say("agent.waiting")
		w.agent.mu.Unlock()
	}
	return n, nil
}
