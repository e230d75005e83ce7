package cli

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/interconnect/adapt/cpix"
	"github.com/lares-drm/lares/license/ident"
)

type keysFlags struct {
	content, cert, key, to, out string
	signers                     []string
	duration                    time.Duration
}

// deliveredKeys is what `adapt keys --json` prints. It holds no key.
type deliveredKeys struct {
	Content ident.Content  `json:"content"`
	Signed  bool           `json:"signature_checked"`
	Keys    []deliveredKey `json:"keys"`
	File    string         `json:"file"`
}

type deliveredKey struct {
	KID  ident.Key    `json:"kid"`
	Tier content.Tier `json:"tier"`
}

func newAdaptKeysCmd(env *Env) *cobra.Command {
	var f keysFlags
	cmd := &cobra.Command{
		Use:   "keys FILE",
		Short: "Hand the content keys of a CPIX document to an issuer's module",
		Long: `Read a CPIX document, open its keys with a recipient's key, and seal them to the
delivery certificate of the issuer's TREM, as lares pack does: the file is for
lares issuer content add. With --signer, only what these certificates have
signed is read, and all of it must be. The keys are in this process meanwhile,
so run it where the content is packed.

The document's usage rules say which tier a key is for. CPIX knows no length
and no peak rate: --duration is for licenses that are counted, and the rate is
taken as 64 kB/s of sound and 1, 4 and 16 MB/s of SD, HD and UHD.`,
		Example: `  lares adapt keys film.cpix --cert packer.pem --key packer.key --signer studio.pem --to delivery.der --out keys.lkd
  lares issuer content add --dir ./shop --keys keys.lkd`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, env, args[0]) },
	}
	cmd.Flags().StringVar(&f.content, "content", "", "content ID; default: that of the document")
	cmd.Flags().StringVar(&f.cert, "cert", "", "certificate that the document is for, PEM or DER; needed where keys are wrapped")
	cmd.Flags().StringVar(&f.key, "key", "", "file (0600) with its private key, PKCS#8 PEM")
	cmd.Flags().StringArrayVar(&f.signers, "signer", nil, "certificate of who must have signed, PEM or DER; may be repeated")
	cmd.Flags().DurationVar(&f.duration, "duration", 0, "length of the content")
	cmd.Flags().StringVar(&f.to, "to", "", "delivery certificate of the issuer's TREM, PEM or DER (required)")
	cmd.Flags().StringVar(&f.out, "out", "", "file to make (required)")
	for _, name := range []string{"to", "out"} {
		_ = cmd.MarkFlagRequired(name) // the flag exists
	}
	return cmd
}

func (f *keysFlags) run(cmd *cobra.Command, env *Env, name string) error {
	trust := cpix.Trust{Now: env.Now()}
	for _, s := range f.signers {
		c, err := readCertificate(s)
		if err != nil {
			return err
		}
		trust.Signers = append(trust.Signers, c)
	}
	to, err := readCertificate(f.to)
	if err != nil {
		return err
	}
	data, err := env.read(name, maxForeign)
	if err != nil {
		return err
	}
	doc, err := cpix.Parse(data, trust)
	if errors.Is(err, cpix.ErrSignature) {
		return refused("%w", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer doc.Clear()
	if err := f.open(doc); err != nil {
		return err
	}
	d, out, err := f.delivery(doc)
	if err != nil {
		return err
	}
	out.Signed, out.File = len(trust.Signers) > 0, f.out
	sealed, err := content.SealKeys(to.Raw, d)
	if err != nil {
		return err
	}
	if err := writeDurably(f.out, sealed); err != nil {
		return err
	}
	return env.print(cmd, out, func(w io.Writer) error {
		for _, k := range out.Keys {
			fmt.Fprintf(w, "%v  %v\n", k.KID, k.Tier)
		}
		_, err := fmt.Fprintf(w, "%d keys of %v are sealed in %s\n", len(out.Keys), out.Content, out.File)
		return err
	})
}

// open unwraps what is wrapped.
func (f *keysFlags) open(doc *cpix.Document) error {
	wrapped := false
	for _, k := range doc.Keys {
		wrapped = wrapped || k.Wrapped != nil
	}
	if !wrapped {
		return nil
	}
	if f.cert == "" || f.key == "" {
		return usage("the keys are wrapped: give --cert and --key of a recipient")
	}
	cert, err := readCertificate(f.cert)
	if err != nil {
		return err
	}
	key, err := readDecrypter(f.key)
	if err != nil {
		return err
	}
	if err := doc.Open(cert, key); err != nil {
		return refused("%w", err)
	}
	return nil
}

// readDecrypter reads an RSA key that is its owner's alone.
func readDecrypter(name string) (crypto.Decrypter, error) {
	text, err := secretFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(text + "\n"))
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s holds no PKCS#8 private key", name)
	}
	d, ok := key.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that decrypts nothing: RSA is needed", name)
	}
	return d, nil
}

// delivery makes of a document what a packer would deliver.
func (f *keysFlags) delivery(doc *cpix.Document) (*content.Delivery, *deliveredKeys, error) {
	id := f.content
	if id == "" {
		id = doc.ContentID
	}
	d, out := &content.Delivery{DurationMS: uint64(max(f.duration.Milliseconds(), 0))}, &deliveredKeys{}
	if err := d.Content.UnmarshalBinary([]byte(id)); err != nil {
		return nil, nil, usage("--content %q: want 1 to %d bytes", id, ident.MaxOpaque)
	}
	out.Content = d.Content
	if len(doc.Periods) > 0 {
		return nil, nil, refused("the document has key periods: rotated keys are not delivered this way")
	}
	for _, k := range doc.Keys {
		if !k.Value.Valid() {
			return nil, nil, refused("the document asks for key %v and does not have it", k.KID)
		}
		tier, ok := doc.Tier(k.KID)
		if !ok {
			return nil, nil, refused("the document does not say which tracks key %v is for", k.KID)
		}
		d.Keys = append(d.Keys, content.TierKey{KID: k.KID, Tier: tier, Key: k.Value, BPS: peakRate(tier)})
		out.Keys = append(out.Keys, deliveredKey{k.KID, tier})
	}
	return d, out, nil
}
