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
	var folder string
	cmd := &cobra.Command{
		Use:   "carry",
		Short: "Exchange letters with the house by a folder, such as on a stick",
		Long: `For a device without a network, such as a car. It takes the letters that the house has
put into the folder, and leaves there what it has to say: what was moved or lent to it
arrives, and what it gives goes out. It also asks for the safety list (what is revoked)
when the house has a newer one. Then the stick goes to the house
(lares home serve --folder), and comes back hours or days later. A stick that is pulled
out in the middle is put in again; nothing is lost or done twice.`,
		Example: `  lares device carry --folder /media/stick/lares
  lares device carry --folder /media/stick/lares --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDevice(env, *dir, func(d *device) error {
				got, err := d.carry(cmd.Context(), env, folder)
				if err != nil {
					return err
				}
				return env.print(cmd, got, func(w io.Writer) error {
					p := printer{w: w}
					p.line("%d letters taken, %d left for the house.", got.Taken, got.Left)
					if got.Epoch > 0 {
						p.line("The safety list is of epoch %d now.", got.Epoch)
					}
					return p.err
				})
			})
		},
	}
	cmd.Flags().StringVar(&folder, "folder", "", "the folder (required)")
	_ = cmd.MarkFlagRequired("folder")
	return cmd
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
	if d.cfg.Home == "" {
		return out, errors.New("this device belongs to no house yet: lares device pair")
	}
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
	got, err := d.trem.Letters(ctx)
	if err != nil {
		return out, err
	}
	for _, l := range append(append(letters, more...), got.Letters...) {
		if l.Again && env.Now().Sub(d.cfg.Sent[topicOf(l)]) < resendAfter {
			continue
		}
		if err := d.leaveLetter(ctx, env, c, st.Device, l); err != nil {
			return out, away(err)
		}
		out.Left++
	}
	return out, d.save()
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
		m, err := lrp.ParseSLTP(k.Frame.Body)
		if err != nil || m.CID != nil || !trem.IsLetter(m.Message) {
			continue
		}
		got, err := d.trem.Post(ctx, m.Message)
		if e, ok := errors.AsType[*trem.Error](err); ok && e.Code == trem.CodeState {
			waits = true // this device knows less of the time than the writer: it stays
			continue
		}
		if err != nil && !isRejected(err) {
			return n, letters, err
		}
		if n++; !waits {
			d.cfg.Read = k.Number
		}
		letters = append(letters, got.Letters...)
	}
	return n, letters, d.save()
}

// leaveLetter leaves one letter, and notes that an answer is to come.
func (d *device) leaveLetter(ctx context.Context, env *Env, c *file.Client, self ident.Device, l trem.Letter) error {
	body, err := lrp.SLTP{Message: l.Bytes}.Encode()
	if err != nil {
		return err
	}
	now := env.Now()
	f := lrp.Frame{
		Version: lrp.Version, Type: lrp.TypeSLTP, Dst: lrp.Addr(l.To), Src: lrp.Addr(self), Tx: lrp.Tx(l.Topic),
		Seq: uint64(now.UnixMilli()), Expires: now.Add(letterLife).UnixMilli(), Body: body,
	}
	if err := c.Leave(ctx, f); err != nil {
		return err
	}
	raw, err := f.Encode()
	if err != nil {
		return err
	}
	if d.cfg.Sent == nil || len(d.cfg.Sent) >= maxSent {
		d.cfg.Sent = map[string]time.Time{}
	}
	d.cfg.Sent[topicOf(l)] = now.UTC().Truncate(time.Second)
	if len(d.cfg.Left) < maxLeft {
		d.cfg.Left = append(d.cfg.Left, raw)
	}
	return d.save()
}
