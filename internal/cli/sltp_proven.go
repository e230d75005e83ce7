package cli

import (
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// proven says what the receiver of a message knows once it was accepted, and
// what of that is proven. Source: docs/spec/sltp.md, "Order of checks".
func proven(name string, t transit) []string {
	who := fmt.Sprintf("%s %.8s", t.from.role, t.from.id)
	switch name {
	case nameMessage1:
		return []string{
			"the source knows a key share and where to answer; nothing is proven: anybody could have written this",
		}
	case nameMessage2:
		return []string{
			"the chain holds: the sender is certified as " + who + ", the source that was meant",
			"Signature_2 holds over TH_2, which contains G_X: the source signed after message_1 was sent, and has seen what was sent",
			"only now EAD_2 counts: the source's revocation epoch, and its time, which was true since message_1",
		}
	case nameMessage3:
		return []string{
			"the tag holds under K_3: the sender has G_XY",
			"the chain holds, and Signature_3 over TH_3, which contains G_Y: it is " + who + ", now",
			"only now EAD_3 counts: the host is asked, and answers with message_4",
		}
	case nameMessage4:
		return []string{
			"the tag holds under TH_4: the source has the same keys and has seen the same exchange, certificates included",
			"the reply is to this req_id; the session stands on both sides, and the key shares are gone",
		}
	case nameApp:
		return []string{
			"the tag holds under the session's key, for this direction and this seq, which was not seen before: it is " + who,
		}
	}
	return nil
}

// alertIn reads an alert.
func alertIn(msg []byte) ([]tracedField, error) {
	m, err := edhoc.ParseError(msg)
	if err != nil {
		return nil, err
	}
	f := []tracedField{{Name: "code", Value: fmt.Sprint(m.Code), Note: sltp.Alert(m.Code).String()}}
	switch m.Code {
	case edhoc.ErrCodeUnspecified:
		f = append(f, tracedField{Name: "info", Value: m.Text, Note: "never more detail"})
	case edhoc.ErrCodeSuites:
		f = append(f, tracedField{Name: "info", Value: fmt.Sprint(m.Suites), Note: "SUITES_R"})
	}
	return f, nil
}

// appMessage reads an APP message: [re, body], whose body here is a request or
// a reply of the session.
func (o *observer) appMessage(msg []byte, from string) ([]tracedField, error) {
	direction := uint64(0)
	if from == source {
		direction = 1
	}
	plain, fields, err := o.app(msg, direction)
	if err != nil {
		return nil, err
	}
	in, items, err := named(plain, "re", "body")
	if err != nil || len(items) != 2 {
		return nil, errFields
	}
	in[0].Note = "the seq that this answers"
	body, err := wire.Array(items[1], 2, 2, traceLimit())
	if err != nil {
		return nil, err
	}
	read, kind := requestIn, "request in the session"
	if plainly(body[0]) == fmt.Sprint(sltp.NumberReply) {
		read, kind = replyIn, "reply in the session"
	}
	_, inner, err := read(body[1])
	in[1] = tracedField{Name: "body", Value: plainly(body[0]), Note: kind, Fields: inner}
	return append(fields, tracedField{Name: "plaintext", Fields: in}), err
}
