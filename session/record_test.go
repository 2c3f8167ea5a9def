package session

import (
	"reflect"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"Record", unsafe.Sizeof(Record{}), 56},
		{"slot", unsafe.Sizeof(slot{}), 64},
		{"chunk", unsafe.Sizeof(chunk{}), 16384},
		{"stripe", unsafe.Sizeof(stripe{}), 64},
	} {
		if c.got != c.want {
			t.Errorf("a %s has %d bytes, want %d", c.name, c.got, c.want)
		}
	}
}

// No field of a record is lost on its way through a slot, none added later either.
func TestPackKeepsEveryField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		p := r.pack()
		if back := p.unpack(); back != r {
			t.Fatalf("%+v came back as %+v", r, back)
		}
	})
}

// drawRecord fills every field of a record, by reflection.
func drawRecord(t *rapid.T) (r Record) {
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i); f.Kind() {
		case reflect.Array:
			for j := range f.Len() {
				f.Index(j).SetUint(uint64(rapid.Byte().Draw(t, name)))
			}
		default:
			f.SetUint(rapid.Uint64().Draw(t, name) & (1<<f.Type().Bits() - 1))
		}
	}
	return r
}

func TestChunksHoldNoPointers(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[chunk](), reflect.TypeFor[Record]()} {
		if f := pointerIn(typ); f != "" {
			t.Errorf("%v holds a pointer: %s", typ, f)
		}
	}
}

// pointerIn returns the path of the first pointer within t, "" if there is none.
func pointerIn(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if f := pointerIn(t.Field(i).Type); f != "" {
				return t.Field(i).Name + "." + f
			}
		}
		return ""
	case reflect.Array:
		return pointerIn(t.Elem())
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return ""
	}
	return t.String()
}
