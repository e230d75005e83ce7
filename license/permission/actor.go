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

func (a *ActorUnit) code(c *coder) {
	c.begin(TagActor, a.Extra)
	text(c, itemContent, &a.Content)
	if len(a.Content) > ident.MaxOpaque {
		c.fail(itemContent, "longer than %d bytes", ident.MaxOpaque)
	}
	text(c, itemIssuer, &a.Issuer)
	if len(a.Issuer) > ident.MaxOpaque {
		c.fail(itemIssuer, "longer than %d bytes", ident.MaxOpaque)
	}
	a.Receiver.code(c)
	c.end(&a.Extra)
}

func (r *Receiver) code(c *coder) {
	if c.reading {
		b := c.once(itemReceiver)
		if b == nil {
			return
		}
		if len(b) != 1+ident.Size || b[0] == 0 {
			c.fail(itemReceiver, "not a kind and %d bytes", ident.Size)
			return
		}
		*r = Receiver{ReceiverKind(b[0]), [ident.Size]byte(b[1:])}
	}
	if r.Kind > ReceiverUser {
		c.fail(itemReceiver, "kind %d is more than %d", r.Kind, ReceiverUser)
	}
	if c.reading {
		return
	}
	c.before(itemReceiver)
	switch {
	case r.Kind != 0:
		var b [1 + ident.Size]byte
		b[0] = byte(r.Kind)
		copy(b[1:], r.ID[:])
		put(c, itemReceiver, b[:])
	case r.ID != [ident.Size]byte{}:
		c.fail(itemReceiver, "an ID without a kind")
	}
}
