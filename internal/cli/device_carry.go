package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/file"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

func newDeviceCarryCmd(env *Env, dir *string) *cobra.Command {
	var folder, relay string
	cmd := &cobra.Command{
		Use:   "carry",
		Short: "Exchange letters with the house by a folder, such as on a stick, or by a relay's mailbox",
		Long: `For a device without a network, such as a car. It takes the letters that the house has
put into the folder, and leaves there what it has to say: what was moved or lent to it
arrives, and what it gives goes out. It also asks for the safety list (what is revoked)
when the house has a newer one. Then the stick goes to the house
(lares home serve --folder), and comes back hours or days later. A stick that is pulled
out in the middle is put in again; nothing is lost or done twice.

With --relay the letters go by the mailbox of a relay (lares relay serve --mail): the
house, or another device, takes them there when it comes, and nobody waits for anybody.`,
		Example: `  lares device carry --folder /media/stick/lares
  lares device carry --folder /media/stick/lares --json
  lares device carry --relay https://relay.example:7711#de78fa472c2a14f98ad92c4ae0819a00`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDevice(env, *dir, func(d *device) error {
				got, err := d.carryBy(cmd.Context(), env, folder, relay)
				if err != nil {
					return err
				}
				return env.print(cmd, got, func(w io.Writer) error {
					p := printer{w: w}
					p.line("%d letters taken, %d left.", got.Taken, got.Left)
					if got.Epoch > 0 {
						p.line("The safety list is of epoch %d now.", got.Epoch)
					}
					return p.err
				})
			})
		},
	}
	cmd.Flags().StringVar(&folder, "folder", "", "the folder")
	cmd.Flags().StringVar(&relay, "relay", "", "the relay, as it prints itself: URL#ADDRESS")
	cmd.MarkFlagsOneRequired("folder", "relay")
	cmd.MarkFlagsMutuallyExclusive("folder", "relay")
	return cmd
}

// carryBy exchanges letters by the folder, or else by the relay.
func (d *device) carryBy(ctx context.Context, env *Env, folder, relay string) (carried, error) {
	if d.cfg.Home == "" {
		return carried{}, errors.New("this device belongs to no house yet: lares device pair")
	}
	if relay == "" {
		return d.carry(ctx, env, folder)
	}
	at, err := parseMailRelay(relay)
	if err != nil {
		return carried{}, err
	}
	return d.carryRelay(ctx, env, at)
}

// carried is what `device carry --json` prints.
type carried struct {
	Taken int `json:"taken"`
	Left  int `json:"left"`

	Epoch uint64 `json:"epoch,omitzero"` // of the revocation state that the folder brought
}

// maxLeft bounds the frames that wait for an answer in a folder. Source: local.
const maxLeft = 256

func (d *device) carry(ctx context.Context, env *Env, folder string) (out carried, err error) {
	st, err := d.trem.Status(ctx)
	if err != nil {
		return out, err
	}
	c := &file.Client{Dir: folder, Who: introduction(d.trem, st.Device, d.cfg.Server)}
	if err := c.Prepare(lrp.Addr(st.Device)); err != nil {
		return out, away(err)
	}
	if out.Epoch, err = d.carryInquiry(ctx, env, c, st); err != nil {
		return out, away(err)
	}
	var letters []trem.Letter
	if out.Taken, letters, err = d.takeAnswers(ctx, env, c); err != nil {
		return out, away(err)
	}
	n, more, err := d.takeMail(ctx, c, st.Device)
	if out.Taken += n; err != nil {
		return out, away(err)
	}
	out.Left, err = d.leaveLetters(ctx, env, append(letters, more...), func(l trem.Letter) error {
		f, err := d.letterFrame(env, st.Device, l)
		if err == nil {
			err = c.Leave(ctx, f)
		}
		if err != nil {
			return away(err)
		}
		return d.awaits(f)
	})
	return out, err
}

// errNotLeft is a letter that stays here while others are left.
var errNotLeft = errors.New("the letter is not left")

// leaveLetters leaves what is to be said now, and what was not answered for a day.
func (d *device) leaveLetters(ctx context.Context, env *Env, letters []trem.Letter, leave func(trem.Letter) error) (n int, err error) {
	got, err := d.trem.Letters(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range append(letters, got.Letters...) {
		if l.Again && env.Now().Sub(d.cfg.Sent[topicOf(l)]) < resendAfter {
			continue
		}
		switch err := leave(l); {
		case errors.Is(err, errNotLeft):
			continue
		case err != nil:
			return n, errors.Join(err, d.save())
		}
		if d.cfg.Sent == nil || len(d.cfg.Sent) >= maxSent {
			d.cfg.Sent = map[string]time.Time{}
		}
		d.cfg.Sent[topicOf(l)] = env.Now().UTC().Truncate(time.Second)
		n++
		if err := d.save(); err != nil {
			return n, err
		}
	}
	return n, d.save()
}

// maxRelays bounds the relays whose mailboxes are remembered. Source: local.
const maxRelays = 16

// carryRelay exchanges letters by a relay's mailbox.
func (d *device) carryRelay(ctx context.Context, env *Env, at mailRelay) (out carried, err error) {
	st, err := d.trem.Status(ctx)
	if err != nil {
		return out, err
	}
	c, err := at.client(introduction(d.trem, st.Device, ident.Device(at.addr)), d.cfg.CA, env.Now)
	if err != nil {
		return out, err
	}
	name := at.addr.String()
	if _, known := d.cfg.Relays[name]; d.cfg.Relays == nil || !known && len(d.cfg.Relays) >= maxRelays {
		d.cfg.Relays = map[string]uint64{}
	}
	var letters []trem.Letter
	var own error // of this device, and not of the relay
	err = takeAll(ctx, c, d.cfg.Relays[name], func(k lrp.Kept) (bool, error) {
		more, is, taken, err := d.takeKept(ctx, k)
		own = err
		if letters = append(letters, more...); is && taken {
			out.Taken++
		}
		return taken, err
	}, func(read uint64) error {
		d.cfg.Relays[name] = read
		own = d.save()
		return own
	})
	if own != nil {
		return out, own
	}
	if err != nil {
		return out, relayWords(at.addr, err)
	}
	var full error // boxes that are, or are not there: they hold back no letter for another
	out.Left, err = d.leaveLetters(ctx, env, letters, func(l trem.Letter) error {
		f, err := d.letterFrame(env, st.Device, l)
		if err == nil {
			err = leave(ctx, c, f)
		}
		if e, said := errors.AsType[*lrp.Error](err); said && (e.Code == lrp.CodeFull || e.Code == lrp.CodeUnknownDst) {
			full = errors.Join(full, relayWords(f.Dst, err))
			return errNotLeft
		}
		if err != nil {
			return relayWords(f.Dst, err)
		}
		return nil
	})
	return out, errors.Join(err, full)
}

// away says what a folder that is not there means.
func away(err error) error {
	if errors.Is(err, lrp.ErrLost) {
		return later("the folder is not there, or went away in the middle: %w", err)
	}
	return err
}

// takeAnswers reads what the house has answered to what was left before.
func (d *device) takeAnswers(ctx context.Context, env *Env, c *file.Client) (n int, letters []trem.Letter, err error) {
	var rest [][]byte
	for _, raw := range d.cfg.Left {
		f, err := lrp.Parse(raw)
		if err != nil {
			continue // of another version
		}
		answers, there, err := c.Answers(f)
		if err != nil {
			return n, letters, err
		}
		if !there {
			if f.Expires > env.Now().UnixMilli() {
				rest = append(rest, raw)
			}
			continue
		}
		for _, a := range answers {
			m, err := lrp.ParseSLTP(a.Body)
			if a.Type == lrp.TypeError { // it is written again
				clear(d.cfg.Sent)
			}
			if a.Type != lrp.TypeSLTP || err != nil || !trem.IsLetter(m.Message) {
				continue
			}
			got, err := d.trem.Post(ctx, m.Message)
			if err != nil && !isRejected(err) {
				return n, letters, err
			}
			n, letters = n+1, append(letters, got.Letters...)
		}
		if err := c.Done(f); err != nil {
			return n, letters, err
		}
	}
	d.cfg.Left = rest
	return n, letters, d.save()
}

// takeMail reads the letters that the house has put into the folder.
func (d *device) takeMail(ctx context.Context, c *file.Client, self ident.Device) (n int, letters []trem.Letter, err error) {
	kept, err := c.Mail(lrp.Addr(self), d.cfg.Read)
	if err != nil {
		return 0, nil, err
	}
	waits := false
	for _, k := range kept {
		more, is, taken, err := d.takeKept(ctx, k)
		if err != nil {
			return n, letters, err
		}
		letters = append(letters, more...)
		if waits = waits || !taken; !waits {
			d.cfg.Read = k.Number
		}
		if is && taken {
			n++
		}
	}
	return n, letters, d.save()
}

// takeKept gives a frame that waited to the module, if it is a letter. It is not taken
// while this device knows less of the time than its writer.
func (d *device) takeKept(ctx context.Context, k lrp.Kept) (letters []trem.Letter, is, taken bool, err error) {
	m, err := lrp.ParseSLTP(k.Frame.Body)
	if err != nil || m.CID != nil || !trem.IsLetter(m.Message) {
		return nil, false, true, nil //nolint:nilerr // nobody here reads it
	}
	got, err := d.trem.Post(ctx, m.Message)
	if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeState {
		return nil, true, false, nil
	}
	if err != nil && !isRejected(err) {
		return nil, true, false, err
	}
	return got.Letters, true, true, nil
}

// letterFrame is a letter as a frame.
func (d *device) letterFrame(env *Env, self ident.Device, l trem.Letter) (lrp.Frame, error) {
	body, err := lrp.SLTP{Message: l.Bytes}.Encode()
	now := env.Now()
	return lrp.Frame{
		Version: lrp.Version, Type: lrp.TypeSLTP, Dst: lrp.Addr(l.To), Src: lrp.Addr(self), Tx: lrp.Tx(l.Topic),
		Seq: uint64(now.UnixMilli()), Expires: now.Add(letterLife).UnixMilli(), Body: body,
	}, err
}

// awaits notes that an answer to a frame is to come by the folder.
func (d *device) awaits(f lrp.Frame) error {
	raw, err := f.Encode()
	if err != nil {
		return err
	}
	if len(d.cfg.Left) < maxLeft {
		d.cfg.Left = append(d.cfg.Left, raw)
	}
	return nil
}
