//go:build pkcs11 && cgo

package pkcs11

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/lares-drm/lares/security/keystore"
)

// token is an open token with its user logged in. Each use of it has a session
// of its own, since a session does one thing at a time.
type token struct {
	ctx           *pkcs11.Ctx
	slot          uint
	label, serial string

	mu   sync.Mutex
	idle []pkcs11.SessionHandle
}

// connect loads the library and logs in. A process has one token open: a
// library has one login for all of it.
func connect(cfg Config, want func(pkcs11.TokenInfo) bool) (*token, error) {
	ctx := pkcs11.New(cfg.Module)
	if ctx == nil {
		return nil, fmt.Errorf("keystore: %s is not a PKCS#11 library that can be loaded", cfg.Module)
	}
	t := &token{ctx: ctx}
	if err := ctx.Initialize(); err != nil {
		ctx.Destroy()
		return nil, fmt.Errorf("keystore: start the PKCS#11 library: %w", gone(err))
	}
	err := t.find(want)
	if err == nil {
		err = t.login(cfg.PIN)
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// login logs the user in. Its session stays open: a token that has none left
// logs the user out.
func (t *token) login(pin []byte) error {
	s, err := t.session()
	if err != nil {
		return err
	}
	err = t.ctx.Login(s, pkcs11.CKU_USER, string(pin))
	switch {
	case is(err, pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_ARGUMENTS_BAD): // the last of an empty one
		return fmt.Errorf("%w: %w", keystore.ErrPIN, err)
	case is(err, pkcs11.CKR_PIN_LOCKED):
		return fmt.Errorf("%w: after too many wrong ones, and now none: %w", keystore.ErrPIN, err)
	case err != nil:
		return fmt.Errorf("keystore: log in to the token: %w", gone(err))
	}
	return nil
}

// find looks for the token among all that the library knows.
func (t *token) find(want func(pkcs11.TokenInfo) bool) error {
	slots, err := t.ctx.GetSlotList(true)
	if err != nil {
		return fmt.Errorf("keystore: list tokens: %w", gone(err))
	}
	found := 0
	for _, slot := range slots {
		info, err := t.ctx.GetTokenInfo(slot)
		if err != nil {
			continue // a slot without a token, or with one that does not answer
		}
		info.Label, info.SerialNumber = strings.TrimRight(info.Label, " \x00"), strings.TrimRight(info.SerialNumber, " \x00")
		if want(info) {
			t.slot, t.label, t.serial = slot, info.Label, info.SerialNumber
			found++
		}
	}
	switch found {
	case 0:
		return fmt.Errorf("%w: the library has %d tokens, and this one is not among them", keystore.ErrGone, len(slots))
	case 1:
		return nil
	}
	return fmt.Errorf("keystore: %d tokens have this label", found)
}

// session gives a session that nobody uses.
func (t *token) session() (pkcs11.SessionHandle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.idle); n > 0 {
		s := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return s, nil
	}
	s, err := t.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return 0, fmt.Errorf("keystore: open a session: %w", gone(err))
	}
	return s, nil
}

func (t *token) put(s pkcs11.SessionHandle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = append(t.idle, s)
}

// do gives f a session of its own. One in which something failed is not used
// again: an operation may still be open in it.
func (t *token) do(f func(pkcs11.SessionHandle) error) error {
	s, err := t.session()
	if err != nil {
		return err
	}
	if err := f(s); err != nil {
		_ = t.ctx.CloseSession(s) // the failure is what counts
		return gone(err)
	}
	t.put(s)
	return nil
}

// close ends all sessions, the login and the library.
func (t *token) close() error {
	err := t.ctx.Finalize()
	t.ctx.Destroy()
	if err != nil {
		return fmt.Errorf("keystore: stop the PKCS#11 library: %w", err)
	}
	return nil
}

// object finds the one object of a class and an ID.
func (t *token) object(s pkcs11.SessionHandle, class uint, id []byte) (pkcs11.ObjectHandle, error) {
	all, err := t.objects(s, class, id)
	if err != nil {
		return 0, err
	}
	if len(all) != 1 {
		return 0, fmt.Errorf("%w: the token has %d of its keys, want 1", keystore.ErrGone, len(all))
	}
	return all[0], nil
}

func (t *token) objects(s pkcs11.SessionHandle, class uint, id []byte) (all []pkcs11.ObjectHandle, err error) {
	if err := t.ctx.FindObjectsInit(s, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
	}); err != nil {
		return nil, err
	}
	all, _, err = t.ctx.FindObjects(s, 2)
	return all, errors.Join(err, t.ctx.FindObjectsFinal(s))
}

// says reports whether an object's attributes are all true.
func (t *token) says(s pkcs11.SessionHandle, o pkcs11.ObjectHandle, attributes ...uint) (bool, error) {
	var ask []*pkcs11.Attribute
	for _, a := range attributes {
		ask = append(ask, pkcs11.NewAttribute(a, nil))
	}
	got, err := t.ctx.GetAttributeValue(s, o, ask)
	if err != nil {
		return false, err
	}
	for _, a := range got {
		if !bytes.Equal(a.Value, []byte{1}) {
			return false, nil
		}
	}
	return true, nil
}

func is(err error, codes ...pkcs11.Error) bool {
	e, ok := errors.AsType[pkcs11.Error](err)
	return ok && slices.Contains(codes, e)
}

// gone adds keystore.ErrGone to what a library says when its token is not
// there, or no longer the one that was opened.
func gone(err error) error {
	if is(err, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_GENERAL_ERROR,
		pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_USER_NOT_LOGGED_IN,
		pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED) && !errors.Is(err, keystore.ErrGone) {
		return fmt.Errorf("%w: %w", keystore.ErrGone, err)
	}
	return err
}
