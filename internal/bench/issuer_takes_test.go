package bench

import (
	"strings"
	"testing"
	"time"
)

// The forms that are quoted fit into their ten minutes, and a long one says that it needs
// gigabytes and more than a quarter of an hour.
func TestIssuer_WhatItTakesIsSaid(t *testing.T) {
	for _, store := range []string{sqliteStore, postgresStore} {
		usual, full := takesOf(scaleOf(Config{}), store), takesOf(scaleOf(Config{Full: true}), store)
		if usual.time > 10*time.Minute {
			t.Errorf("%s: the usual form takes %v", store, usual.time)
		}
		if full.time < 15*time.Minute || full.time > 2*time.Hour {
			t.Errorf("%s: the long form takes %v", store, full.time)
		}
		sum := 0.0
		for _, r := range full.disk {
			sum += r.bytes
		}
		if sum < 10_000_000*600 || sum > 40e9 {
			t.Errorf("%s: the long form takes %.0f bytes", store, sum)
		}
		var said strings.Builder
		if err := full.say(&said); err != nil || !strings.Contains(said.String(), "GB of the disk of .") || !strings.Contains(said.String(), "minutes") {
			t.Errorf("%s: %q, %v", store, said.String(), err)
		}
	}
}

// With too little room nothing begins; two folders of one disk need the sum of both.
func TestIssuer_WhatItTakesIsThere(t *testing.T) {
	n := takes{disk: []room{{"a", 3e9}, {"b", 4e9}}}
	for _, c := range []struct {
		name   string
		has    float64
		shared bool
		ok     bool
	}{{"two disks", 5e9, false, true}, {"one disk for both", 5e9, true, false}, {"one that is large", 8e9, true, true}, {"too small", 3.5e9, false, false}} {
		err := n.met(func(dir string) (uint64, float64, error) {
			if c.shared {
				return 1, c.has, nil
			}
			return uint64(dir[0]), c.has, nil
		})
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "make room") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, free, err := freeSpace("."); err != nil || free <= 0 {
		t.Errorf("%v bytes are free here, %v", free, err)
	}
}
