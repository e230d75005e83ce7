package home_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// said is a change that names everything that is not "" or -1.
func said(name string, kind home.PersonKind, age int, hours, pin string) home.PersonChange {
	h, err := home.ParseHours(hours)
	if err != nil {
		panic(err)
	}
	c := home.PersonChange{Name: &name, Kind: &kind, Hours: &h}
	if age >= 0 {
		years := uint8(age) //nolint:gosec // small
		c.Age = &years
	}
	if pin != "" {
		c.PIN = &pin
	}
	return c
}

func add(t *testing.T, h *home.Home, c home.PersonChange) home.Person {
	t.Helper()
	p, err := h.AddPerson(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A house with people has an adult with a PIN, names tell them apart, and a child is
// one; what is refused changes nothing.
func TestPeople_1_WhoMayBeThere(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	h := open(t, dir, hometest.New(t, nil), c)
	for _, tc := range []struct {
		name string
		c    home.PersonChange
		want error
	}{
		{"a child first", said("Ben", home.Child, 9, "", ""), home.ErrNoAdult},
		{"an adult without a PIN", said("Ada", home.Adult, -1, "", ""), home.ErrPIN},
		{"a short PIN", said("Ada", home.Adult, -1, "", "123"), home.ErrPIN},
		{"a long PIN", said("Ada", home.Adult, -1, "", "1234567890123"), home.ErrPIN},
		{"a word", said("Ada", home.Adult, -1, "", "open!"), home.ErrPIN},
		{"an adult of nine", said("Ada", home.Adult, 9, "", "1234"), home.ErrPersonKind},
		{"an adult with a bedtime", said("Ada", home.Adult, -1, "07:00-19:30", "1234"), home.ErrPersonKind},
		{"no name", said(" ", home.Adult, -1, "", "1234"), home.ErrPersonName},
		{"no kind", said("Ada", "", -1, "", "1234"), home.ErrPersonKind},
	} {
		if _, err := h.AddPerson(tc.c); !errors.Is(err, tc.want) || len(h.People()) != 0 {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	ada := add(t, h, said("Ada", home.Adult, -1, "", "1234"))
	ben := add(t, h, said("Ben", home.Child, 9, "07:00-19:30", ""))
	guest := add(t, h, said("Guest", home.Guest, -1, "", ""))
	if _, err := h.AddPerson(said("BEN", home.Child, 3, "", "")); !errors.Is(err, home.ErrPersonName) {
		t.Errorf("a second Ben: %v", err)
	}
	if _, err := h.AddPerson(said("Cid", home.Child, 18, "", "")); !errors.Is(err, home.ErrPersonKind) {
		t.Errorf("a child of 18: %v", err)
	}
	if err := h.RemovePerson(ada.ID); !errors.Is(err, home.ErrNoAdult) {
		t.Errorf("the last adult leaves: %v", err)
	}
	if _, err := h.SetPerson("ada", said("Ada", home.Guest, -1, "", "")); !errors.Is(err, home.ErrNoAdult) {
		t.Errorf("the last adult becomes a guest: %v", err)
	}
	h = open(t, dir, hometest.New(t, nil), c)
	if d := cmp.Diff([]home.Person{ada, ben, guest}, h.People()); d != "" {
		t.Errorf("after a restart: %s", d)
	}
	for _, id := range []string{"ben", guest.ID, "Ada"} {
		if err := h.RemovePerson(id); err != nil {
			t.Errorf("%s leaves: %v", id, err)
		}
	}
	if len(h.People()) != 0 {
		t.Error("somebody is left")
	}
}

// Whoever changes people.json by hand gets a house that does not open, and no more.
func TestPeople_1_TheFileIsChecked(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, hometest.New(t, nil), newClock())
	add(t, h, said("Ada", home.Adult, -1, "", "1234"))
	good, err := os.ReadFile(filepath.Join(dir, "people.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(good), "1234\"") {
		t.Error("the PIN is in the file")
	}
	for _, bad := range [][2]string{{`"adult"`, `"child"`}, {"m=19456", "m=99456"}, {`"Ada"`, `""`}, {"argon2id", "argon2i"}, {`"people"`, `"persons"`}, {`"kind"`, `"wrong": -1, "kind"`}} {
		text := strings.Replace(string(good), bad[0], bad[1], 1)
		if err := os.WriteFile(filepath.Join(dir, "people.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := home.New(home.Config{Dir: dir, Module: hometest.New(t, nil), Now: time.Now}); err == nil {
			t.Errorf("%s: it opens", bad[1])
		}
		if home.Check(dir) == nil {
			t.Errorf("%s: the doctor sees nothing", bad[1])
		}
	}
}

// What is said of somebody while a PIN of theirs is hashed stays said.
func TestPeople_1_ChangesAtTheSameTime(t *testing.T) {
	h := open(t, t.TempDir(), hometest.New(t, nil), newClock())
	add(t, h, said("Ada", home.Adult, -1, "", "1234"))
	ben := add(t, h, said("Ben", home.Child, 0, "", ""))
	for age := uint8(1); age <= 8; age++ {
		pin, done := "2222", make(chan error)
		go func() {
			_, err := h.SetPerson(ben.ID, home.PersonChange{PIN: &pin})
			done <- err
		}()
		time.Sleep(time.Millisecond) // the hash takes longer
		_, err := h.SetPerson(ben.ID, home.PersonChange{Age: &age})
		if err = errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		if got, err := h.PersonCalled(ben.ID); err != nil || got.Age != age || got.PIN == "" {
			t.Errorf("Ben is %d with a PIN %v, want %d with one: %v", got.Age, got.PIN != "", age, err)
		}
	}
}

// peopleSpec is the page that says how people are kept.
const peopleSpec = "../../docs/spec/people.md"

// The page's own people.json is read and written as it stands there, and its PIN is
// 2468.
func TestPeople_2_WorkedExample(t *testing.T) {
	page, err := os.ReadFile(peopleSpec)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```json people\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("the page has no example")
	}
	dir, c := t.TempDir(), newClock()
	file := filepath.Join(dir, "people.json")
	if err := os.WriteFile(file, block[1], 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, dir, hometest.New(t, nil), c)
	if len(h.People()) != 3 {
		t.Fatalf("%d people", len(h.People()))
	}
	if _, err := h.SitDown(home.Seat{Person: h.People()[0].ID, PIN: "2468"}); err != nil {
		t.Errorf("the PIN of the page: %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != string(block[1]) {
		t.Errorf("written again (%v): %s", err, cmp.Diff(string(block[1]), string(got)))
	}
}

// Five wrong PINs are read, the sixth after a minute, the next after two; the right one
// ends that. A restart forgives nothing, nor does a clock that is set back.
func TestPeople_3_WrongPINsHaveToWait(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	h := open(t, dir, hometest.New(t, nil), c)
	ada := add(t, h, said("Ada", home.Adult, -1, "", "1234"))
	try := func(pin string) error {
		_, err := h.SitDown(home.Seat{Person: ada.ID, PIN: pin})
		return err
	}
	for i := range 5 {
		if err := try([]string{"", "12345", "0000", "1235", "12a4"}[i]); !errors.Is(err, home.ErrWrongPIN) {
			t.Fatalf("wrong PIN %d: %v", i, err)
		}
	}
	later := func(want time.Duration) {
		t.Helper()
		err := try("1234")
		if l, ok := errors.AsType[home.PINLater](err); !ok || l.RetryMS != want.Milliseconds() {
			t.Errorf("the right PIN too early: %v, want one that waits for %v", err, want)
		}
	}
	later(time.Minute)
	h = open(t, dir, hometest.New(t, nil), c)
	later(time.Minute)
	c.now = c.now.Add(time.Minute)
	if err := try("9999"); !errors.Is(err, home.ErrWrongPIN) {
		t.Errorf("the sixth: %v", err)
	}
	later(2 * time.Minute)
	c.now = c.now.Add(2 * time.Minute)
	if err := try("1234"); err != nil || h.People()[0].Wrong != 0 {
		t.Errorf("the right one: %v, %+v", err, h.People()[0])
	}
	for range 12 {
		c.now = c.now.Add(time.Hour)
		if err := try("9999"); !errors.Is(err, home.ErrWrongPIN) {
			t.Fatalf("an hour later: %v", err)
		}
	}
	later(time.Hour)
	fresh := "4321"
	if _, err := h.SetPerson("Ada", home.PersonChange{PIN: &fresh}); err != nil || try("4321") != nil {
		t.Errorf("a new PIN does not end the wait: %v", err)
	}
}

// Wrong PINs elsewhere keep an adult out of no browser at which they sat before, nor of
// the server's own machine; there they have a count of their own, and in all there is an
// end to guessing at them too.
func TestPeople_3_AKnownPlaceHasItsOwnCount(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	h := open(t, dir, hometest.New(t, nil), c)
	ada := add(t, h, said("Ada", home.Adult, -1, "", "1234"))
	ben := add(t, h, said("Ben", home.Child, 9, "", ""))
	const phone, tablet, strange = "00000000000000aa", "00000000000000bb", "00000000000000cc"
	sit := func(place, bound, pin string) error {
		_, err := h.SitDown(home.Seat{Person: ada.ID, PIN: pin, Place: place, Bound: bound})
		return err
	}
	waits := func(err error) bool {
		_, ok := errors.AsType[home.PINLater](err)
		return ok
	}
	lock := func(place, bound string) {
		t.Helper()
		for range 20 {
			if err := sit(place, bound, "9999"); waits(err) {
				return
			}
		}
		t.Fatalf("%q: nothing has to wait", place)
	}
	if err := errors.Join(sit(phone, "", "1234"), sit(tablet, ben.ID, "1234")); err != nil {
		t.Fatal(err)
	}
	lock(tablet, ben.ID) // Ben's, at which Ada once sat
	if l, ok := errors.AsType[home.PINLater](sit(strange, "", "1234")); !ok || !l.Elsewhere {
		t.Errorf("a strange browser waits %v, and says that others do not: %+v", ok, l)
	}
	h = open(t, dir, hometest.New(t, nil), c)
	for _, place := range []string{phone, home.PlaceHere} {
		lock(tablet, ben.ID)
		if err := sit(place, "", "1234"); err != nil {
			t.Errorf("%s: %v", place, err)
		}
		lock(place, "")
		if l, ok := errors.AsType[home.PINLater](sit(place, "", "1234")); !ok || l.Elsewhere {
			t.Errorf("%s: it waits %v for its own wrong ones, and only it: %+v", place, ok, l)
		}
		h = open(t, dir, hometest.New(t, nil), c)
		if !waits(sit(place, "", "1234")) {
			t.Errorf("%s: a restart forgives", place)
		}
		c.now = c.now.Add(time.Hour)
		if err := sit(place, "", "1234"); err != nil {
			t.Errorf("%s, an hour later: %v", place, err)
		}
	}
	lock(tablet, ben.ID)
	file := filepath.Join(dir, "people.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	many := strings.Replace(string(data), `"wrong": 5`, `"wrong": 99`, 1) // in all
	if err := os.WriteFile(file, []byte(many), 0o600); err != nil || many == string(data) {
		t.Fatalf("%v: %s", err, data)
	}
	h = open(t, dir, hometest.New(t, nil), c)
	if err := sit(phone, "", "9999"); !errors.Is(err, home.ErrWrongPIN) {
		t.Errorf("the hundredth: %v", err)
	}
	for _, place := range []string{phone, home.PlaceHere} {
		if !waits(sit(place, "", "1234")) {
			t.Errorf("%s: guessing has no end", place)
		}
	}
	for n := range 5 {
		c.now = c.now.Add(time.Hour)
		if err := sit(fmt.Sprintf("%016x", n+1), "", "1234"); err != nil {
			t.Fatal(err)
		}
	}
	lock(tablet, ben.ID)
	if err := sit("0000000000000005", "", "1234"); err != nil {
		t.Errorf("the last place: %v", err)
	}
	lock(tablet, ben.ID)
	if !waits(sit(phone, "", "1234")) {
		t.Error("more than four places are known")
	}
	open(t, dir, hometest.New(t, nil), c)
}

// Who may sit down where, and with whose PIN.
func TestPeople_4_SittingDown(t *testing.T) {
	c := newClock()
	h := open(t, t.TempDir(), hometest.New(t, nil), c)
	ada := add(t, h, said("Ada", home.Adult, -1, "", "1111"))
	bob := add(t, h, said("Bob", home.Adult, -1, "", "2222"))
	cid := add(t, h, said("Cid", home.Child, 9, "", ""))
	dora := add(t, h, said("Dora", home.Child, 15, "", "3333"))
	guest := add(t, h, said("Guest", home.Guest, -1, "", ""))
	ok, wrong := error(nil), home.ErrWrongPIN
	for _, tc := range []struct {
		name string
		seat home.Seat
		want error
	}{
		{"a child", home.Seat{Person: cid.ID}, ok},
		{"an adult without a PIN", home.Seat{Person: ada.ID}, wrong},
		{"an adult by another's PIN", home.Seat{Person: ada.ID, PIN: "2222"}, wrong},
		{"an adult by another's word", home.Seat{Person: ada.ID, PIN: "2222", By: bob.ID}, wrong},
		{"an adult", home.Seat{Person: ada.ID, PIN: "1111"}, ok},
		{"an older child without the PIN", home.Seat{Person: dora.ID}, wrong},
		{"an older child", home.Seat{Person: dora.ID, PIN: "3333"}, ok},
		{"a guest whom nobody lets in", home.Seat{Person: guest.ID}, wrong},
		{"a guest whom a child lets in", home.Seat{Person: guest.ID, PIN: "3333", By: dora.ID}, wrong},
		{"a guest whom an adult lets in", home.Seat{Person: guest.ID, PIN: "2222", By: bob.ID}, ok},
		{"a child's tablet, its child", home.Seat{Bound: cid.ID, Person: cid.ID}, ok},
		{"a child's tablet, an older child", home.Seat{Bound: cid.ID, Person: dora.ID, PIN: "3333"}, wrong},
		{"a child's tablet, an older child let in", home.Seat{Bound: cid.ID, Person: dora.ID, PIN: "1111", By: ada.ID}, ok},
		{"a child's tablet, an adult", home.Seat{Bound: cid.ID, Person: ada.ID, PIN: "1111"}, ok},
		{"a guest's screen", home.Seat{Bound: guest.ID, Person: guest.ID}, ok},
		{"nobody", home.Seat{Person: "0123456789abcdef", PIN: "1111"}, home.ErrUnknown},
	} {
		if _, err := h.SitDown(tc.seat); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	token, err := h.SitDown(home.Seat{Person: ada.ID, PIN: "1111", Bound: cid.ID})
	if err != nil {
		t.Fatal(err)
	}
	if w, ok := h.Sitter(token, cid.ID); !ok || w.ID != ada.ID || !w.Administers() {
		t.Errorf("Ada at the child's tablet: %+v", w)
	}
	c.now = c.now.Add(61 * time.Minute)
	if w, ok := h.Sitter(token, cid.ID); !ok || w.ID != cid.ID || w.Administers() {
		t.Errorf("an hour later at the tablet: %+v", w)
	}
	if w, ok := h.Sitter(token, ""); ok {
		t.Errorf("elsewhere: %+v", w)
	}
	token, err = h.SitDown(home.Seat{Person: cid.ID})
	if err != nil {
		t.Fatal(err)
	}
	next, err := h.SitDown(home.Seat{Person: ada.ID, PIN: "1111", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Sitter(token, ""); ok {
		t.Error("the token of before still sits")
	}
	if _, err := h.SetPerson(ada.ID, home.PersonChange{Name: &ada.Name}); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Sitter(next, ""); ok {
		t.Error("who was changed still sits")
	}
}

// Of more than 256 sittings that of a child or a guest that was not used for the longest
// time goes, and no adult's: a child sits down as often as it likes, and keeps nobody out.
func TestPeople_4_TooManySittings(t *testing.T) {
	c := newClock()
	h := open(t, t.TempDir(), hometest.New(t, nil), c)
	ada := add(t, h, said("Ada", home.Adult, -1, "", "1111"))
	ben := add(t, h, said("Ben", home.Child, 9, "", ""))
	sit := func(p home.Person, pin string) string {
		t.Helper()
		token, err := h.SitDown(home.Seat{Person: p.ID, PIN: pin})
		if err != nil {
			t.Fatal(err)
		}
		c.now = c.now.Add(time.Second)
		return token
	}
	sits := func(token string) bool {
		_, ok := h.Sitter(token, "")
		return ok
	}
	early := sit(ada, "1111")
	used, idle := sit(ben, ""), sit(ben, "")
	for range 253 {
		sit(ben, "")
	}
	if !sits(used) {
		t.Fatal("256 are too many")
	}
	sit(ben, "")
	if !sits(early) || !sits(used) || sits(idle) {
		t.Errorf("the 257th: Ada sits %v, who used it %v, who did not %v", sits(early), sits(used), sits(idle))
	}
	if late := sit(ada, "1111"); !sits(late) || !sits(early) {
		t.Error("an adult is kept out")
	}
}

// watched is a house with a film and people, whose module judges what the evaluator
// does with key 15 and nothing else.
type watched struct {
	*home.Home
	film  ident.Content
	asked trem.Ask // the last question
	clock *clock
}

func newWatched(t *testing.T, rated *uint8) *watched {
	t.Helper()
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC, func(c *packager.Config) { c.Rated = rated })
	w := &watched{film: m.Content, clock: newClock()}
	module := hometest.New(t, keys)
	module.Decide = func(a trem.Ask) license.Decision {
		w.asked = a
		p := a.Person
		d := license.Decision{Allow: p == nil || a.Action == permission.Play && p.Rated <= p.Age && (p.Until == 0 || p.From <= w.clock.now.UnixMilli())}
		if !d.Allow {
			d.Reasons = []license.Reason{{Code: license.PersonCode, Closed: true}}
		}
		return d
	}
	w.Home = open(t, t.TempDir(), module, w.clock)
	if _, err := w.Add(folder); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watched) sits(t *testing.T, p home.Person, pin string) (context.Context, string) {
	t.Helper()
	token, err := w.SitDown(home.Seat{Person: p.ID, PIN: pin})
	if err != nil {
		t.Fatal(err)
	}
	return w.as(t, token), token
}

func (w *watched) as(t *testing.T, token string) context.Context {
	t.Helper()
	who, ok := w.Sitter(token, "")
	if !ok {
		t.Fatal("nobody sits")
	}
	return home.As(t.Context(), who)
}

// Each question of a child has its age, the title's rating and the hours in key 15;
// an adult's and the house's has none.
func TestPeople_5_EveryQuestionIsOfSomebody(t *testing.T) {
	sixteen, twelve := uint8(16), uint8(12)
	w := newWatched(t, &sixteen)
	ada := add(t, w.Home, said("Ada", home.Adult, -1, "", "1111"))
	ben := add(t, w.Home, said("Ben", home.Child, 12, "07:00-19:30", ""))
	child, _ := w.sits(t, ben, "")
	adult, _ := w.sits(t, ada, "1111")
	day := w.clock.now
	at := func(h, m int) int64 {
		return time.Date(day.Year(), day.Month(), day.Day(), h, m, 0, 0, day.Location()).UnixMilli()
	}
	w.clock.now = time.UnixMilli(at(12, 0)).In(day.Location())
	want := &license.Person{Age: 12, Rated: 16, From: at(7, 0), Until: at(19, 30)}
	refused := func(err error) bool {
		_, ok := errors.AsType[*trem.RefusalError](err)
		return ok
	}
	play := func(ctx context.Context) error {
		_, err := w.Play(ctx, home.PlayRequest{Content: w.film})
		return err
	}
	for name, ask := range map[string]func() error{
		"play":   func() error { return play(child) },
		"rights": func() error { _, err := w.Rights(child, w.film); return err },
		"may":    func() error { _, err := w.May(child, w.film, permission.Lend); return err },
		"lend": func() error {
			_, err := w.HandOver(child, trem.HandOver{Op: trem.OpLend, Content: w.film}, "Tablet")
			return err
		},
	} {
		w.asked = trem.Ask{}
		if err := ask(); (name == "play" || name == "lend") != refused(err) {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, w.asked.Person); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for name, ctx := range map[string]context.Context{"an adult": adult, "the house": t.Context()} {
		if err := play(ctx); err != nil || w.asked.Person != nil {
			t.Errorf("%s: %v, %+v", name, err, w.asked.Person)
		}
	}
	if err := w.Rate(w.film, &twelve); err != nil {
		t.Fatal(err)
	}
	if err := play(child); err != nil || w.asked.Person.Rated != 12 {
		t.Errorf("rated by the house: %v, %+v", err, w.asked.Person)
	}
	w.clock.now = w.clock.now.Add(8 * time.Hour) // 20:00
	if err := play(child); !refused(err) || w.asked.Person.From != at(24+7, 0) {
		t.Errorf("at bedtime: %v, %+v", err, w.asked.Person)
	}
	whose := map[string]int{}
	for _, p := range w.Sessions() {
		whose[p.Person]++
	}
	if d := cmp.Diff(map[string]int{"": 1, ada.ID: 1, ben.ID: 1}, whose); d != "" {
		t.Error(d)
	}
	if err := w.RemovePerson(ben.ID); err != nil || len(w.Sessions()) != 2 {
		t.Errorf("removed: %v, %d plays left", err, len(w.Sessions()))
	}
}

// A title that nobody rated is for no child, and for a guest of whom no age was said.
func TestPeople_5_Unrated(t *testing.T) {
	w := newWatched(t, nil)
	ada := add(t, w.Home, said("Ada", home.Adult, -1, "", "1111"))
	ben := add(t, w.Home, said("Ben", home.Child, 17, "", ""))
	eve := add(t, w.Home, said("Eve", home.Guest, -1, "", ""))
	child, _ := w.sits(t, ben, "")
	if _, err := w.Play(child, home.PlayRequest{Content: w.film}); err == nil {
		t.Error("a child of 17 plays what nobody rated")
	}
	token, err := w.SitDown(home.Seat{Person: eve.ID, PIN: "1111", By: ada.ID})
	if err != nil {
		t.Fatal(err)
	}
	guest := w.as(t, token)
	if _, err := w.Play(guest, home.PlayRequest{Content: w.film}); err != nil {
		t.Errorf("a guest: %v", err)
	}
	if _, err := w.HandOver(guest, trem.HandOver{Op: trem.OpCopy, Content: w.film}, "Tablet"); err == nil {
		t.Error("a guest copies")
	}
}

// An adult's PIN lets a child play one title, once, within ten minutes, in one browser.
func TestPeople_6_OnceByAnAdultsPIN(t *testing.T) {
	sixteen := uint8(16)
	w := newWatched(t, &sixteen)
	ada := add(t, w.Home, said("Ada", home.Adult, -1, "", "1111"))
	ben := add(t, w.Home, said("Ben", home.Child, 9, "", "4444"))
	ctx, token := w.sits(t, ben, "4444")
	play := func() error {
		_, err := w.Play(w.as(t, token), home.PlayRequest{Content: w.film})
		return err
	}
	for _, by := range []home.Seat{{Person: ada.ID, PIN: "1112"}, {Person: ben.ID, PIN: "4444"}, {PIN: "1111"}} {
		if _, err := w.LetOnce(ctx, w.film, by.Person, by.PIN); !errors.Is(err, home.ErrWrongPIN) || play() == nil {
			t.Errorf("by %+v: %v", by, err)
		}
	}
	if _, err := w.LetOnce(ctx, w.film, ada.ID, "1111"); err != nil {
		t.Fatal(err)
	}
	other, _ := w.sits(t, ben, "4444")
	if _, err := w.Play(other, home.PlayRequest{Content: w.film}); err == nil {
		t.Error("another browser plays by it")
	}
	if _, err := w.HandOver(w.as(t, token), trem.HandOver{Op: trem.OpLend, Content: w.film}, "Tablet"); err == nil {
		t.Error("it lends by it")
	}
	both := w.as(t, token)
	if _, err := w.Play(both, home.PlayRequest{Content: w.film}); err != nil || w.asked.Person != nil {
		t.Errorf("once: %v", err)
	}
	if _, err := w.Play(both, home.PlayRequest{Content: w.film}); err == nil || play() == nil {
		t.Error("it is played twice")
	}
	if _, err := w.LetOnce(ctx, w.film, ada.ID, "1111"); err != nil {
		t.Fatal(err)
	}
	w.clock.now = w.clock.now.Add(10 * time.Minute)
	if play() == nil {
		t.Error("after ten minutes")
	}
}

// People, their PINs and the house's ratings come back with a backup; one of an earlier
// build has none, and a damaged one writes nothing.
func TestPeople_7_BackupBringsThemBack(t *testing.T) {
	folder, m, keys := hometest.Pack(t, cenc.SchemeCENC)
	k := &keeper{Module: hometest.New(t, keys), code: true}
	h := k.open(t, t.TempDir())
	if _, err := h.Add(folder); err != nil {
		t.Fatal(err)
	}
	add(t, h, said("Ada", home.Adult, -1, "", "1111"))
	add(t, h, said("Ben", home.Child, 9, "07:00-19:30", ""))
	six := uint8(6)
	if err := h.Rate(m.Content, &six); err != nil {
		t.Fatal(err)
	}
	_, file, err := h.Backup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: file, Now: newClock().Now}); err != nil {
		t.Fatal(err)
	}
	again := k.open(t, dir)
	if d := cmp.Diff(h.People(), again.People()); d != "" {
		t.Error(d)
	}
	if years, known := again.RatedFrom(again.Titles()[0]); years != 6 || !known {
		t.Errorf("rated %d, %v", years, known)
	}
	if _, err := again.SitDown(home.Seat{Person: h.People()[0].ID, PIN: "1111"}); err != nil {
		t.Errorf("the PIN: %v", err)
	}
	bad := strings.Replace(string(file), `"adult"`, `"child"`, 1)
	dir = t.TempDir()
	if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: []byte(bad), Now: newClock().Now}); err == nil {
		t.Error("a house without an adult is restored")
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 0 {
		t.Errorf("%d files left: %v", len(all), err)
	}
}

// A browser and a device are a child's or a guest's, or nobody's, durably.
func TestPeople_8_WhoseItIs(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	h := open(t, dir, hometest.New(t, nil), c)
	ada := add(t, h, said("Ada", home.Adult, -1, "", "1111"))
	ben := add(t, h, said("Ben", home.Child, 9, "", ""))
	token, w, err := h.AskBrowser("tablet")
	if err == nil {
		err = h.LetBrowserIn(w.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := h.BindBrowser(w.ID, ada.ID); !errors.Is(err, home.ErrPersonKind) {
		t.Errorf("an adult's: %v", err)
	}
	if err := h.BindBrowser("x", ben.ID); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("another browser: %v", err)
	}
	if err := h.BindBrowser(w.ID, "Ben"); err != nil || h.BrowserOf(token) != ben.ID {
		t.Errorf("Ben's: %v, %q", err, h.BrowserOf(token))
	}
	h = open(t, dir, hometest.New(t, nil), c)
	if who, ok := h.Sitter("", h.BrowserOf(token)); !ok || who.ID != ben.ID {
		t.Errorf("after a restart: %+v", who)
	}
	if err := h.BindBrowser(w.ID, ""); err != nil || h.BrowserOf(token) != "" {
		t.Errorf("nobody's: %v", err)
	}
	if err := h.BindDevice(ident.Device{9}, ben.ID); !errors.Is(err, home.ErrUnknown) {
		t.Errorf("a device that is none: %v", err)
	}
}

// A sitting ends with what the browser was when somebody sat down: an adult makes a tablet
// Ben's, at which he sits as his elder sister, or the adult does.
func TestPeople_4_ABindingEndsEarlierSittings(t *testing.T) {
	h := open(t, t.TempDir(), hometest.New(t, nil), newClock())
	ada := add(t, h, said("Ada", home.Adult, -1, "", "1111"))
	ben := add(t, h, said("Ben", home.Child, 9, "", ""))
	dora := add(t, h, said("Dora", home.Child, 15, "", ""))
	for _, tc := range []struct {
		name string
		seat home.Seat
		now  string // whose the browser is by then
		want string
	}{
		{"Ben as Dora, made Ben's", home.Seat{Person: dora.ID}, ben.ID, ben.ID},
		{"Ada, made Ben's", home.Seat{Person: ada.ID, PIN: "1111"}, ben.ID, ben.ID},
		{"Dora's, made Ben's", home.Seat{Person: dora.ID, Bound: dora.ID}, ben.ID, ben.ID},
		{"Ben's, made nobody's", home.Seat{Person: ben.ID, Bound: ben.ID}, "", ""},
		{"Ada at Ben's", home.Seat{Person: ada.ID, PIN: "1111", Bound: ben.ID}, ben.ID, ada.ID},
	} {
		token, err := h.SitDown(tc.seat)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		got := ""
		if w, ok := h.Sitter(token, tc.now); ok {
			got = w.ID
		}
		if got != tc.want {
			t.Errorf("%s: it is %q, want %q", tc.name, got, tc.want)
		}
		if w, ok := h.Sitter(token, tc.seat.Bound); tc.now != tc.seat.Bound && ok && w.ID != tc.seat.Bound {
			t.Errorf("%s: the sitting is there again", tc.name)
		}
	}
}

// peopleDir names the folder in which the child of a kill test tries PINs.
const peopleDir = "LARES_TEST_PEOPLE_DIR"

// tryPINs tries wrong PINs as fast as the clock lets it, and says each that was read.
func tryPINs(dir string) error {
	now := time.Now()
	h, err := home.New(home.Config{Dir: dir, Module: &hometest.Module{}, Now: func() time.Time { return now }})
	if err != nil {
		return err
	}
	for {
		now = now.Add(time.Hour)
		if _, err := h.SitDown(home.Seat{Person: h.People()[0].ID, PIN: "0000"}); !errors.Is(err, home.ErrWrongPIN) {
			return err
		}
		fmt.Println("wrong")
	}
}

// TestPeople_3_KilledWhileAPINIsTried: a plug that is pulled gives no try back, and
// leaves a file that opens.
func TestPeople_3_KilledWhileAPINIsTried(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, hometest.New(t, nil), newClock())
	add(t, h, said("Ada", home.Adult, -1, "", "1234"))
	told := 0
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very binary
		cmd.Env = append(os.Environ(), peopleDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		for range 2 + round {
			if !in.Scan() {
				t.Fatalf("round %d: it ended by itself: %v", round, cmd.Wait())
			}
			told++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for in.Scan() {
			told++
		}
		_ = cmd.Wait() // it was killed
		h := open(t, dir, hometest.New(t, nil), newClock())
		if got := h.People()[0].Wrong; got < told {
			t.Errorf("round %d: %d were tried, %d are noted", round, told, got)
		}
	}
}

// The hours are those that now is in, or the next ones; over midnight and on days on
// which the clock is changed, too.
func TestPeople_9_Hours(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err) // Go brings them along
	}
	const form = "2006-01-02 15:04 -0700"
	for _, tc := range []struct{ hours, now, from, until string }{
		{"07:00-19:30", "2026-11-28 06:59 +0100", "2026-11-28 07:00 +0100", "2026-11-28 19:30 +0100"},
		{"07:00-19:30", "2026-11-28 07:00 +0100", "2026-11-28 07:00 +0100", "2026-11-28 19:30 +0100"},
		{"07:00-19:30", "2026-11-28 19:30 +0100", "2026-11-29 07:00 +0100", "2026-11-29 19:30 +0100"},
		{"22:00-02:00", "2026-11-28 01:59 +0100", "2026-11-27 22:00 +0100", "2026-11-28 02:00 +0100"},
		{"22:00-02:00", "2026-11-28 02:00 +0100", "2026-11-28 22:00 +0100", "2026-11-29 02:00 +0100"},
		{"00:00-24:00", "2026-11-28 23:59 +0100", "2026-11-28 00:00 +0100", "2026-11-29 00:00 +0100"},
		{"07:00-19:30", "2026-03-28 20:00 +0100", "2026-03-29 07:00 +0200", "2026-03-29 19:30 +0200"}, // summer time begins
		{"01:30-03:15", "2026-10-25 00:00 +0200", "2026-10-25 01:30 +0200", "2026-10-25 03:15 +0100"}, // and ends
	} {
		h, err := home.ParseHours(tc.hours)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(form, tc.now)
		if err != nil {
			t.Fatal(err)
		}
		from, until := h.Window(now.In(berlin))
		if got := [2]string{from.Format(form), until.Format(form)}; got != [2]string{tc.from, tc.until} {
			t.Errorf("%s at %s: %v, want %s to %s", tc.hours, tc.now, got, tc.from, tc.until)
		}
	}
}

// FuzzHours: what is taken is written the same.
func FuzzHours(f *testing.F) {
	for _, s := range []string{"", "07:00-19:30", "22:00-02:00", "00:00-24:00", "24:00-07:00", "07:00-07:00", "7:00-19:30", "07:60-19:30", "00:00-24:01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := home.ParseHours(s)
		if err != nil {
			return
		}
		if h.String() != s || h.From >= 24*60 || h.Until > 24*60 {
			t.Errorf("%q is read as %+v", s, h)
		}
		now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
		if from, until := h.Window(now); s != "" && (!now.Before(until) || !from.Before(until) || until.Sub(from) > 24*time.Hour || from.Sub(now) > 24*time.Hour) {
			t.Errorf("%q at noon is from %v to %v", s, from, until)
		}
	})
}
