package server

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// pointerFree reports the first part of a type that holds a pointer.
func pointerFree(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return ""
	case reflect.Array:
		return pointerFree(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if bad := pointerFree(f.Type); bad != "" {
				return f.Name + "." + bad
			}
		}
		return ""
	}
	return t.String()
}

// TestRecordsHoldNoPointer: what is copied as memory must mean the same later.
func TestRecordsHoldNoPointer(t *testing.T) {
	for _, v := range []any{codec.Envelope{}, webSpans{}} {
		if bad := pointerFree(reflect.TypeOf(v)); bad != "" {
			t.Errorf("%T: %s", v, bad)
		}
	}
	if bad := pointerFree(reflect.TypeOf(method{})); bad == "" {
		t.Error("the check finds nothing")
	}
}

func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.Custom(func(t *rapid.T) codec.Span {
			return codec.Span{Off: rapid.Uint32().Draw(t, "off"), Len: rapid.Uint32().Draw(t, "len")}
		})
		env := codec.Envelope{Kind: codec.KindRequest, Escaped: rapid.Bool().Draw(t, "escaped"),
			ID: span.Draw(t, "id"), Method: span.Draw(t, "method"), Params: span.Draw(t, "params")}
		msg := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		before := rapid.SliceOf(rapid.Byte()).Draw(t, "before") // alignment is not to be relied on
		m := &method{index: rapid.Uint32().Draw(t, "index")}

		rec := appendCallRecord(before, m, msg, &env)[len(before):]
		var got codec.Envelope
		index, rest := loadCallRecord(rec, &got)
		if index != m.index || string(rest) != string(msg) || got != env {
			t.Fatalf("call: %d %q %+v", index, rest, got)
		}
		spans := webSpans{req: codec.Request{Method: codec.MethodPost, Flags: 3, Path: span.Draw(t, "path"), Body: span.Draw(t, "body")}, env: env}
		var web webSpans
		rest = loadPlain(&web, append(appendPlain(before, &spans), msg...)[len(before):])
		if string(rest) != string(msg) || web != spans {
			t.Fatalf("request: %q %+v", rest, web)
		}
	})
}

// TestSessionsKeepEveryField: the adapter between two packages that do not
// know each other must not lose a field that one of them adds.
func TestSessionsKeepEveryField(t *testing.T) {
	if a, b := reflect.TypeFor[mcp.Session]().NumField(), reflect.TypeFor[session.Record]().NumField(); a != b {
		t.Fatalf("mcp has %d fields, the table %d", a, b)
	}
	var want mcp.Session
	v := reflect.ValueOf(&want).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Array:
			f.Index(0).SetUint(uint64(i + 1))
		default:
			f.SetUint(uint64(i + 1))
		}
	}
	r := toRecord(&want)
	if got := toSession(&r); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if reflect.ValueOf(r).IsZero() {
		t.Error("nothing was set")
	}
}

// TestSessionsAdapter walks one session through its life.
func TestSessionsAdapter(t *testing.T) {
	var now time.Time
	table := sessions{table: session.NewTable(session.Options{Max: 1, Now: func() time.Time { return now }})}
	id, ref, err := table.Create(mcp.Session{Client: 7, State: mcp.StateInitialized})
	if err != nil || ref == 0 || ref>>63 != 0 {
		t.Fatalf("ref %x, %v", ref, err)
	}
	if _, _, err := table.Create(mcp.Session{}); err == nil {
		t.Error("a second session in a table of one")
	}
	if found, ok := table.Find(id); !ok || found != ref {
		t.Errorf("found %x, %v", found, ok)
	}
	if !table.Update(ref, func(s *mcp.Session) { s.State, s.Stream = mcp.StateReady, 9 }) {
		t.Error("not updated")
	}
	table.Touch(ref)
	n := 0
	table.Range(func(r uint64, s mcp.Session) bool {
		n++
		return r == ref && s.Stream == 9
	})
	if s, ok := table.Load(ref); n != 1 || !ok || s.State != mcp.StateReady || s.Client != 7 || s.ID != id {
		t.Errorf("%d in range, loaded %+v, %v", n, s, ok)
	}
	if s, ok := table.Delete(ref); !ok || s.Stream != 9 {
		t.Errorf("deleted %+v, %v", s, ok)
	}
	for what, ok := range map[string]bool{
		"Load": second(table.Load(ref)), "Delete": second(table.Delete(ref)), "Find": second(table.Find(id)),
		"Update": table.Update(ref, func(*mcp.Session) {}),
	} {
		if ok {
			t.Errorf("%s: the session is still there", what)
		}
	}
}

func second[T any](_ T, ok bool) bool { return ok }
