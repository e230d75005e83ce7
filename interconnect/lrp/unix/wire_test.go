package unix

import (
	"bytes"
	"testing"
)

func FuzzItems(f *testing.F) {
	var good bytes.Buffer
	if err := writeItems(&good, [][]byte{{1, 2, 3}, {}}); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{refused})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		items, err := readItems(r)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeItems(&again, items); err != nil || !bytes.Equal(again.Bytes(), data[:len(data)-r.Len()]) {
			t.Errorf("%x is written as %x, %v", data, again.Bytes(), err)
		}
	})
}
