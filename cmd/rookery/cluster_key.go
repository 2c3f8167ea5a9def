package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/cluster"
)

func newClusterKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "Make a key for --cluster-key; without FILE print it",
		Long: `All nodes of a cluster share the key: it encrypts gossip and links, and who has it is a member.
FILE is made readable for you alone and never overwritten. To replace a key without an
interruption add the new one as a second line on every node, then put it first, then drop the old.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				fmt.Fprint(cmd.OutOrStdout(), cluster.NewKey())
				return nil
			}
			return writeKey(args[0])
		},
	}
}

// writeKey makes a key file that is not there yet.
func writeKey(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; a key is never overwritten", path)
	}
	if err != nil {
		return err
	}
	if _, err := f.WriteString(cluster.NewKey()); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	return f.Close()
}

// userKey returns the key file that all nodes of one user on one machine share,
// and makes it if it is missing: the quick start needs no setup, and other users
// cannot join.
func userKey() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "rookery", "cluster.key")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	// Several nodes may start at once: a complete file is linked into place, and
	// the first one wins.
	tmp, err := os.CreateTemp(filepath.Dir(path), "cluster.key.*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // what is left is a key that nobody uses
	if _, err := tmp.WriteString(cluster.NewKey()); err != nil {
		return "", errors.Join(err, tmp.Close())
	}
	if err := tmp.Close(); err != nil {
		return "", err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return path, nil
}
