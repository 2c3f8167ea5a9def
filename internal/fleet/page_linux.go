package fleet

import (
	"crypto/rand"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newPage makes a page for so many workers and the file that carries it to
// them, which is the caller's. The page stays mapped until the process ends:
// whoever reads counts need not ask whether it is still there.
func newPage(workers int) (*Page, *os.File, error) {
	fd, err := unix.MemfdCreate("rookery-fleet", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("fleet: memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "page")
	if err := f.Truncate(int64(pageSize(workers))); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("fleet: page: %w", err)
	}
	p, err := openPage(f, workers)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	_, _ = rand.Read(p.mem[:secretSize]) // does not fail
	return p, f, nil
}

// openPage maps the page that f carries.
func openPage(f *os.File, workers int) (*Page, error) {
	mem, err := unix.Mmap(int(f.Fd()), 0, pageSize(workers), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("fleet: page: mmap: %w", err)
	}
	return &Page{mem: mem, rows: workers}, nil
}
