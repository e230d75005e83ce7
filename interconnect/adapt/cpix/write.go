package cpix

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/lares-drm/lares/content/cenc"
)

// Options say who a document is for and who answers for it.
type Options struct {
	Recipients []*x509.Certificate // keys are wrapped to each of them
	Clear      bool                // without recipients: write the keys in the clear, for a channel that protects them
	Signer     crypto.Signer       // signs the whole document; nil = nobody does
	Signature  *x509.Certificate   // of the signer
}

var errClear = errors.New("cpix: keys are wrapped to recipients, unless the caller asks for the clear")

// Write makes a document. Keys without a value are written without one.
func (d *Document) Write(o Options) ([]byte, error) {
	w := newWrapper()
	defer w.clear()
	root := cpixElement("CPIX").having("contentId", d.ContentID).having("name", d.Name).with("version", d.version())
	for prefix, uri := range map[string]string{"cpix": nsCPIX, "pskc": nsPSKC, "ds": nsDSig, "enc": nsEnc} {
		root.decls = append(root.decls, decl{prefix, uri})
	}
	keys, wrapped, err := d.writeKeys(w, o)
	if err != nil {
		return nil, err
	}
	if wrapped {
		list := cpixElement("DeliveryDataList")
		for _, to := range o.Recipients {
			x, err := w.deliver(to)
			if err != nil {
				return nil, err
			}
			list.add(writeDelivery(&x))
		}
		root.add(list)
	}
	for _, list := range []*node{keys, d.writeSystems(), d.writePeriods(), d.writeRules()} {
		if hasElements(list) {
			root.add(list)
		}
	}
	if o.Signer != nil {
		if err := sign(root, o.Signer, o.Signature); err != nil {
			return nil, err
		}
	}
	return encode(root), d.check()
}

func (d *Document) version() string {
	if d.Version != "" {
		return d.Version
	}
	return Version
}

func (d *Document) writeKeys(w *wrapper, o Options) (list *node, wrapped bool, err error) {
	list = cpixElement("ContentKeyList")
	for i := range d.Keys {
		k := &d.Keys[i]
		n := cpixElement("ContentKey").with("kid", uuidText(k.KID))
		if k.IV != nil {
			n.with("explicitIV", base64.StdEncoding.EncodeToString(k.IV))
		}
		if k.Scheme != 0 {
			n.with("commonEncryptionScheme", k.Scheme.String())
		}
		switch {
		case !k.Value.Valid():
		case len(o.Recipients) > 0:
			x, err := w.wrap(k.Value)
			if err != nil {
				return nil, false, fmt.Errorf("cpix: key %v: %w", k.KID, err)
			}
			wrapped = true
			n.add(cpixElement("Data", pskcElement("Secret",
				encrypted(pskcElement("EncryptedValue"), aes256CBC, x.Cipher), pskcElement("ValueMAC", base64.StdEncoding.EncodeToString(x.MAC)))))
		case o.Clear:
			plain, err := plainValue(k.Value)
			if err != nil {
				return nil, false, err
			}
			n.add(cpixElement("Data", pskcElement("Secret", plain)))
		default:
			return nil, false, errClear
		}
		list.add(n)
	}
	return list, wrapped, nil
}

func plainValue(key cenc.ContentKey) (*node, error) {
	raw, err := key.Reveal()
	if err != nil {
		return nil, err
	}
	defer clear(raw[:])
	return pskcElement("PlainValue", base64.StdEncoding.EncodeToString(raw[:])), nil
}

// encrypted fills an element with a ciphertext.
func encrypted(n *node, method string, cipher []byte) *node {
	n.add(encElement("EncryptionMethod").with("Algorithm", method))
	n.add(encElement("CipherData", encElement("CipherValue", base64.StdEncoding.EncodeToString(cipher))))
	return n
}

func writeDelivery(x *Delivery) *node {
	return cpixElement("DeliveryData",
		cpixElement("DeliveryKey", element("ds", nsDSig, "X509Data", element("ds", nsDSig, "X509Certificate", base64.StdEncoding.EncodeToString(x.Certificate)))),
		cpixElement("DocumentKey", cpixElement("Data", pskcElement("Secret", encrypted(pskcElement("EncryptedValue"), rsaOAEP, x.DocumentKey)))),
		cpixElement("MACMethod", encrypted(pskcElement("MACKey"), rsaOAEP, x.MACKey)).with("Algorithm", hmacSHA512),
	)
}

func (d *Document) writeSystems() *node {
	list := cpixElement("DRMSystemList")
	for i := range d.Systems {
		s := &d.Systems[i]
		n := cpixElement("DRMSystem").with("kid", uuidText(s.KID)).with("systemId", uuidText(s.System))
		data := func(local string, b []byte, playlist string) {
			if b != nil {
				e := cpixElement(local).having("playlist", playlist)
				if len(b) > 0 {
					e.add(base64.StdEncoding.EncodeToString(b))
				}
				n.add(e)
			}
		}
		data("PSSH", s.PSSH, "")
		data("ContentProtectionData", s.ContentProtection, "")
		data("HLSSignalingData", s.HLSMedia, "media")
		data("HLSSignalingData", s.HLSMaster, d.masterPlaylist())
		if s.SmoothStreaming != nil {
			n.add(cpixElement("SmoothStreamingProtectionHeaderData", string(s.SmoothStreaming)))
		}
		list.add(n)
	}
	return list
}

// masterPlaylist is the name that the version has for the main playlist.
func (d *Document) masterPlaylist() string {
	if d.version() < "2.4" {
		return "master"
	}
	return "multiVariant"
}

func (d *Document) writePeriods() *node {
	list := cpixElement("ContentKeyPeriodList")
	for _, p := range d.Periods {
		list.add(cpixElement("ContentKeyPeriod").having("id", p.ID).having("index", p.Index).having("start", p.Start).having("end", p.End))
	}
	return list
}

func (d *Document) writeRules() *node {
	list := cpixElement("ContentKeyUsageRuleList")
	text := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatUint(n, 10)
	}
	truth := func(b *bool) string {
		if b == nil {
			return ""
		}
		return strconv.FormatBool(*b)
	}
	for i := range d.Rules {
		r := &d.Rules[i]
		n := cpixElement("ContentKeyUsageRule").with("kid", uuidText(r.KID)).having("intendedTrackType", r.TrackType)
		for _, id := range r.Periods {
			n.add(cpixElement("KeyPeriodFilter").with("periodId", id))
		}
		for _, l := range r.Labels {
			n.add(cpixElement("LabelFilter").with("label", l))
		}
		for _, f := range r.Video {
			n.add(cpixElement("VideoFilter").having("minPixels", text(f.MinPixels)).having("maxPixels", text(f.MaxPixels)).having("hdr", truth(f.HDR)).
				having("wcg", truth(f.WCG)).having("minFps", text(f.MinFPS)).having("maxFps", text(f.MaxFPS)))
		}
		for _, f := range r.Audio {
			n.add(cpixElement("AudioFilter").having("minChannels", text(f.MinChannels)).having("maxChannels", text(f.MaxChannels)))
		}
		list.add(n)
	}
	return list
}
