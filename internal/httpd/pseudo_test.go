package httpd

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// accented are Latin letters with a mark each: a language that no page knows.
var accented = strings.NewReplacer(strings.Split("a á b ƀ c ç d ð e é f ƒ g ğ h ĥ i í j ĵ k ķ l ļ m ɱ n ñ o ó p þ q ɋ r ŕ s š t ŧ u ú v ṽ w ŵ x ẋ y ý z ž "+
	"A Á B Ɓ C Ç D Ð E É F Ƒ G Ğ H Ĥ I Í J Ĵ K Ķ L Ļ M Ɱ N Ñ O Ó P Þ Q Ɋ R Ŕ S Š T Ŧ U Ú V Ṽ W Ŵ X Ẋ Y Ý Z Ž", " ")...)

// pseudo is a text in that language; what is put into it stays as it is.
func pseudo(text string) string {
	put := regexp.MustCompile(`\{[a-z0-9]+\}`)
	var b strings.Builder
	last := 0
	for _, at := range put.FindAllStringIndex(text, -1) {
		b.WriteString(accented.Replace(text[last:at[0]]))
		b.WriteString(text[at[0]:at[1]])
		last = at[1]
	}
	b.WriteString(accented.Replace(text[last:]))
	return b.String()
}

// Translated has every page speak another language until a test ends, as it would with
// other files of messages.
func Translated(t *testing.T) {
	t.Helper()
	other := map[string]string{}
	for key, text := range english() {
		other[key] = pseudo(text)
	}
	other["lang"] = "en-XA"
	before := english
	english = func() map[string]string { return other }
	t.Cleanup(func() { english = before })
}

// Untranslated are the words of a page that did not come from the messages.
func Untranslated(text string) []string {
	return regexp.MustCompile(`[A-Za-z]{2,}`).FindAllString(text, -1)
}

// AgentPage is the page of an agent that is so.
func AgentPage(t *testing.T, v AgentView) http.Handler {
	t.Helper()
	h := agentOf(t, &box{view: v})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "127.0.0.1:50000"
		h.ServeHTTP(w, r)
	})
}

// StoryWords are all that the simulator says of a story.
func StoryWords(t *testing.T, story string) (out []string) {
	t.Helper()
	told, err := tellStory(SimulateRequest{Story: story, Days: 30})
	if err != nil {
		t.Fatal(err)
	}
	v := viewTimeline(told)
	why := func(list []Why) {
		for _, w := range list {
			out = append(out, w.Sentence, w.Help)
		}
	}
	for _, e := range v.Events {
		out = append(out, e.Words)
		why(e.Why)
	}
	for _, s := range v.Segments {
		out = append(append(out, s.Words, s.Lasts), s.Facts...)
		why(s.Why)
	}
	return out
}
