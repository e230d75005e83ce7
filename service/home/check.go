package home

import (
	"cmp"
	"errors"
	"os"
	"slices"
)

// Check reads the files of a state folder and says which cannot be read. It
// changes nothing, and may run while a home server serves the folder: each file
// is replaced whole.
func Check(dir string) error {
	_, err := openMembers(dir)
	_, e2 := openShop(dir)
	_, e3 := openSources(dir)
	_, e4 := openBrowsers(dir)
	_, e5 := openPeople(dir)
	var lib libraryState
	err = errors.Join(err, e2, e3, e4, e5, load(dir, libraryFile, &lib))
	for _, folder := range lib.Folders {
		if _, e := os.Stat(folder); e != nil {
			continue // its disk is away, and comes back
		}
		if _, e := readTitle(folder); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}

// ShopsOf lists where the titles of a house came from or are asked for, each URL
// once, those that are waited for first.
func ShopsOf(dir string) ([]string, error) {
	var waiting shopState
	var from sourcesState
	if err := cmp.Or(load(dir, requestsFile, &waiting), load(dir, sourcesFile, &from)); err != nil {
		return nil, err
	}
	var out []string
	add := func(url string) {
		if url != "" && !slices.Contains(out, url) {
			out = append(out, url)
		}
	}
	for _, p := range waiting.Requests {
		add(p.URL)
	}
	for _, w := range from.Sources {
		add(w.URL)
	}
	return out, nil
}
