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
