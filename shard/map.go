package shard

import "sync"

// Key is a 128-bit session id.
type Key [16]byte

// Map maps keys to 64-bit values.
type Map struct {
	mu sync.RWMutex
	m  map[Key]uint64
}

// New returns an empty map.
func New(hint int) *Map { return &Map{m: map[Key]uint64{}} }

// Get returns the value of k.
func (m *Map) Get(k Key) (uint64, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.m[k]
	return v, ok
}

// Put sets the value of k and returns the one it replaced.
func (m *Map) Put(k Key, v uint64) (old uint64, replaced bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, replaced = m.m[k]
	m.m[k] = v
	return old, replaced
}

// Insert sets the value of k unless k is present; it reports whether it did.
func (m *Map) Insert(k Key, v uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.m[k]; ok {
		return false
	}
	m.m[k] = v
	return true
}

// CompareAndDelete removes k if its value is v; it reports whether it did.
func (m *Map) CompareAndDelete(k Key, v uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.m[k]; !ok || old != v {
		return false
	}
	delete(m.m, k)
	return true
}

// Delete removes k and returns the value it had.
func (m *Map) Delete(k Key) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.m[k]
	delete(m.m, k)
	return v, ok
}

// Len returns the number of keys.
func (m *Map) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.m)
}

// Range calls f for each key until f returns false.
func (m *Map) Range(f func(Key, uint64) bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for k, v := range m.m {
		if !f(k, v) {
			return
		}
	}
}

// Bytes returns the memory held.
func (m *Map) Bytes() int64 { return int64(m.Len()) * 64 }
