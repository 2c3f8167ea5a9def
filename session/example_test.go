package session_test

import (
	"fmt"

	"github.com/rookery-server/rookery/session"
)

func Example() {
	table := session.NewTable(session.Options{Max: 100_000})
	clients := session.NewInterner(0, 0)

	id, ref, err := table.Create(session.Record{Client: clients.Intern([]byte("inspector 1.2"))})
	if err != nil {
		fmt.Println(err)
		return
	}
	table.Update(ref, func(r *session.Record) { r.State = 2 })

	// A request names the session by its id.
	wire := id.AppendID(nil)
	parsed, _ := session.ParseID(wire)
	found, _ := table.Find(parsed)
	r, ok := table.Load(found)
	fmt.Println(clients.Name(r.Client), r.State, ok)

	table.Delete(ref)
	_, ok = table.Load(found)
	fmt.Println("after Delete:", ok)
	// Output:
	// inspector 1.2 2 true
	// after Delete: false
}

// A message goes to two sessions; one of them comes back for it.
func ExampleEvents() {
	events := session.NewEvents(session.EventsOptions{Count: 100})
	const stream = 1

	var logs [2]uint32 // beside the sessions, in Record.Log
	body := events.Keep([]byte(`{"method":"notifications/tools/list_changed"}`))
	for i := range logs {
		logs[i], _ = events.Append(logs[i], stream, body)
	}
	events.Release(body)

	covered := events.Since(logs[0], stream, 0, func(seq uint32, msg []byte) { fmt.Println(seq, string(msg)) })
	fmt.Println("covered:", covered, "messages stored:", events.Stats().Bodies)

	events.Drop(logs[0])
	fmt.Println("after Drop:", events.Since(logs[0], stream, 0, nil))
	// Output:
	// 1 {"method":"notifications/tools/list_changed"}
	// covered: true messages stored: 1
	// after Drop: false
}
