//go:build invariants

package loop

// mangle overwrites a buffer that was given back, so that whoever kept a
// borrowed slice reads nonsense and tests notice.
func mangle(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0xdb
	}
}
