//go:build race

package needs

// Raced says whether this binary looks for data races.
const Raced = true
