//go:build !race

package module_test

// raced: see raced_test.go.
const raced = false
