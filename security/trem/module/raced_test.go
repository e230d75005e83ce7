//go:build race

package module_test

// raced says that this binary looks for races, which makes it several times as slow, and
// that the same tests run whole without: a part of the faults is enough for it.
const raced = true
