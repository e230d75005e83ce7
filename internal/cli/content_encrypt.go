package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

func newContentEncryptCmd(env *Env) *cobra.Command {
	var keys []string
	var scheme string
	cmd := &cobra.Command{
		Use:   "encrypt --key TIER:KID=KEY IN OUT",
		Short: "Encrypt an MP4 file of fragments with keys you give",
		Long: `Encrypt an MP4 file of fragments (cenc or cbcs) with keys you give, for tests and
for content of your own; lares pack makes keys that nobody sees. A track has the key
of its tier: AUDIO, or SD, HD or UHD by its pixels; other tracks stay in the clear.
Give each file keys of its own: a key that encrypts two files with cenc may use a
vector twice. The result appears whole or not at all. "-" is standard input or
output.

Exit status 3 when a tier of the file has no key.`,
		Example: `  lares content encrypt --scheme cenc --key AUDIO:0a0b…=1122… --key HD:0c0d…=3344… clear.mp4 protected.mp4
  ffmpeg -i in.mkv -c copy -f mp4 -movflags +frag_keyframe+empty_moov+default_base_moof - | lares content encrypt --key HD:0c0d…=3344… - out.mp4`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := cenc.ParseScheme(scheme)
			if err != nil || s != cenc.SchemeCENC && s != cenc.SchemeCBCS {
				return usage("--scheme %q: want cenc or cbcs", scheme)
			}
			find, err := parseTierKeys(keys)
			if err != nil {
				return err
			}
			return encryptFile(cmd.Context(), env, args[0], args[1], content.ProtectConfig{Scheme: s, Key: find})
		},
	}
	cmd.Flags().StringVar(&scheme, "scheme", "cenc", "protection scheme: cenc or cbcs")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "tier, key ID and key, TIER:KID=KEY in hexadecimal; once for each tier (required)")
	_ = cmd.MarkFlagRequired("key") // the flag exists
	return cmd
}

func encryptFile(ctx context.Context, env *Env, from, to string, cfg content.ProtectConfig) error {
	v, done, err := openView(env, from, content.ViewConfig{})
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	defer done()
	err = writeFile(env, to, func(w io.Writer) error {
		m := &metered{stopped: ctx.Err, w: w, total: v.Size()}
		p := &progress{env: env, start: env.Now(), line: encryptLine}
		if !v.Streamed() {
			m.show = p.show()
		}
		defer p.end()
		return v.Protect(m, cfg)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}

// parseTierKeys reads TIER:KID=KEY.
func parseTierKeys(flags []string) (func(*content.Track) (ident.Key, cenc.ContentKey, bool, error), error) {
	type tierKey struct {
		kid ident.Key
		key cenc.ContentKey
	}
	keys := map[content.Tier]tierKey{}
	for i, s := range flags {
		word, rest, _ := strings.Cut(s, ":")
		tier, err := content.ParseTier(word)
		if err != nil {
			return nil, usage("--key number %d: want TIER:KID=KEY, TIER one of AUDIO, SD, HD and UHD", i+1)
		}
		kid, key, err := parseKey(rest)
		if err != nil {
			return nil, usage("--key number %d: %w", i+1, err)
		}
		if _, twice := keys[tier]; twice {
			return nil, usage("--key number %d: tier %v has a key", i+1, tier)
		}
		keys[tier] = tierKey{kid, key}
	}
	return func(t *content.Track) (ident.Key, cenc.ContentKey, bool, error) {
		tier := content.Audio
		if t.Handler == "vide" {
			tier = content.TierOf(int(t.Width), int(t.Height))
		}
		k, ok := keys[tier]
		if !ok {
			return ident.Key{}, cenc.ContentKey{}, false, refused("track %d is of tier %v: give its key with --key %v:KID=KEY", t.ID, tier, tier)
		}
		return k.kid, k.key, true, nil
	}, nil
}
