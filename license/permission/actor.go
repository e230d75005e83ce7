package permission

import "github.com/lares-drm/lares/license/ident"

// Items of the actor unit. Source: local.
const (
	itemContent  uint8 = 0x01
	itemIssuer   uint8 = 0x02
	itemReceiver uint8 = 0x03
)

// ReceiverKind says what a receiver ID names. The numbers are those of a
// license's subject. Source: local.
type ReceiverKind uint8

// The receivers.
const (
	ReceiverDomain ReceiverKind = 1
	ReceiverDevice ReceiverKind = 2
	ReceiverUser   ReceiverKind = 3
)

// Receiver is a permission receiver ID with its kind; the zero Receiver means
// none.
type Receiver struct {
	Kind ReceiverKind
	ID   [ident.Size]byte
}

// ActorUnit says who permits what to whom: content ID, permission issuer ID
// and permission receiver ID, each optional. Source: IEC 62227 permission actor.
type ActorUnit struct {
	Content  ident.Content
	Issuer   ident.Issuer
	Receiver Receiver
	Extra    []Item
}

func (a *ActorUnit) items() []Item {
	var w itemWriter
	w.bytes(itemContent, []byte(a.Content))
	w.bytes(itemIssuer, []byte(a.Issuer))
	if a.Receiver.Kind != 0 {
		w.bytes(itemReceiver, append([]byte{byte(a.Receiver.Kind)}, a.Receiver.ID[:]...))
	}
	return w.with(a.Extra)
}

func (a *ActorUnit) decode(items []Item) error {
	var r itemReader
	for _, it := range items {
		switch it.Tag {
		case itemContent:
			if err := a.Content.UnmarshalBinary(r.bytes(it)); err != nil {
				r.fail(it, "content ID")
			}
		case itemIssuer:
			if err := a.Issuer.UnmarshalBinary(r.bytes(it)); err != nil {
				r.fail(it, "issuer ID")
			}
		case itemReceiver:
			b := r.bytes(it)
			if len(b) != 1+ident.Size || b[0] < 1 || b[0] > 3 {
				r.fail(it, "receiver ID")
				continue
			}
			a.Receiver = Receiver{ReceiverKind(b[0]), [ident.Size]byte(b[1:])}
		default:
			a.Extra = append(a.Extra, it)
		}
	}
	return r.err
}
