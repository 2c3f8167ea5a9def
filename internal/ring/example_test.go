package ring_test

import (
	"fmt"

	"github.com/rookery-server/rookery/internal/ring"
)

func Example() {
	tasks := ring.New[string](2)
	fmt.Println(tasks.TryPush("read"), tasks.TryPush("write"), tasks.TryPush("close"))
	for task, ok := tasks.TryPop(); ok; task, ok = tasks.TryPop() {
		fmt.Println(task)
	}
	// Output:
	// true true false
	// read
	// write
}
