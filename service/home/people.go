package home

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

const peopleFile = "people.json"

// Limits of the people of a house. Source: local, docs/spec/people.md.
const (
	maxPeople = 32
	maxChild  = 17  // years: who is older is an adult, or a guest
	maxAge    = 120 // years
)

// PersonKind is what somebody may do in the house.
type PersonKind string

// The kinds.
const (
	Adult PersonKind = "adult" // all that the house may, and who belongs to it
	Child PersonKind = "child" // watches, by age and hours
	Guest PersonKind = "guest" // watches
)

// Errors of people.
var (
	// ErrPersonName is returned for a name that is none, too long, or somebody's.
	ErrPersonName = errors.New("home: a person needs a name of their own")
	// ErrPersonKind is returned for a kind, age or hours that do not go together.
	ErrPersonKind = errors.New("home: kind, age and hours do not go together")
	// ErrNoAdult is returned where nobody could administer the house any more.
	ErrNoAdult = errors.New("home: one adult has to stay")
	// ErrForAdults is returned to a child or a guest who asks for more than to watch.
	ErrForAdults = errors.New("home: that is for adults of the house")
	// ErrWho is returned where people live in the house and nobody said who asks.
	ErrWho = errors.New("home: it is not known who is watching")
)

// Person is somebody of the house, or its guest. It narrows what the house may do with a
// title; the module judges that (docs/spec/evaluation.md, E19).
type Person struct {
	ID    string     `json:"id"` // 16 hexadecimal digits
	Name  string     `json:"name"`
	Kind  PersonKind `json:"kind"`
	Age   uint8      `json:"age,omitempty"`  // years; of a child, and of a guest where it is not 0
	Hours Hours      `json:"hours,omitzero"` // in which a child or a guest may watch; zero: at any time
	PIN   string     `json:"pin,omitempty"`  // its hash (pin.go)
	Tries
	Known []KnownPlace `json:"known,omitempty"` // where they sat down by their PIN, the last one last
}

// people are those of the house, what it says titles are rated, and who sits where.
type people struct {
	mu       sync.Mutex
	dir      string
	list     []Person            // guarded by mu; values are replaced, never changed in place
	rated    []Rated             // guarded by mu
	sittings map[string]*sitting // guarded by mu; by the hash of a token; not kept over a restart
	hashing  sync.Mutex          // one PIN is hashed at a time: each takes memory
}

type peopleState struct {
	People []Person `json:"people"`
	Rated  []Rated  `json:"rated,omitempty"`
}

func openPeople(dir string) (*people, error) {
	var st peopleState
	if err := load(dir, peopleFile, &st); err != nil {
		return nil, err
	}
	if err := st.check(); err != nil {
		return nil, fmt.Errorf("read %s: %w", peopleFile, err)
	}
	return &people{dir: dir, list: st.People, rated: st.Rated, sittings: map[string]*sitting{}}, nil
}

// check holds what people.json has to hold, whoever wrote it.
func (st *peopleState) check() error {
	if len(st.People) > maxPeople || len(st.Rated) > maxRated {
		return errTooLarge
	}
	for i := range st.People {
		if err := checkPerson(&st.People[i], st.People[:i]); err != nil {
			return err
		}
	}
	for i, r := range st.Rated {
		if r.Content == "" || r.Years > maxAge || slices.ContainsFunc(st.Rated[:i], func(o Rated) bool { return o.Content == r.Content }) {
			return ErrPersonKind
		}
	}
	return haveAdult(st.People)
}

// checkPerson judges one person beside the others.
func checkPerson(p *Person, others []Person) error {
	if raw, err := hex.DecodeString(p.ID); err != nil || len(raw) != 8 {
		return ErrPersonKind
	}
	if p.Name == "" || len(p.Name) > maxName || p.Name != cleanName(p.Name) {
		return ErrPersonName
	}
	for _, o := range others {
		if o.ID == p.ID || strings.EqualFold(o.Name, p.Name) || o.ID == p.Name || o.Name == p.ID {
			return ErrPersonName
		}
	}
	fits := false
	switch p.Kind {
	case Adult:
		fits = p.Age == 0 && p.Hours == Hours{}
		if p.PIN == "" {
			return ErrPIN
		}
	case Child:
		fits = p.Age <= maxChild
	case Guest:
		fits = p.Age <= maxAge
	}
	if !fits || p.Wrong < 0 || !arePlaces(p.Known) {
		return ErrPersonKind
	}
	if p.PIN == "" {
		return nil
	}
	_, err := parsePINHash(p.PIN)
	return err
}

// haveAdult: a house without people is run by whoever opens its pages, as ever; one
// with people has an adult among them.
func haveAdult(list []Person) error {
	if len(list) > 0 && !slices.ContainsFunc(list, func(p Person) bool { return p.Kind == Adult }) {
		return ErrNoAdult
	}
	return nil
}

// store replaces the list, durably; the caller holds mu.
func (p *people) store(list []Person, rated []Rated) error {
	st := peopleState{People: list, Rated: rated}
	if err := st.check(); err != nil {
		return err
	}
	if err := save(p.dir, peopleFile, st); err != nil {
		return err
	}
	p.list, p.rated = list, rated
	return nil
}

// People lists the people of the house in the order in which they came.
func (h *Home) People() []Person {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	return slices.Clone(h.people.list)
}

// PersonCalled finds somebody by name or ID.
func (h *Home) PersonCalled(name string) (Person, error) {
	for _, p := range h.People() {
		if p.ID == name || strings.EqualFold(p.Name, name) {
			return p, nil
		}
	}
	return Person{}, fmt.Errorf("person: %w", ErrUnknown)
}

// PersonChange is what is said of somebody; nil: nothing.
type PersonChange struct {
	Name  *string     `json:"name,omitempty"`
	Kind  *PersonKind `json:"kind,omitempty"`
	Age   *uint8      `json:"age,omitempty"`
	Hours *Hours      `json:"hours,omitempty"`
	PIN   *string     `json:"pin,omitempty"` // "": none any more
}

// to makes the change, with the hash of its PIN. A new PIN ends what wrong ones have led
// to.
func (c *PersonChange) to(p Person, hash string) (Person, error) {
	if c.Name != nil {
		if p.Name = strings.TrimSpace(*c.Name); p.Name == "" {
			return p, ErrPersonName
		}
	}
	if c.Kind != nil && *c.Kind != p.Kind {
		if p.Kind = *c.Kind; p.Kind == Adult { // what bounds a child does not bind an adult
			p.Age, p.Hours = 0, Hours{}
		}
	}
	if c.Age != nil {
		p.Age = *c.Age
	}
	if c.Hours != nil {
		p.Hours = *c.Hours
	}
	if c.PIN != nil {
		p.PIN, p.Tries, p.Known = hash, Tries{}, nil
	}
	return p, nil
}

// AddPerson makes somebody one of the house's people, durably. The first is an adult:
// from then on the house asks who is watching.
func (h *Home) AddPerson(c PersonChange) (Person, error) {
	var id [8]byte
	rand.Read(id[:]) // never returns an error
	hash, err := h.people.hash(c.PIN)
	if err != nil {
		return Person{}, err
	}
	p, err := c.to(Person{ID: hex.EncodeToString(id[:])}, hash)
	if err != nil {
		return Person{}, err
	}
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	if len(h.people.list) >= maxPeople {
		return Person{}, ErrTooMany
	}
	if err := h.people.store(append(slices.Clone(h.people.list), p), h.people.rated); err != nil {
		return Person{}, err
	}
	h.publish(Event{Kind: EventLibrary})
	return p, nil
}

// hash is hashPIN, one at a time; "" of none.
func (p *people) hash(pin *string) (string, error) {
	if pin == nil || *pin == "" {
		return "", nil
	}
	p.hashing.Lock()
	defer p.hashing.Unlock()
	return hashPIN(*pin)
}

// SetPerson changes what is said of somebody, durably. What they watch ends, and they
// say again who they are: it may be less that they may, or another PIN.
func (h *Home) SetPerson(id string, c PersonChange) (Person, error) {
	old, err := h.PersonCalled(id)
	if err != nil {
		return old, err
	}
	hash, err := h.people.hash(c.PIN)
	if err != nil {
		return old, err
	}
	p, err := h.people.set(old.ID, c, hash)
	if err != nil {
		return old, err
	}
	h.leave(p.ID)
	return p, nil
}

// set makes a change to what is said of somebody by now: hashing takes its time, in which
// others may have changed it.
func (p *people) set(id string, c PersonChange, hash string) (Person, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.list)
	i := slices.IndexFunc(list, func(o Person) bool { return o.ID == id })
	if i < 0 { // removed meanwhile
		return Person{}, fmt.Errorf("person: %w", ErrUnknown)
	}
	who, err := c.to(list[i], hash)
	if err != nil {
		return who, err
	}
	list[i] = who
	return who, p.store(list, p.rated)
}

// RemovePerson takes somebody out of the house, durably. The last adult goes last.
func (h *Home) RemovePerson(id string) error {
	p, err := h.PersonCalled(id)
	if err != nil {
		return err
	}
	h.people.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(h.people.list), func(o Person) bool { return o.ID == p.ID })
	err = h.people.store(list, h.people.rated)
	h.people.mu.Unlock()
	if err != nil {
		return err
	}
	h.leave(p.ID)
	return nil
}
