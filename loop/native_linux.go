package loop

// newNative returns the epoll backend.
func newNative(o *Options) (groupBackend, error) { return newPortable(o) }
