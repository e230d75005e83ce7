package sltp

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Alert is why an exchange or a session ended: the code of an EDHOC error
// message. On the wire it is never authenticated; a receiver ends the attempt
// and changes nothing else.
type Alert int

// The alerts. 1 to 3 are those of RFC 9528 section 6, the others are local
// (docs/spec/sltp.md).
const (
	// AlertRejected: a message did not hold. No detail is given.
	AlertRejected Alert = edhoc.ErrCodeUnspecified
	// AlertSuite: wrong selected suite; carries the suites supported.
	AlertSuite Alert = edhoc.ErrCodeSuites
	// AlertCredential is taken like AlertSendChain; RFC 9528 has it for the same.
	AlertCredential Alert = edhoc.ErrCodeCredential
	// AlertSendChain: the certificate referred to is not held here.
	AlertSendChain Alert = 62224
	// AlertUnknownSession: no such session here; carries the session ID.
	AlertUnknownSession Alert = 62225
	// AlertCertificate: the certificate chain was refused.
	AlertCertificate Alert = 62226
	// AlertIdentity: not the party that was meant, or the receiver itself.
	AlertIdentity Alert = 62227
	// AlertSuiteFloor: the suite is below what policy asks of this peer's class.
	AlertSuiteFloor Alert = 62228
	// AlertStaleEpoch: the sender's revocation state is older than the peer demands.
	AlertStaleEpoch Alert = 62229
	// AlertBusy: too many exchanges are open; try again later.
	AlertBusy Alert = 62230
	// AlertUnsupported: an unknown critical item or version.
	AlertUnsupported Alert = 62231
	// AlertExpired: no answer came in time, or a push is past its end. It is
	// never sent.
	AlertExpired Alert = 62232
	// AlertInternal: the failure is local, not the peer's. It is never sent as such.
	AlertInternal Alert = 62233
	// AlertClock: what came needs a SECURE clock here. It is never sent.
	AlertClock Alert = 62234
	// AlertMode: RSA key transport is off, or the destination has Diffie-Hellman.
	AlertMode Alert = 62235
)

func (a Alert) String() string {
	switch a {
	case AlertRejected:
		return "REJECTED"
	case AlertSuite:
		return "WRONG_SUITE"
	case AlertCredential:
		return "UNKNOWN_CREDENTIAL"
	case AlertSendChain:
		return "SEND_CHAIN"
	case AlertUnknownSession:
		return "UNKNOWN_SESSION"
	case AlertCertificate:
		return "CERTIFICATE"
	case AlertIdentity:
		return "IDENTITY"
	case AlertSuiteFloor:
		return "SUITE_FLOOR"
	case AlertStaleEpoch:
		return "STALE_EPOCH"
	case AlertBusy:
		return "BUSY"
	case AlertUnsupported:
		return "UNSUPPORTED"
	case AlertExpired:
		return "EXPIRED"
	case AlertInternal:
		return "INTERNAL"
	case AlertClock:
		return "CLOCK"
	case AlertMode:
		return "MODE"
	}
	return fmt.Sprintf("ALERT_%d", int(a))
}

// AlertError is a failure with the code that the peer gets. Err is for the
// local log only and names the rule.
type AlertError struct {
	Code Alert
	Err  error
}

func (e *AlertError) Error() string { return fmt.Sprintf("sltp: %v: %v", e.Code, e.Err) }

// Unwrap gives the reason.
func (e *AlertError) Unwrap() error { return e.Err }

func alert(code Alert, format string, args ...any) *AlertError {
	return &AlertError{Code: code, Err: fmt.Errorf(format, args...)}
}

// asAlert gives any error of an exchange its code.
func asAlert(err error) *AlertError {
	if a, ok := errors.AsType[*AlertError](err); ok {
		return a
	}
	if errors.Is(err, edhoc.ErrMalformed) || errors.Is(err, edhoc.ErrRejected) || errors.Is(err, edhoc.ErrTooLong) {
		return &AlertError{Code: AlertRejected, Err: err}
	}
	return &AlertError{Code: AlertInternal, Err: err}
}

// Errors of calls by the host.
var (
	// ErrHandle: no session or exchange has this handle (any more).
	ErrHandle = errors.New("sltp: unknown handle")
	// ErrState: the call does not fit the state of this session.
	ErrState = errors.New("sltp: not possible in this state of the session")
	// ErrTooLarge: more than the protocol or the peer takes in one message.
	ErrTooLarge = errors.New("sltp: message too large")
	// ErrBody: a body is not one strict CBOR item, or not what it claims to be.
	ErrBody = errors.New("sltp: malformed body")
	// ErrEnded: the session has come to its end; a new exchange is needed.
	ErrEnded = errors.New("sltp: session has ended")
	// ErrFull: too many exchanges are open here, or requests in a session.
	ErrFull = errors.New("sltp: too many sessions or requests")
	// ErrSuiteFloor: a license without an end time does not go to this peer in
	// this suite. The host answers with ErrorSuiteFloor instead.
	ErrSuiteFloor = errors.New("sltp: the suite is too weak for a license without an end")
)

// wireAlert is the error message that tells a peer about a failure.
func wireAlert(a *AlertError) edhoc.ErrorMessage {
	code := a.Code
	if code == AlertInternal || code == AlertExpired || code == AlertClock {
		code = AlertRejected
	}
	m := edhoc.ErrorMessage{Code: int(code)}
	if code == AlertRejected {
		m.Text = "rejected"
	}
	if se, ok := errors.AsType[*edhoc.SuiteError](a.Err); ok {
		m.Suites = se.Suites
	}
	return m
}
