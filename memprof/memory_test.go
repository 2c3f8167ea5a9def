package memprof

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

const statusText = `Name:	rookery
VmPeak:	 2050636 kB
VmRSS:	   45604 kB
RssAnon:	   10004 kB
RssFile:	   35596 kB
RssShmem:	       4 kB
VmPTE:	     204 kB
VmSwap:	       8 kB
Threads:	8
`

func TestParseMemory(t *testing.T) {
	got, err := parseMemory([]byte(statusText))
	if err != nil {
		t.Fatal(err)
	}
	want := Memory{RSS: 45604 << 10, Anon: 10004 << 10, Shmem: 4 << 10, File: 35596 << 10, Swap: 8 << 10, PageTables: 204 << 10}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.RSS != got.Anon+got.File+got.Shmem {
		t.Errorf("RSS %d is not the sum of its parts", got.RSS)
	}
	if got.Own() != 10008<<10 {
		t.Errorf("Own() = %d", got.Own())
	}
}

func TestParseMemoryRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no line RssAnon:": strings.Replace(statusText, "RssAnon", "Gone", 1),
		"want a number":    strings.Replace(statusText, "10004 kB", "10004", 1),
		"invalid syntax":   strings.Replace(statusText, "10004 kB", "ten kB", 1),
		"a zombie":         "",
	} {
		if _, err := parseMemory([]byte(text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
	}
}

// TestReadMemory touches 32 MB and finds them in its own account.
func TestReadMemory(t *testing.T) {
	needLinux(t)
	before, err := ReadMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 32 << 20
	hold, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(hold) }()
	for i := 0; i < size; i += 1024 {
		hold[i] = 1
	}
	after, err := ReadMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if grown := after.Own() - before.Own(); grown < size*9/10 || grown > size*3/2 {
		t.Errorf("touching %d bytes grew the process by %d", size, grown)
	}
}

func TestReadMemoryNoProcess(t *testing.T) {
	if _, err := ReadMemory(1 << 30); err == nil {
		t.Error("no error for a process that cannot exist")
	}
	if _, err := CPUTime(1 << 22); err == nil {
		t.Error("no error for the clock of a process that cannot exist")
	}
}

func needLinux(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("needs Linux's /proc: ", err)
	}
}
