package lrp

import _ "embed"

//go:embed testdata/vectors.json
var vectors []byte

// Vectors are the public test vectors of docs/spec/lrp.md, as JSON: what a reader
// takes, what it refuses and why. Whoever judges another implementation sends them.
func Vectors() []byte { return vectors }
