package shard_test

import (
	"fmt"

	"github.com/rookery-server/rookery/shard"
)

func Example() {
	handles := shard.New(0)
	id := shard.Key{1, 2, 3}

	fmt.Println(handles.Insert(id, 17)) // a claim that one of several wins
	fmt.Println(handles.Insert(id, 18))
	fmt.Println(handles.Get(id))
	fmt.Println(handles.CompareAndDelete(id, 18)) // only its holder removes it
	fmt.Println(handles.CompareAndDelete(id, 17))
	fmt.Println(handles.Len())
	// Output:
	// true
	// false
	// 17 true
	// false
	// true
	// 0
}
