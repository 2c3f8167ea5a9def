//go:build !linux

package loop

// newNative is the portable backend where there is no epoll.
func newNative(o *Options) (groupBackend, error) { return newPortable(o) }
