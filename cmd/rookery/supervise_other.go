//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
)

// workersSupported says whether a node can be several processes here.
const workersSupported = false

// supervise is not reached: the settings are refused before.
func supervise(context.Context, *settings, int, <-chan os.Signal, io.Writer, *slog.Logger) error {
	return errors.ErrUnsupported
}

// workerCommands are none.
func workerCommands([]string) []*cobra.Command { return nil }
