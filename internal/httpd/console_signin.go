package httpd

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/lares-drm/lares/internal/caller"
	"github.com/lares-drm/lares/internal/operator"
)

// signInView is the page on which operators sign in.
type signInView struct {
	OIDC    bool
	Problem string
}

func (c *console) signInPage(w http.ResponseWriter, r *http.Request, status int, problem string) {
	c.render(w, r, status, consolePage{Name: "signin", Title: say("console.signin"), Data: signInView{c.OIDC != nil, problem}})
}

// signIn takes a token that was typed, and begins a session.
func (c *console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	by, now := caller.Network(caller.Of(r)), c.Now()
	if d := c.wrong.wait(by, now); d > 0 {
		retryAfter(w, d)
		c.signInPage(w, r, http.StatusTooManyRequests, say("console.signin.many"))
		return
	}
	who, err := c.Desk.Authenticate(r.Context(), strings.TrimSpace(r.PostFormValue("token")))
	if errors.Is(err, operator.ErrUnknown) {
		c.wrong.tried(by, now)
		c.signInPage(w, r, http.StatusUnauthorized, say("console.signin.wrong"))
		return
	}
	c.begin(w, r, who, err)
}

// begin sets the cookie of a new session. Its address is not sent elsewhere, and
// no script sees it.
func (c *console) begin(w http.ResponseWriter, r *http.Request, who *operator.Operator, err error) {
	token := ""
	if err == nil {
		token, err = c.Desk.SignIn(r.Context(), who)
	}
	if err != nil {
		c.Log.LogAttrs(r.Context(), slog.LevelError, "sign-in failed", slog.Any("error", err))
		c.signInPage(w, r, http.StatusInternalServerError, say("console.signin.failed"))
		return
	}
	c.cookie(w, sessionCookie, token, int(operator.SessionLife.Seconds()))
	http.Redirect(w, r, consolePath, http.StatusSeeOther)
}

// cookie sets a cookie of the console; without a value it ends it.
func (c *console) cookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // without TLS only this machine is reached, and a secure cookie would not come back
		Name: name, Value: value, Path: consolePath, MaxAge: seconds, HttpOnly: true, Secure: strings.HasPrefix(c.URL, "https://"),
		SameSite: http.SameSiteLaxMode, // a provider's answer comes from another site; what changes something is a POST
	})
}

func (c *console) signOut(w http.ResponseWriter, r *http.Request) {
	if k, err := r.Cookie(sessionCookie); err == nil {
		if err := c.Desk.SignOut(r.Context(), k.Value); err != nil {
			c.Log.LogAttrs(r.Context(), slog.LevelError, "sign-out failed", slog.Any("error", err))
		}
	}
	c.cookie(w, sessionCookie, "", -1)
	http.Redirect(w, r, "/console/signin", http.StatusSeeOther)
}

// beginOIDC sends the browser to the provider. It is a link, so that no policy
// of ours has to name the provider.
func (c *console) beginOIDC(w http.ResponseWriter, r *http.Request) {
	if c.OIDC == nil {
		c.signInPage(w, r, http.StatusNotFound, say("console.signin.no-oidc"))
		return
	}
	to, state, err := c.OIDC.Begin(r.Context())
	if err != nil {
		c.Log.LogAttrs(r.Context(), slog.LevelWarn, "sign-in not begun", slog.Any("error", err))
		c.signInPage(w, r, http.StatusServiceUnavailable, say("console.signin.away"))
		return
	}
	c.cookie(w, stateCookie, state, 600)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (c *console) finishOIDC(w http.ResponseWriter, r *http.Request) {
	if c.OIDC == nil {
		c.signInPage(w, r, http.StatusNotFound, say("console.signin.no-oidc"))
		return
	}
	kept := ""
	if k, err := r.Cookie(stateCookie); err == nil {
		kept = k.Value
	}
	c.cookie(w, stateCookie, "", -1)
	q := r.URL.Query()
	who, err := c.OIDC.Finish(r.Context(), kept, q.Get("state"), q.Get("code"))
	switch {
	case errors.Is(err, operator.ErrForbidden):
		c.signInPage(w, r, http.StatusForbidden, say("console.signin.no-role"))
	case errors.Is(err, operator.ErrUnknown):
		c.Log.LogAttrs(r.Context(), slog.LevelWarn, "sign-in refused", slog.Any("error", err))
		c.signInPage(w, r, http.StatusUnauthorized, say("console.signin.refused"))
	default:
		c.begin(w, r, who, err)
	}
}
