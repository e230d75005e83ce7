package cpix_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/interconnect/adapt/cpix"
	"github.com/lares-drm/lares/license/ident"
)

// maker is a provider whose keys follow from content and key ID.
type maker struct {
	asked []cpix.TrackKey
	err   error
}

func (m *maker) ContentKeys(_ context.Context, id ident.Content, keys []cpix.TrackKey) ([]cenc.ContentKey, error) {
	if m.asked = keys; m.err != nil {
		return nil, m.err
	}
	var out []cenc.ContentKey
	for _, k := range keys {
		sum := sha256.Sum256(append([]byte(id), k.KID[:]...))
		key, err := cenc.NewContentKey(sum[:16])
		if err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	return out, nil
}

// operator signals whatever is asked for, with the operator's bytes: what a
// deployment does for systems that are not ours.
func operator(s cpix.System) (cpix.System, bool) {
	for _, b := range []*[]byte{&s.PSSH, &s.ContentProtection, &s.HLSMedia, &s.HLSMaster} {
		if *b != nil {
			*b = []byte("given by the operator")
		}
	}
	return s, true
}

func endpoint(t *testing.T, edit func(*cpix.SPEKE)) (*maker, func(headers map[string]string, body string) *http.Response) {
	t.Helper()
	m := &maker{}
	cfg := cpix.SPEKE{Provider: m, User: "packager", Password: sha256.Sum256([]byte("secret")), Clear: true, Signal: operator, Log: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&cfg)
	}
	h, err := cfg.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return m, func(headers map[string]string, body string) *http.Response {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, cpix.SPEKEPath, strings.NewReader(body))
		r.SetBasicAuth("packager", "secret")
		r.Header.Set("Content-Type", "application/xml")
		r.Header.Set("X-Speke-Version", "2.0")
		for k, v := range headers {
			if r.Header.Set(k, v); k == "Method" {
				r.Method = v
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
}

// text reads an answer.
func text(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close() //nolint:errcheck // of a recorder
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const generic = "speke/1_generic_spekev2_dash_widevine_preset_video_1_audio_1_no_rotation.xml"

// The requests of the SPEKE reference server's verification suite, with the
// answers that the suite wants: headers, elements, attributes, the same keys twice.
func TestInterop_SPEKE_VerificationSuite(t *testing.T) {
	m, post := endpoint(t, nil)
	for name, want := range map[string]int{
		"1_generic_spekev2_dash_widevine_preset_video_1_audio_1_no_rotation": 200, "2_speke_v1_style_implementation": 200, "3_negative_wrong_version_spekev2_dash_widevine": 400,
		"4_spekev2_negative_preset_shared_video": 422, "5_spekev2_negative_preset_shared_audio": 422,
	} {
		r := post(nil, string(read(t, "speke/"+name+".xml")))
		body := text(t, r)
		if r.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", name, r.StatusCode, body, want)
		}
		if r.Header.Get("X-Speke-Version") != "2.0" || r.Header.Get("X-Speke-User-Agent") == "" {
			t.Errorf("%s: headers %v", name, r.Header)
		}
		t.Logf("interop row: speke | SPEKE verification suite, %s | %d", name, r.StatusCode)
		if want != 200 {
			continue
		}
		if !strings.Contains(r.Header.Get("Content-Type"), "application/xml") {
			t.Errorf("%s: content type %q", name, r.Header.Get("Content-Type"))
		}
		asked, err := cpix.Parse(read(t, "speke/"+name+".xml"), cpix.Trust{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := cpix.Parse([]byte(body), cpix.Trust{})
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, body)
		}
		if got.Version != "2.3" || got.ContentID != asked.ContentID || len(got.Systems) != len(asked.Systems) {
			t.Errorf("%s: %+v", name, got)
		}
		if diff := cmp.Diff(got.Rules, asked.Rules); diff != "" {
			t.Errorf("%s: the contract changed:\n%s", name, diff)
		}
		for i, k := range got.Keys {
			if !k.Value.Valid() || k.KID != asked.Keys[i].KID || k.Scheme != cenc.SchemeCENC {
				t.Errorf("%s: key %v", name, k.KID)
			}
		}
		if again := text(t, post(nil, string(read(t, "speke/"+name+".xml")))); again != body {
			t.Errorf("%s: a second answer differs", name)
		}
	}
	post(nil, string(read(t, generic)))
	if diff := cmp.Diff([]content.Tier{m.asked[0].Tier, m.asked[1].Tier}, []content.Tier{content.UHD, content.Audio}); diff != "" {
		t.Error(diff)
	}
}

// As the suite does it: take away each mandatory element and attribute.
func TestInterop_SPEKE_WhatIsMandatoryIsMissed(t *testing.T) {
	_, post := endpoint(t, nil)
	doc := string(read(t, generic))
	without := func(from, to string) string {
		i := strings.Index(doc, from)
		return doc[:i] + doc[i+strings.Index(doc[i:], to)+len(to):]
	}
	for name, in := range map[string]string{
		"": "", "ContentKeyList": without("<cpix:ContentKeyList>", "</cpix:ContentKeyList>"), "DRMSystemList": without("<cpix:DRMSystemList>", "</cpix:DRMSystemList>"),
		"ContentKeyUsageRuleList": without("<cpix:ContentKeyUsageRuleList>", "</cpix:ContentKeyUsageRuleList>"), "a ContentKey": without("<cpix:ContentKey ", "</cpix:ContentKey>"),
		"a DRMSystem": without("<cpix:DRMSystem ", "</cpix:DRMSystem>"), "a ContentKeyUsageRule": without("<cpix:ContentKeyUsageRule ", "</cpix:ContentKeyUsageRule>"),
		"a VideoFilter": strings.Replace(doc, "<cpix:VideoFilter />", "", 1), "an AudioFilter": strings.Replace(doc, "<cpix:AudioFilter />", "", 1), "commonEncryptionScheme": strings.ReplaceAll(doc, ` commonEncryptionScheme="cenc"`, ""),
		"intendedTrackType": strings.ReplaceAll(doc, ` intendedTrackType="VIDEO"`, ""), "systemId": strings.ReplaceAll(doc, "systemId", "system"), "contentId": strings.ReplaceAll(doc, "contentId", "content"),
		"version": strings.Replace(doc, ` version="2.3"`, "", 1), "fairplay": strings.ReplaceAll(doc, "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", "94ce86fb-07ff-4f43-adb8-93d2fa968ca2"),
		"one track type": strings.ReplaceAll(doc, `"AUDIO"`, `"VIDEO"`), "ALL beside others": strings.ReplaceAll(doc, `"AUDIO"`, `"ALL"`), "SD+HD with one filter": strings.ReplaceAll(doc, `"VIDEO"`, `"SD+HD"`),
		"periods":     strings.Replace(doc, "<cpix:ContentKeyUsageRuleList>", `<cpix:ContentKeyPeriodList><cpix:ContentKeyPeriod id="p" index="1"/></cpix:ContentKeyPeriodList><cpix:ContentKeyUsageRuleList>`, 1),
		"a key in it": strings.Replace(doc, "></cpix:ContentKey>", `><cpix:Data><pskc:Secret><pskc:PlainValue>AAECAwQFBgcICQoLDA0ODw==</pskc:PlainValue></pskc:Secret></cpix:Data></cpix:ContentKey>`, 1),
		"a signature": strings.Replace(doc, "</cpix:CPIX>", "<ds:Signature/></cpix:CPIX>", 1), "too large": doc + strings.Repeat(" ", 300_000),
	} {
		if r := post(nil, in); r.StatusCode < 400 || r.StatusCode >= 500 {
			t.Errorf("without %s: %d", name, r.StatusCode)
		}
	}
}

func TestSPEKE_2_HeadersAndErrors(t *testing.T) {
	doc := string(read(t, generic))
	m, post := endpoint(t, nil)
	basic := func(s string) map[string]string {
		return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(s))}
	}
	for name, tc := range map[string]struct {
		headers map[string]string
		body    string
		status  int
		words   string
	}{
		"no SPEKE version": {map[string]string{"X-Speke-Version": ""}, doc, 400, "Unsupported SPEKE version"},
		"SPEKE version 1":  {map[string]string{"X-Speke-Version": "1.0"}, doc, 400, "Unsupported SPEKE version"},
		"CPIX of 2.1":      {map[string]string{"X-Speke-Version": "2.1"}, doc, 400, "Unsupported CPIX version"},
		"SPEKE 2.1":        {map[string]string{"X-Speke-Version": "2.1"}, strings.Replace(doc, `version="2.3"`, `version="2.4"`, 1), 200, "multiVariant"},
		"JSON":             {map[string]string{"Content-Type": "application/json"}, doc, 415, "application/xml"},
		"GET":              {map[string]string{"Method": "GET"}, "", 405, "POST"},
		"no credentials":   {map[string]string{"Authorization": ""}, doc, 401, "Credentials"},
		"another password": {basic("packager:Secret"), doc, 401, "Credentials"},
		"another user":     {basic("pack:secret"), doc, 401, "Credentials"},
	} {
		r := post(tc.headers, tc.body)
		if body := text(t, r); r.StatusCode != tc.status || !strings.Contains(body, tc.words) {
			t.Errorf("%s: %d %s, want %d with %q", name, r.StatusCode, body, tc.status, tc.words)
		}
	}
	m.err = cpix.ErrContent
	if r := post(nil, doc); r.StatusCode != 409 {
		t.Errorf("a content with other keys: %d", r.StatusCode)
	}
	m.err = errors.New("disk of 10.0.0.1 is full")
	if r := post(nil, doc); r.StatusCode != 500 || strings.Contains(text(t, r), "disk") {
		t.Errorf("a failure: %d, and it must not say why", r.StatusCode)
	}
	if _, err := (cpix.SPEKE{Provider: m, Log: slog.New(slog.DiscardHandler)}).Handler(); err == nil {
		t.Error("an endpoint without credentials")
	}
}

// Keys go out wrapped to the encryptor's certificate, and not otherwise unless
// the operator says so.
func TestSPEKE_3_KeysAreWrapped(t *testing.T) {
	doc := string(read(t, generic))
	_, post := endpoint(t, func(c *cpix.SPEKE) { c.Clear = false })
	if r := post(nil, doc); r.StatusCode != 400 || !strings.Contains(text(t, r), "certificate") {
		t.Errorf("keys in the clear: %d", r.StatusCode)
	}
	to := func(c *x509.Certificate) string {
		return strings.Replace(doc, "<cpix:ContentKeyList>", `<cpix:DeliveryDataList><cpix:DeliveryData><cpix:DeliveryKey><ds:X509Data><ds:X509Certificate>`+
			base64.StdEncoding.EncodeToString(c.Raw)+`</ds:X509Certificate></ds:X509Data></cpix:DeliveryKey></cpix:DeliveryData></cpix:DeliveryDataList><cpix:ContentKeyList>`, 1)
	}
	if r := post(nil, to(certificate(t, "weak"))); r.StatusCode != 400 {
		t.Errorf("a weak certificate: %d", r.StatusCode)
	}
	body := text(t, post(nil, to(certificate(t, "recipient"))))
	d, err := cpix.Parse([]byte(body), cpix.Trust{})
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	if strings.Contains(body, "PlainValue") {
		t.Error("a key in the clear")
	}
	if err := d.Open(certificate(t, "recipient"), private(t, "recipient")); err != nil || !d.Keys[1].Value.Valid() {
		t.Errorf("the encryptor cannot open its keys: %v", err)
	}
}

// Without an operator's data, only the systems that are ours are signaled.
func TestSPEKE_4_OnlyWhatIsOursIsSignaled(t *testing.T) {
	_, post := endpoint(t, func(c *cpix.SPEKE) { c.Signal = nil })
	doc := string(read(t, generic))
	if r := post(nil, doc); r.StatusCode != 422 || !strings.Contains(text(t, r), "edef8ba9") {
		t.Errorf("Widevine: %d", r.StatusCode)
	}
	for _, s := range []string{`<cpix:HLSSignalingData playlist="media" />`, `<cpix:HLSSignalingData playlist="master" />`} {
		doc = strings.ReplaceAll(doc, s, "")
	}
	body := text(t, post(nil, strings.ReplaceAll(doc, "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", "1077efec-c0b2-4d02-ace3-3c1e52e2fb4b")))
	d, err := cpix.Parse([]byte(body), cpix.Trust{})
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	box, err := cenc.ParsePSSH(d.Systems[0].PSSH)
	if err != nil || box.KIDs[0] != d.Keys[0].KID || !strings.Contains(string(d.Systems[0].ContentProtection), "urn:uuid:1077efec") {
		t.Errorf("pssh %+v (%v), content protection %s", box, err, d.Systems[0].ContentProtection)
	}
}

// FuzzSPEKE: whatever is asked, the answer is a document or a refusal, and a
// refusal holds no key.
func FuzzSPEKE(f *testing.F) {
	const kid = "00112233-4455-6677-8899-aabbccddeeff"
	f.Add(`<CPIX xmlns="urn:dashif:org:cpix" contentId="c" version="2.3"><ContentKeyList><ContentKey kid="` + kid + `" commonEncryptionScheme="cenc"/></ContentKeyList><DRMSystemList><DRMSystem kid="` + kid +
		`" systemId="1077efec-c0b2-4d02-ace3-3c1e52e2fb4b"><PSSH/></DRMSystem></DRMSystemList><ContentKeyUsageRuleList><ContentKeyUsageRule kid="` + kid + `" intendedTrackType="SD"><VideoFilter maxPixels="9"/></ContentKeyUsageRule></ContentKeyUsageRuleList></CPIX>`)
	f.Fuzz(func(t *testing.T, body string) {
		_, post := endpoint(t, nil)
		r := post(nil, body)
		out := text(t, r)
		if r.StatusCode == 500 || r.StatusCode >= 400 && strings.Contains(out, "PlainValue") {
			t.Errorf("%d %s", r.StatusCode, out)
		}
		if r.StatusCode == 200 {
			if _, err := cpix.Parse([]byte(out), cpix.Trust{}); err != nil {
				t.Errorf("an answer that is no document: %v\n%s", err, out)
			}
		}
	})
}
