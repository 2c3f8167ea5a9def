package memprof

import (
	"runtime/metrics"
	"sync"
)

// Heap is what the Go runtime of the calling process holds, in bytes unless
// said otherwise.
type Heap struct {
	Live    int64 `json:"live"`    // marked by the last collection
	Objects int64 `json:"objects"` // live, dead and new objects together
	Count   int64 `json:"count"`   // number of objects
	Unused  int64 `json:"unused"`  // room inside spans that hold objects
	Free    int64 `json:"free"`    // free pages not yet returned to the kernel
	Stacks  int64 `json:"stacks"`  // goroutine and thread stacks
	Meta    int64 `json:"meta"`    // the runtime's own tables
	Other   int64 `json:"other"`   // profiling and the rest
	Goal    int64 `json:"goal"`    // heap size at which the next collection ends
	// Goroutines is a number, not bytes.
	Goroutines int64 `json:"goroutines"`
}

// heapMetrics says which runtime metric is added to which field.
var heapMetrics = []struct {
	name  string
	field func(*Heap) *int64
}{
	{"/gc/heap/live:bytes", func(h *Heap) *int64 { return &h.Live }},
	{"/gc/heap/goal:bytes", func(h *Heap) *int64 { return &h.Goal }},
	{"/gc/heap/objects:objects", func(h *Heap) *int64 { return &h.Count }},
	{"/sched/goroutines:goroutines", func(h *Heap) *int64 { return &h.Goroutines }},
	{"/memory/classes/heap/objects:bytes", func(h *Heap) *int64 { return &h.Objects }},
	{"/memory/classes/heap/unused:bytes", func(h *Heap) *int64 { return &h.Unused }},
	{"/memory/classes/heap/free:bytes", func(h *Heap) *int64 { return &h.Free }},
	{"/memory/classes/heap/stacks:bytes", func(h *Heap) *int64 { return &h.Stacks }},
	{"/memory/classes/os-stacks:bytes", func(h *Heap) *int64 { return &h.Stacks }},
	{"/memory/classes/metadata/mcache/inuse:bytes", func(h *Heap) *int64 { return &h.Meta }},
	{"/memory/classes/metadata/mcache/free:bytes", func(h *Heap) *int64 { return &h.Meta }},
	{"/memory/classes/metadata/mspan/inuse:bytes", func(h *Heap) *int64 { return &h.Meta }},
	{"/memory/classes/metadata/mspan/free:bytes", func(h *Heap) *int64 { return &h.Meta }},
	{"/memory/classes/metadata/other:bytes", func(h *Heap) *int64 { return &h.Meta }},
	{"/memory/classes/profiling/buckets:bytes", func(h *Heap) *int64 { return &h.Other }},
	{"/memory/classes/other:bytes", func(h *Heap) *int64 { return &h.Other }},
}

// heap are the samples that ReadHeap reads, in the order of heapMetrics.
var heap struct {
	sync.Mutex
	samples []metrics.Sample
}

// ReadHeap reads the heap of the calling process without stopping it.
func ReadHeap() Heap {
	heap.Lock()
	defer heap.Unlock()
	for i := len(heap.samples); i < len(heapMetrics); i++ {
		heap.samples = append(heap.samples, metrics.Sample{Name: heapMetrics[i].name})
	}
	samples := heap.samples
	metrics.Read(samples)
	var h Heap
	for i, m := range heapMetrics {
		*m.field(&h) += int64(samples[i].Value.Uint64())
	}
	return h
}

// Mapped returns everything the runtime believes to be resident: all of the
// classes above. Free pages already returned are not in it.
func (h Heap) Mapped() int64 {
	return h.Objects + h.Unused + h.Free + h.Stacks + h.Meta + h.Other
}
