package vault

import (
	"fmt"
	"testing"
)

// BenchmarkCommit is one commit of a play, durable in a temporary folder.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			v, _ := reopen(b, Config{Dir: b.TempDir(), Keystore: newKeystore(b), Device: device})
			recs := []Record{{Kind: 8, Body: make([]byte, 90)}, {Kind: 2, Body: make([]byte, 60)}}
			b.ReportAllocs()
			b.SetParallelism(writers)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := v.Commit(true, recs...); err != nil {
						b.Error(err)
						return
					}
				}
			})
			shut(b, v)
		})
	}
}
