//go:build !linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// work needs epoll and /proc.
func work(context.Context, io.Reader, io.Writer) error {
	return fmt.Errorf("bench: clients are driven on Linux only: %w", errors.ErrUnsupported)
}
