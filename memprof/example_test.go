package memprof_test

import (
	"fmt"
	"testing"

	"github.com/rookery-server/rookery/memprof"
)

// A program that holds three clients in slots of 48 bytes accounts for itself.
func ExampleTake() {
	r, err := memprof.Take(3, memprof.Component{Name: "slots", Count: 3, Bytes: 3 * 48})
	if err != nil {
		fmt.Println(err) // no /proc here
		return
	}
	var sum int64
	for _, c := range r.Components {
		sum += c.Bytes
	}
	fmt.Println(r.Components[0].Name, r.Components[0].Bytes, sum == r.Resident.RSS)
	// Output: slots 144 true
}

func BenchmarkTake(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := memprof.Take(1); err != nil {
			b.Fatal(err)
		}
	}
}
