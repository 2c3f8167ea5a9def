package fleet

import (
	"slices"

	"github.com/rookery-server/rookery/memprof"
)

// memory is the JSON of /debug/mem: the account of all processes together, in
// the form that one process has, and what each of them says.
//
// Pages that processes share (the program itself) count once for each of them,
// as in their resident memory.
type memory struct {
	memprof.Report
	Workers []memprof.Report `json:"workers"`
}

// sumMemory adds the accounts of workers to the supervisor's. The invariant of a
// Report holds for the sum, because it is linear.
func sumMemory(own memprof.Report, workers []memprof.Report) memory {
	m := memory{Report: own, Workers: workers}
	sum := &m.Report
	sum.Components = nil
	sum.GC.Pauses, sum.GC.Stopping = slices.Clone(own.GC.Pauses), slices.Clone(own.GC.Stopping)
	for _, r := range slices.Concat([]memprof.Report{own}, workers) {
		addComponents(sum, r.Components)
	}
	for i := range workers {
		r := &workers[i]
		sum.Clients += r.Clients
		addMemory(&sum.Resident, &r.Resident)
		addHeap(&sum.Heap, &r.Heap)
		addGC(&sum.GC, &r.GC)
	}
	return m
}

// addComponents adds rows by name; the runtime's rows stay behind those of the
// programs, in their order.
func addComponents(sum *memprof.Report, rows []memprof.Component) {
	at := 0 // where a row that is new goes: behind the one before it
	for _, row := range rows {
		i := slices.IndexFunc(sum.Components, func(c memprof.Component) bool { return c.Name == row.Name })
		if i < 0 {
			sum.Components = slices.Insert(sum.Components, at, row)
			at++
			continue
		}
		sum.Components[i].Count += row.Count
		sum.Components[i].Bytes += row.Bytes
		at = i + 1
	}
}

func addMemory(sum, m *memprof.Memory) {
	sum.RSS += m.RSS
	sum.Anon += m.Anon
	sum.Shmem += m.Shmem
	sum.File += m.File
	sum.Swap += m.Swap
	sum.PageTables += m.PageTables
}

func addHeap(sum, h *memprof.Heap) {
	sum.Live += h.Live
	sum.Objects += h.Objects
	sum.Count += h.Count
	sum.Unused += h.Unused
	sum.Free += h.Free
	sum.Stacks += h.Stacks
	sum.Meta += h.Meta
	sum.Other += h.Other
	sum.Goal += h.Goal
	sum.Goroutines += h.Goroutines
}

func addGC(sum, g *memprof.GC) {
	sum.Cycles += g.Cycles
	sum.Forced += g.Forced
	sum.PauseMax = max(sum.PauseMax, g.PauseMax)
	sum.Pauses.Add(g.Pauses)
	sum.Stopping.Add(g.Stopping)
}
