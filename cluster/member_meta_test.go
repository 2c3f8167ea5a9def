package cluster

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawMeta(t *rapid.T) nodeMeta {
	m := nodeMeta{
		incarnation: rapid.Uint64().Draw(t, "incarnation"),
		draining:    rapid.Bool().Draw(t, "draining"),
		leaving:     rapid.Bool().Draw(t, "leaving"),
		peer:        rapid.StringN(0, -1, metaAddrMax).Draw(t, "peer"),
		admin:       rapid.StringN(0, -1, metaAddrMax).Draw(t, "admin"),
		workers:     []WorkerInfo{},
	}
	for i := range rapid.IntRange(0, WorkersMax).Draw(t, "workers") {
		m.workers = append(m.workers, WorkerInfo{Worker: uint16(i), Incarnation: rapid.Uint64Min(1).Draw(t, "worker")})
	}
	return m
}

func TestMetaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMeta(t)
		if err := m.check(); err != nil {
			t.Fatal(err)
		}
		p := m.append(nil)
		if len(p) > metaMax {
			t.Fatalf("%d bytes", len(p))
		}
		got, err := parseMeta(p)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v became %+v, %v", m, got, err)
		}
		if got, err := parseMeta(append(p, "of a later version"...)); err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("with more behind it %+v became %+v, %v", m, got, err)
		}
		if _, err := parseMeta(p[:rapid.IntRange(0, len(p)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("cut short, it was taken")
		}
	})
}

func TestMetaRefuses(t *testing.T) {
	long := strings.Repeat("a", metaAddrMax+1)
	for name, m := range map[string]nodeMeta{
		"peer":        {peer: long},
		"admin":       {admin: long},
		"many":        {workers: make([]WorkerInfo, WorkersMax+1)},
		"number":      {workers: []WorkerInfo{{Worker: 256, Incarnation: 1}}},
		"order":       {workers: []WorkerInfo{{Worker: 1, Incarnation: 1}, {Worker: 0, Incarnation: 1}}},
		"incarnation": {workers: []WorkerInfo{{}}},
	} {
		if m.check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	p := (&nodeMeta{}).append(nil)
	p[0]++
	if _, err := parseMeta(p); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("another version: %v", err)
	}
}

// TestGossipLengths: whatever a length says, what another node announces or tells
// is taken or refused.
func TestGossipLengths(t *testing.T) {
	behind := bytes.Repeat([]byte{0xff}, 2*256)
	meta := (&nodeMeta{peer: "peer", admin: "admin", workers: []WorkerInfo{{Worker: 3, Incarnation: 4}}}).append(nil)
	left := append([]byte{leftVersion, 1, 'n'}, 0, 0, 0, 0, 0, 0, 0, 1)
	for value := range 256 {
		for at := range meta {
			p := append(bytes.Clone(meta), behind...)
			p[at] = byte(value)
			if m, err := parseMeta(p); err == nil && m.check() != nil {
				t.Errorf("%x was taken: %v", p, m.check())
			}
		}
		for at := range left {
			p := append(bytes.Clone(left), behind...)
			p[at] = byte(value)
			eachLeft(p, func(string, uint64) {})
		}
	}
	eachLeft(append([]byte{leftVersion, 255}, behind...), func(name string, _ uint64) {
		if len(name) != 255 {
			t.Errorf("a name of %d bytes", len(name))
		}
	})
}

func FuzzParseMeta(f *testing.F) {
	f.Add((&nodeMeta{peer: "127.0.0.1:7700", workers: []WorkerInfo{{Worker: 3, Incarnation: 4}}}).append(nil))
	f.Add(append(bytes.Repeat([]byte{metaVersion}, 10), bytes.Repeat([]byte{255}, metaMax)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := parseMeta(p)
		if err != nil {
			return
		}
		p[1] &= metaDraining | metaLeaving
		if again := m.append(nil); !bytes.HasPrefix(p, again) {
			t.Fatalf("%x became %x", p, again)
		}
	})
}

func FuzzEachLeft(f *testing.F) {
	f.Add([]byte{leftVersion, 2, 'n', '1', 0, 0, 0, 0, 0, 0, 0, 7})
	f.Add(append([]byte{leftVersion}, bytes.Repeat([]byte{255}, metaMax)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		again := []byte{leftVersion}
		eachLeft(p, func(name string, incarnation uint64) {
			again = append(append(again, byte(len(name))), name...)
			again = binary.BigEndian.AppendUint64(again, incarnation)
		})
		if len(again) > 1 && !bytes.HasPrefix(p, again) {
			t.Fatalf("%x became %x", p, again)
		}
	})
}
