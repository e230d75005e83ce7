package httpd

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// TitleView is a title as the API and the pages show it: codes for programs,
// words for people.
type TitleView struct {
	Content    ident.Content    `json:"content"`
	Title      string           `json:"title"`
	DurationMS int64            `json:"duration_ms"`
	Poster     string           `json:"poster,omitempty"` // address
	Tiers      []content.Tier   `json:"tiers"`            // best first
	Rated      *uint8           `json:"rated,omitempty"`  // from which age it is in this house, years; none: nobody says
	Held       []trem.Held      `json:"held"`
	Browser    license.Decision `json:"browser"`
	Device     license.Decision `json:"device"`
	Words      TitleWords       `json:"words"`
	Own        string           `json:"-"` // on pages: address of one of the household's own films
}

// TitleWords says about a title what people want to know.
type TitleWords struct {
	Kind    string   `json:"kind,omitempty"` // Rental, Loan, Your copy
	Length  string   `json:"length"`
	Left    []string `json:"left,omitempty"`    // plays, minutes, until when
	Confirm []string `json:"confirm,omitempty"` // to be known before it is played
	Why     []Why    `json:"why,omitempty"`     // why not in the browser, or warnings
	Device  []Why    `json:"device,omitempty"`  // why not on the home server
	Closing []string `json:"closing,omitempty"` // what becomes of it if the shop closes
	InUse   []string `json:"in_use,omitempty"`  // it plays on as many screens as allowed, and may go on here
}

func (s *server) view(r *http.Request, t *home.Title) (TitleView, error) {
	v, err := s.views(r, []*home.Title{t})
	if err != nil {
		return TitleView{}, err
	}
	return v[0], nil
}

// views asks about some titles, in their order.
func (s *server) views(r *http.Request, titles []*home.Title) ([]TitleView, error) {
	ids := make([]ident.Content, 0, len(titles))
	for _, t := range titles {
		ids = append(ids, t.Content)
	}
	rights, err := s.Home.RightsOf(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	out := make([]TitleView, 0, len(titles))
	for i, t := range titles {
		v := viewTitle(t, &rights[i], s.Home.Now())
		if full := s.Home.InUse(r.Context(), t.Content, &v.Browser); full != nil {
			v.Words.Why = nil
			for _, words := range s.inUseWords(full) {
				v.Words.Why = append(v.Words.Why, Why{Sentence: words})
			}
			if full.Ask {
				v.Words.InUse = sentences(v.Words.Why)
			}
		}
		if years, known := s.Home.RatedFrom(t); known {
			v.Rated = &years
		}
		out = append(out, v)
	}
	return out, nil
}

func viewTitle(t *home.Title, rights *home.Rights, now time.Time) TitleView {
	v := TitleView{
		Content: t.Content, Title: t.Title, DurationMS: t.DurationMS,
		Held: rights.Held, Browser: rights.Browser, Device: rights.Device,
		Words: TitleWords{
			Length: length(t.DurationMS), Left: leftOf(&rights.Browser, now), Confirm: ConfirmsOf(&rights.Browser),
			Why: reasonsOf(&rights.Browser), Device: reasonsOf(&rights.Device),
		},
	}
	if len(rights.Held) > 0 {
		v.Words.Kind, v.Words.Closing = KindOf(rights.Held[0]), closingWords(rights.Held)
	}
	if t.Poster != nil {
		v.Poster = "/content/" + url.PathEscape(t.Content.String()) + "/" + t.Poster.Name
	}
	for tier := content.UHD; tier >= content.SD; tier-- {
		for i := range t.Tracks {
			if t.Tracks[i].Tier == tier {
				v.Tiers = append(v.Tiers, tier)
				break
			}
		}
	}
	return v
}

// LibraryView is the answer of GET /api/v1/library.
type LibraryView struct {
	Titles  []TitleView   `json:"titles"`
	Films   []FilmView    `json:"films"`   // the household's own
	Waiting []home.Wanted `json:"waiting"` // asked for at a shop, not answered yet
}

func (s *server) apiLibrary(w http.ResponseWriter, r *http.Request) {
	views, err := s.views(r, s.titles(r, s.Home.Titles()))
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, LibraryView{Titles: views, Films: s.filmViews(r), Waiting: append([]home.Wanted{}, s.Home.Waiting()...)})
}

func (s *server) apiTitle(w http.ResponseWriter, r *http.Request) {
	t, err := s.title(r)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	v, err := s.view(r, t)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// AddRequest is the body of POST /api/v1/library: a packed folder, or one that is
// watched from now on. Of DELETE /api/v1/folders it is one that is not any more.
type AddRequest struct {
	Folder string `json:"folder"` // absolute, on the home server
}

func (s *server) apiAdd(w http.ResponseWriter, r *http.Request) {
	var in AddRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	if !home.IsPacked(in.Folder) {
		s.watch(w, r, in.Folder)
		return
	}
	t, err := s.Home.Add(in.Folder)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	s.Home.LearnCarried(r.Context())
	writeJSON(w, http.StatusCreated, map[string]any{"content": t.Content, "title": t.Title})
}

// ReleaseRequest is the body of POST /api/v1/library/{content}/release.
type ReleaseRequest struct {
	File string `json:"file"` // absolute, on the home server, and new
}

func (s *server) apiRelease(w http.ResponseWriter, r *http.Request) {
	var in ReleaseRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	t, err := s.title(r)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a film takes its time
	out, err := s.Home.Release(r.Context(), t.Content, in.File)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, out)
}

// apiReturn destroys a loan of the house, and says what its library needs to see.
func (s *server) apiReturn(w http.ResponseWriter, r *http.Request) {
	var id ident.Content // of a title that need not be in the library
	if err := id.UnmarshalText([]byte(r.PathValue("id"))); err != nil {
		s.answer(w, r, home.ErrUnknown)
		return
	}
	out, err := s.Home.HandIn(r.Context(), id)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *server) apiFetch(w http.ResponseWriter, r *http.Request) {
	var in home.Wanted
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	if u, err := url.Parse(in.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		problem(w, http.StatusBadRequest, "malformed", "The shop's address must begin with http:// or https://.")
		return
	}
	id, err := s.Home.Fetch(r.Context(), in)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{"license": id})
}

// SessionView is an open playback session.
type SessionView struct {
	ID       string        `json:"id"`
	Content  ident.Content `json:"content"`
	Title    string        `json:"title"`
	Started  time.Time     `json:"started"`
	Screen   string        `json:"screen,omitempty"`  // where it is shown, for people
	FromMS   int64         `json:"from_ms,omitempty"` // where the player begins
	Watch    string        `json:"watch"`             // address of the page that plays it
	Manifest string        `json:"manifest"`          // address for other players
	Playlist string        `json:"playlist"`          // address for players without a key system, where the title may be played there
}

func viewSession(p *home.Playback) SessionView {
	return SessionView{
		ID: p.ID, Content: p.Content, Title: p.Title, Started: p.Started.UTC().Truncate(time.Second), Screen: p.Screen, FromMS: p.From,
		Watch: "/watch/" + p.ID, Manifest: "/play/" + p.ID + "/manifest.mpd", Playlist: "/play/" + p.ID + "/hls/aes-128/main.m3u8",
	}
}

func (s *server) sessionViews() []SessionView {
	out := []SessionView{}
	for _, p := range s.Home.Sessions() {
		out = append(out, viewSession(p))
	}
	return out
}

func (s *server) apiSessions(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"sessions": s.sessionViews()})
}

// PlayBody is the body of POST /api/v1/sessions.
type PlayBody struct {
	Content  ident.Content `json:"content"`
	Confirm  bool          `json:"confirm,omitempty"` // the confirms were shown
	Again    bool          `json:"again,omitempty"`   // a new play, from the start
	FromMS   int64         `json:"from_ms,omitempty"`
	Takeover bool          `json:"takeover,omitempty"` // continue here what plays on another screen
	HDCP     string        `json:"hdcp,omitempty"`     // version that the browser says is on: 1.0, 2.2 or 2.3
}

// protectionOf is what a browser's HDCP version comes to in licenses: 2.2 says
// nothing of the content type, so it counts as type 0.
func protectionOf(hdcp string) (p permission.Protection, ok bool) {
	switch hdcp {
	case "":
		return 0, true
	case "1.0":
		return permission.ProtectHDCP1, true
	case "2.2":
		return permission.ProtectHDCP22, true
	case "2.3":
		return permission.ProtectHDCP23, true
	}
	return 0, false
}

func (s *server) apiPlay(w http.ResponseWriter, r *http.Request) {
	var in PlayBody
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	on, ok := protectionOf(in.HDCP)
	if !ok {
		problem(w, http.StatusBadRequest, "malformed", "hdcp is 1.0, 2.2 or 2.3, or not there.")
		return
	}
	p, err := s.Home.Play(r.Context(), home.PlayRequest{
		Content: in.Content, Confirm: in.Confirm, Again: in.Again, FromMS: in.FromMS, Protection: on, Takeover: in.Takeover, Screen: s.screen(r),
	})
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.Header().Set("Location", "/api/v1/sessions/"+p.ID)
	writeJSON(w, http.StatusCreated, viewSession(p))
}

func (s *server) apiSession(w http.ResponseWriter, r *http.Request) {
	for _, v := range s.sessionViews() { // looking at it is no sign of its player
		if v.ID == r.PathValue("id") {
			writeJSON(w, http.StatusOK, v)
			return
		}
	}
	_, err := s.Home.Playing(r.PathValue("id"))
	if err == nil {
		err = home.ErrUnknown
	}
	s.answer(w, r, err)
}

func (s *server) apiStop(w http.ResponseWriter, r *http.Request) {
	reason := home.StopOwner
	if r.URL.Query().Get("by") == "player" {
		reason = home.StopPlayer
	}
	if err := s.Home.Stop(r.Context(), r.PathValue("id"), reason); err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) apiDevices(w http.ResponseWriter, r *http.Request) {
	list, err := s.Home.Roll(r.Context())
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"devices": list})
}

func (s *server) apiRemove(w http.ResponseWriter, r *http.Request) {
	var id ident.Device
	err := id.UnmarshalText([]byte(r.PathValue("id")))
	if err != nil {
		err = home.ErrUnknown
	} else {
		err = s.Home.RemoveDevice(r.Context(), id)
	}
	if err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// PairingView is a device that waits for the owner.
type PairingView struct {
	ID      string       `json:"id"`
	Device  ident.Device `json:"device"`
	Name    string       `json:"name"`
	Code    string       `json:"code"`
	Expires time.Time    `json:"expires"`
	Tries   int          `json:"tries"`
}

func (s *server) pairingViews() []PairingView {
	out := []PairingView{}
	for _, p := range s.Home.Pending() {
		out = append(out, PairingView{p.ID, p.Device, p.Name, p.Code, p.Expires, p.Tries})
	}
	return out
}

func (s *server) apiPairings(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"pairings": s.pairingViews()})
}

// ApproveRequest is the body of POST /api/v1/pairings/{id}/approve.
type ApproveRequest struct {
	Code string `json:"code"`
	Idle bool   `json:"idle,omitempty"` // in a full house it gets the place of the device that was not seen for the longest time
}

func (s *server) apiApprove(w http.ResponseWriter, r *http.Request) {
	var in ApproveRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	approve := s.Home.Approve
	if in.Idle {
		approve = s.Home.ApproveInPlace
	}
	d, err := approve(r.Context(), r.PathValue("id"), in.Code)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": d.ID, "name": d.Name})
}

func (s *server) apiRefuse(w http.ResponseWriter, r *http.Request) {
	if err := s.Home.RefusePairing(r.PathValue("id")); err != nil {
		s.answer(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// StatusView is the answer of GET /api/v1/status.
type StatusView struct {
	Module trem.Status `json:"module"`
	Health home.Health `json:"health"`
}

func (s *server) apiStatus(w http.ResponseWriter, r *http.Request) {
	st, err := s.Home.Status(r.Context())
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, StatusView{Module: st, Health: s.Home.Health()})
}

func (s *server) apiLearn(w http.ResponseWriter, r *http.Request) {
	if err := s.Home.Learn(r.Context()); err != nil {
		s.Log.LogAttrs(r.Context(), slog.LevelWarn, "authority not heard", slog.Any("error", err))
		s.answer(w, r, home.ErrAway)
		return
	}
	s.apiStatus(w, r)
}

func (s *server) apiPairwise(w http.ResponseWriter, r *http.Request) {
	var issuer ident.Issuer
	if err := issuer.UnmarshalText([]byte(r.URL.Query().Get("issuer"))); err != nil {
		problem(w, http.StatusBadRequest, "malformed", "The query needs issuer=, the ID of a shop.")
		return
	}
	d, err := s.Home.Pairwise(r.Context(), issuer)
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"issuer": issuer, "domain": d})
}
