package cenc

import (
	"reflect"
	"unsafe"
)

// wipe overwrites what an AES object of the standard library holds: its key
// schedule begins with the key itself, and the collector leaves it in memory
// until that is used again. An object that is not made of plain numbers, such as
// one of another implementation, is left as it is.
func wipe(v any) {
	p := reflect.ValueOf(v)
	if p.Kind() == reflect.Struct && p.NumField() == 1 { // cipher.NewCTR wraps its pointer
		p = p.Field(0)
	}
	if p.Kind() != reflect.Pointer || p.IsNil() || !plain(p.Type().Elem()) {
		return
	}
	clear(unsafe.Slice((*byte)(p.UnsafePointer()), p.Type().Elem().Size())) //nolint:gosec // the whole object, and no pointer in it
}

// plain reports whether a type holds numbers only: zeros are then a value of it.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for f := range t.Fields() {
			if !plain(f.Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return plain(t.Elem())
	default:
		return t.Kind() >= reflect.Bool && t.Kind() <= reflect.Complex128
	}
}
