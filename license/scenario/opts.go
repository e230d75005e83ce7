package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// opts is what may stand in a list of words: flags and key=value, each once.
type opts map[string]func(value string) error

func (o opts) add(name string, f func(value string) error) { o[name] = f }

// number is an option whose value is a number.
func (o opts) number(name string, into *uint64) {
	o[name] = func(v string) (err error) {
		*into, err = parseNumber(v)
		return err
	}
}

// span is an option whose value is a duration.
func (o opts) span(name string, into *int64) {
	o[name] = func(v string) (err error) {
		*into, err = parseDuration(v)
		return err
	}
}

// yes is a flag, or an option whose value is yes or no.
func (o opts) yes(name string, into *bool) {
	o[name] = func(v string) (err error) {
		*into, err = parseYes(v)
		return err
	}
}

// text is an option whose value is any word.
func (o opts) text(name string, into *string) {
	o[name] = func(v string) error {
		if v == "" {
			return fmt.Errorf("want a value")
		}
		*into = v
		return nil
	}
}

// read reads the words. An unknown one is told what may stand there.
func (o opts) read(words []string) error {
	seen := map[string]bool{}
	for _, w := range words {
		key, value, has := strings.Cut(w, "=")
		f := o[key]
		if f == nil {
			return fmt.Errorf("%q cannot stand here; here can stand: %s", w, strings.Join(slices.Sorted(maps.Keys(o)), ", "))
		}
		if seen[key] {
			return fmt.Errorf("%q stands twice", key)
		}
		if has && value == "" {
			return fmt.Errorf("%q: want a value", w)
		}
		seen[key] = true
		if err := f(value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
