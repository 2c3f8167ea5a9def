package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// touch marks uri as changed and returns how many are subscribed to it.
func (f *fake) touch(uri string) (notified int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.touched == nil {
		f.touched = map[string]int{}
	}
	f.touched[uri]++
	for _, u := range f.subs {
		if u == uri {
			notified++
		}
	}
	return notified
}

func (f *fake) touches(uri string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.touched[uri]
}

func (f *fake) subscribe(session string, body []byte) {
	var m struct{ Params struct{ URI string } }
	if err := json.Unmarshal(body, &m); err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subs == nil {
		f.subs = map[string]string{}
	}
	f.subs[session] = m.Params.URI
}

func (f *fake) subscription(session string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subs[session]
}

// confirm asks the client's user and returns what the user said.
func (f *fake) confirm(w http.ResponseWriter, r *http.Request) {
	f.clients.Add(1)
	defer f.clients.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	id := fmt.Sprint(f.sessions.Add(1))
	heard := make(chan struct{})
	f.answers.Store(id, heard)
	question := fmt.Sprintf("event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"elicitation/create\",\"params\":{}}\n\n", id)
	if !f.impatient {
		f.waiting.Add(1) // before the client knows
		defer f.waiting.Add(-1)
		_, _ = io.WriteString(w, question)
		if f.nosy {
			_, _ = io.WriteString(w, question)
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-heard:
		case <-r.Context().Done():
			return
		}
	}
	sure := f.turn.Load() != turnWrong
	if f.turn.Load() == turnClose {
		panic(http.ErrAbortHandler)
	}
	_, _ = fmt.Fprintf(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{\"structuredContent\":{\"action\":\"accept\",\"sure\":%v}}}\n\n", confirmID, sure)
}

// answered takes a user's answer.
func (f *fake) answered(w http.ResponseWriter, body []byte) {
	var m struct{ ID json.RawMessage }
	_ = json.Unmarshal(body, &m)
	heard, ok := f.answers.LoadAndDelete(string(m.ID))
	if !ok {
		http.Error(w, "no such question", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	close(heard.(chan struct{}))
}
