//go:build !linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// roam needs epoll.
func roam(context.Context, io.Reader, io.Writer) error {
	return fmt.Errorf("bench: clients are driven on Linux only: %w", errors.ErrUnsupported)
}
