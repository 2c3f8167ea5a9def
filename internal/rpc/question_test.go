package rpc

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func ask(t *testing.T, tab *Table, scope Scope) (*Question, []byte) {
	t.Helper()
	q, err := tab.Ask(scope)
	if err != nil {
		t.Fatal(err)
	}
	return q, q.AppendID(nil)
}

func TestAnswerReachesItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := NewTable(10)
		q, id := ask(t, tab, 3)
		payload := []byte(`{"roots":[]}`)
		go func() {
			synctest.Wait() // the asker waits
			if tab.Answer(4, id, payload, false) {
				t.Error("another scope answered")
			}
			if !tab.Answer(3, id, payload, false) {
				t.Error("refused")
			}
			if tab.Answer(3, id, payload, false) {
				t.Error("answered twice")
			}
			copy(payload, "overwritten!")
		}()
		raw, isError, err := q.Wait(t.Context())
		synctest.Wait()
		if string(raw) != `{"roots":[]}` || isError || err != nil {
			t.Errorf("Wait = %s, %v, %v", raw, isError, err)
		}
		if tab.Asks() != 0 {
			t.Errorf("Asks = %d", tab.Asks())
		}
	})
}

func TestQuestionEnds(t *testing.T) {
	cancelled, cancel := context.WithCancelCause(context.Background())
	cancel(errStop)
	tests := []struct {
		name    string
		ctx     context.Context
		act     func(tab *Table, q *Question, id []byte)
		raw     string
		isError bool
		err     error
	}{
		{name: "error answer", act: func(tab *Table, _ *Question, id []byte) { tab.Answer(3, id, []byte(`{"code":1}`), true) },
			raw: `{"code":1}`, isError: true},
		{name: "abandoned", act: func(_ *Table, q *Question, _ []byte) { q.Abandon(); q.Abandon() }, err: ErrAbandoned},
		{name: "scope gone", act: func(tab *Table, _ *Question, _ []byte) { tab.CancelScope(3, errStop) }, err: errStop},
		{name: "other scope gone, then context", act: func(tab *Table, _ *Question, _ []byte) { tab.CancelScope(4, errors.New("other")) },
			ctx: cancelled, err: errStop},
		{name: "context", act: func(*Table, *Question, []byte) {}, ctx: cancelled, err: errStop},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := NewTable(1)
			q, id := ask(t, tab, 3)
			tt.act(tab, q, id)
			ctx := tt.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			raw, isError, err := q.Wait(ctx)
			if string(raw) != tt.raw || isError != tt.isError || !errors.Is(err, tt.err) {
				t.Errorf("Wait = %s, %v, %v", raw, isError, err)
			}
			if tab.Answer(3, id, []byte("1"), false) {
				t.Error("a late answer was taken")
			}
			if tab.Asks() != 0 {
				t.Errorf("Asks = %d", tab.Asks())
			}
			if _, err := tab.Ask(3); err != nil {
				t.Errorf("the place was not given back: %v", err)
			}
		})
	}
}

func TestAsksAreBounded(t *testing.T) {
	tab := NewTable(2)
	q, _ := ask(t, tab, 1)
	ask(t, tab, 2)
	if _, err := tab.Ask(3); !errors.Is(err, ErrTooManyAsks) {
		t.Errorf("third question: %v", err)
	}
	q.Abandon()
	ask(t, tab, 3)
	if n := tab.CancelScope(2, errStop) + tab.CancelScope(3, errStop); n != 2 {
		t.Errorf("%d questions failed with their scopes", n)
	}
}

func TestForeignIDs(t *testing.T) {
	tab := NewTable(1)
	_, id := ask(t, tab, 1)
	for _, bad := range []string{
		"", "1", `""`, `"q"`, string(id[:len(id)-1]), string(id) + " ",
		strings.Replace(string(id), "q", "r", 1), `"q000000000000000g"`, `"qABCDEFABCDEFABCD"`, "q0000000000000000xx",
	} {
		if tab.Answer(1, []byte(bad), []byte("1"), false) {
			t.Errorf("%q was taken for an id", bad)
		}
	}
	if got, ok := parseQuestionID(id); !ok || got == 0 {
		t.Errorf("parseQuestionID(%s) = %x, %v", id, got, ok)
	}
}

// Many handlers of one session wait at once, and every answer finds its own.
func TestManyAsks(t *testing.T) {
	const n = 5000
	tab := NewTable(n)
	ids := make(chan []byte, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			q, err := tab.Ask(8)
			if err != nil {
				t.Error(err)
				return
			}
			id := q.AppendID(nil)
			ids <- id
			if raw, _, err := q.Wait(t.Context()); string(raw) != string(id) || err != nil {
				t.Errorf("%s got %s, %v", id, raw, err)
			}
		})
	}
	for range n {
		id := <-ids
		if !tab.Answer(8, id, id, false) {
			t.Errorf("%s refused", id)
		}
	}
	wg.Wait()
}

func TestAnswerRacesEverything(t *testing.T) {
	tab := NewTable(1)
	for i := range 2000 {
		q, id := ask(t, tab, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { tab.Answer(1, id, id, false) })
		wg.Go(cancel)
		if i%2 == 0 {
			wg.Go(q.Abandon)
		} else {
			wg.Go(func() { tab.CancelScope(1, errStop) })
		}
		raw, _, err := q.Wait(ctx)
		if (err == nil) != (string(raw) == string(id)) {
			t.Fatalf("Wait = %s, %v", raw, err)
		}
		wg.Wait()
		if tab.Asks() != 0 {
			t.Fatalf("Asks = %d", tab.Asks())
		}
	}
}

func BenchmarkAsk(b *testing.B) {
	tab := NewTable(1)
	ctx, payload := context.Background(), []byte("{}")
	var id []byte
	b.ReportAllocs()
	for b.Loop() {
		q, err := tab.Ask(1)
		if err != nil {
			b.Fatal(err)
		}
		id = q.AppendID(id[:0])
		tab.Answer(1, id, payload, false)
		if _, _, err := q.Wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCancelScopeEndsCallsFirst: who hears that the scope of its question is
// gone sees that its call is over, and does not write to its client any more.
func TestCancelScopeEndsCallsFirst(t *testing.T) {
	tab := NewTable(1)
	for range 500 {
		f := tab.Begin(t.Context(), 5, []byte("1"))
		q, err := tab.Ask(5)
		if err != nil {
			t.Fatal(err)
		}
		var over error
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _, _ = q.Wait(context.Background())
			over = f.Err()
		})
		tab.CancelScope(5, errStop)
		wg.Wait()
		if over == nil {
			t.Fatal("the call goes on")
		}
		f.End()
	}
}
