package conform

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// freshChecks are of a module without certificates.
func freshChecks() []Check {
	return []Check{
		{Name: "REQUEST gives two requests, of two keys that stay, the device ID being of the first", run: checkRequest, gate: true},
		{Name: "NONCE gives 16 bytes, never the same", run: checkNonce},
		{Name: "without certificates, what needs them is STATE", run: checkNotEnrolled},
		{Name: "without a session there is no plaintext", run: checkNoSession},
	}
}

func checkRequest(ctx context.Context, s *subject) error {
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	var keys []*ecdsa.PublicKey
	for range 2 {
		req, err := s.SigningRequest(ctx)
		if err != nil {
			return err
		}
		for _, der := range [][]byte{req.Signing, req.Delivery} {
			key, err := pki.ParseRequest(der)
			if err != nil {
				return err
			}
			keys = append(keys, key)
		}
	}
	spki, err := x509.MarshalPKIXPublicKey(keys[0])
	switch {
	case err != nil:
		return err
	case keys[0].Equal(keys[1]):
		return errors.New("one key signs and delivers")
	case !keys[0].Equal(keys[2]) || !keys[1].Equal(keys[3]):
		return errors.New("asked again, it has other keys")
	case ident.DeviceOf(spki) != st.Device:
		return fmt.Errorf("the device ID is %v; of the identity key it would be %v", st.Device, ident.DeviceOf(spki))
	}
	return nil
}

func checkNonce(ctx context.Context, s *subject) error {
	a, err := s.Nonce(ctx)
	if err != nil {
		return err
	}
	b, err := s.Nonce(ctx)
	if err == nil && (len(a) != 16 || len(b) != 16 || bytes.Equal(a, b)) {
		err = fmt.Errorf("%x, then %x", a, b)
	}
	return err
}

func checkNotEnrolled(ctx context.Context, s *subject) error {
	var errs []error
	ask := trem.Ask{Content: "x", Action: permission.Play, Output: trem.OutputInternal}
	for _, x := range []struct {
		what string
		cmd  trem.Command
		body any
	}{
		{"LEARN", trem.CmdLearn, trem.Learned{Head: []byte{1}, Time: []byte{1}}},
		{"OPEN", trem.CmdOpen, trem.LicenseRequest{Content: "x"}},
		{"RECEIVE", trem.CmdReceive, trem.SLTPMessage{Bytes: []byte{1}}},
		{"EVALUATE", trem.CmdEvaluate, ask},
		{"BEGIN", trem.CmdBegin, ask},
		{"FOUND", trem.CmdFound, trem.None{}},
		{"ADMIT", trem.CmdAdmit, trem.Candidate{}},
		{"JOIN", trem.CmdJoin, trem.Admission{}},
		{"KEYS", trem.CmdKeys, []byte{1}},
	} {
		payload, err := s.order(x.cmd, x.body, nil)
		errs = append(errs, wantNothing(x.what, payload, err, trem.CodeState))
	}
	held, err := s.Licenses(ctx)
	if err == nil && len(held) > 0 {
		err = fmt.Errorf("LICENSES: %d", len(held))
	}
	return errors.Join(append(errs, err)...)
}

func checkNoSession(_ context.Context, s *subject) error {
	var errs []error
	for what, cmd := range map[string]trem.Command{"TRACK": trem.CmdTrack, "DECRYPT": trem.CmdDecrypt, "END": trem.CmdEnd, "LINK-KEYS": trem.CmdLinkKeys} {
		for _, handle := range []uint64{0, 1, ^uint64(0)} {
			payload, err := s.order(cmd, trem.Part{Session: handle}, []byte("\x00\x00\x00\x08mdat"))
			errs = append(errs, wantNothing(fmt.Sprintf("%s of session %d", what, handle), payload, err, trem.CodeUnknown))
		}
	}
	return errors.Join(errs...)
}

// enrollChecks make the module a device of the judge's domain.
func enrollChecks() []Check {
	return []Check{
		{Name: "certificates that are not for its keys, or do not hold, are REJECTED", run: checkBadEnrollment},
		{Name: "ENROLL makes it a device", run: checkEnroll, gate: true},
		{Name: "a second enrollment keeps the root", run: checkEnrollAgain},
		{Name: "the enrollment is durable", run: checkEnrolled, gate: true},
		{Name: "from then on, REQUEST names the certificate that it has", run: checkRenews},
	}
}

func (s *subject) enrollment(ctx context.Context) (trem.Enrollment, error) {
	req, err := s.SigningRequest(ctx)
	if err != nil {
		return trem.Enrollment{}, err
	}
	return s.host.Enrollment(req)
}

func checkBadEnrollment(ctx context.Context, s *subject) error {
	good, err := s.enrollment(ctx)
	if err != nil {
		return err
	}
	other, err := strangers(s)
	if err != nil {
		return err
	}
	bad := map[string]trem.Enrollment{
		"nothing":               {},
		"no root":               {Chain: good.Chain, Delivery: good.Delivery},
		"two roots":             {Chain: good.Chain, Delivery: good.Delivery, Roots: append(bytesTwice(good.Roots), good.Roots...)},
		"a leaf for the root":   {Chain: good.Chain, Delivery: good.Delivery, Roots: good.Chain[:1]},
		"another's keys":        other,
		"another's delivery":    {Chain: good.Chain, Delivery: other.Delivery, Roots: good.Roots},
		"identity for delivery": {Chain: good.Chain, Delivery: good.Chain[0], Roots: good.Roots},
		"delivery for identity": {Chain: append([][]byte{good.Delivery}, good.Chain[1:]...), Delivery: good.Delivery, Roots: good.Roots},
		"a chain without CA":    {Chain: good.Chain[:1], Delivery: good.Delivery, Roots: good.Roots},
		"a changed signature":   {Chain: append([][]byte{flipped(good.Chain[0])}, good.Chain[1:]...), Delivery: good.Delivery, Roots: good.Roots},
		"bytes for a root":      {Chain: good.Chain, Delivery: good.Delivery, Roots: [][]byte{{1, 2, 3}}},
	}
	var errs []error
	for what, e := range bad {
		errs = append(errs, wantCode(what, s.Enroll(ctx, e), trem.CodeRejected))
	}
	st, err := s.Status(ctx)
	if err == nil && (st.Role != "" || len(st.Leaf) > 0) {
		err = fmt.Errorf("after that it is a %s", st.Role)
	}
	return errors.Join(append(errs, err)...)
}

func bytesTwice(list [][]byte) [][]byte { return append([][]byte{}, list...) }

// flipped changes the last byte of an object, which is of its signature.
func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// strangers is an enrollment of keys that the module does not have.
func strangers(s *subject) (trem.Enrollment, error) {
	var req trem.SigningRequest
	for _, to := range []*[]byte{&req.Signing, &req.Delivery} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return trem.Enrollment{}, err
		}
		if *to, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
			return trem.Enrollment{}, err
		}
	}
	return s.host.Enrollment(req)
}

func checkEnroll(ctx context.Context, s *subject) error {
	e, err := s.enrollment(ctx)
	if err != nil {
		return err
	}
	if err := s.Enroll(ctx, e); err != nil {
		return err
	}
	st, err := s.Status(ctx)
	switch {
	case err != nil:
		return err
	case st.Role != pki.Device.String():
		return fmt.Errorf("it is a %q", st.Role)
	case !bytes.Equal(st.Leaf, e.Chain[0]) || len(st.Chain) != len(e.Chain) || !bytes.Equal(st.Delivery, e.Delivery):
		return errors.New("STATUS has other certificates than those it was given")
	case len(st.Roots) != 1 || !bytes.Equal(st.Roots[0], e.Roots[0]):
		return errors.New("STATUS has another root than the one it was given")
	case st.Class == 0:
		return errors.New("STATUS has no class")
	}
	return nil
}

func checkEnrollAgain(ctx context.Context, s *subject) error {
	e, err := s.enrollment(ctx)
	if err != nil {
		return err
	}
	other := e
	other.Roots = e.Chain[len(e.Chain)-1:]
	more := e
	more.Roots = append(bytesTwice(e.Roots), other.Roots...)
	return errors.Join(
		wantCode("another root", s.Enroll(ctx, other), trem.CodeRejected),
		wantCode("a root more", s.Enroll(ctx, more), trem.CodeRejected),
		s.Enroll(ctx, e),
	)
}

func checkEnrolled(ctx context.Context, s *subject) error {
	before, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	after, err := s.Status(ctx)
	if err == nil && (after.Role != before.Role || after.Device != before.Device || after.Incarnation != before.Incarnation || !bytes.Equal(after.Leaf, before.Leaf)) {
		err = fmt.Errorf("on a new stream it is another: a %q, %v", after.Role, after.Device)
	}
	return err
}

func checkRenews(ctx context.Context, s *subject) error {
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	req, err := s.SigningRequest(ctx)
	if err != nil {
		return err
	}
	m, err := pki.ModuleOf(req.Signing)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(st.Leaf); m == nil || !bytes.Equal(m.Renews, sum[:]) {
		return errors.New("an authority cannot tell its renewal from one that is repeated")
	}
	return nil
}
