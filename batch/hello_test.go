package batch

import (
	"errors"
	"strings"
	"testing"
)

func hellos(t testing.TB) (a, b Hello) {
	t.Helper()
	x, y := pair(t, Options{Features: FeatureS2}, Options{})
	a, b = x.Hello(), y.Hello()
	a.Cluster, a.Node, a.Worker, a.TargetNode, a.TargetWorker = "rookery", "n1", 0, "n2", 3
	b.Cluster, b.Node, b.Worker, b.TargetNode, b.TargetWorker = "rookery", "n2", 3, "n1", 0
	return a, b
}

func TestHelloRoundTrip(t *testing.T) {
	h, _ := hellos(t)
	h.Resume.Received = [Lanes]uint64{1, 2, 1 << 63}
	h.Resume.Credit = [Lanes]uint64{4, 5, 6}
	h.Cluster = strings.Repeat("c", nameMax)
	h.Node = strings.Repeat("n", nameMax)
	h.TargetNode = strings.Repeat("t", nameMax)
	p, err := AppendHello([]byte("before"), &h)
	if err != nil {
		t.Fatal(err)
	}
	p = p[len("before"):]
	if len(p) > HelloMax {
		t.Errorf("%d bytes, more than HelloMax", len(p))
	}
	got, n, err := ParseHello(append(p, "frames"...))
	want := h
	want.Resume.Version = 0 // Agree sets it
	if err != nil || n != len(p) || got != want {
		t.Errorf("took %d of %d: %v\n got %+v\nwant %+v", n, len(p), err, got, want)
	}
	for n := range len(p) {
		if _, _, err := ParseHello(p[:n]); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	for bit := range 8 * len(p) {
		p[bit/8] ^= 1 << (bit % 8)
		if _, _, err := ParseHello(p); err == nil {
			t.Fatalf("bit %d flipped unnoticed", bit)
		}
		p[bit/8] ^= 1 << (bit % 8)
	}
}

func TestHelloOfALaterVersion(t *testing.T) {
	h, _ := hellos(t)
	p, err := AppendHello(nil, &h)
	if err != nil {
		t.Fatal(err)
	}
	p = append(p[:len(p)-checksumSize], "more"...) // fields that we do not know
	p = appendChecksum(p, 0)
	if got, n, err := ParseHello(p); err != nil || n != len(p) || got.Node != "n1" {
		t.Errorf("took %d of %d: %v", n, len(p), err)
	}
}

func TestHelloThatIsNone(t *testing.T) {
	short := appendChecksum(append(appendPrefix(nil, helloKind), "short"...), 0)
	names := appendChecksum(append(appendPrefix(nil, helloKind), make([]byte, helloFixed+2)...), 0)
	for name, p := range map[string][]byte{
		"another protocol": []byte("GET / HTTP/1.1\r\n"),
		"first byte":       []byte("G"),
		"too long":         []byte("RKYH\xff\xff\x01\x00"),
		"too short":        []byte("RKYH\x00\x00\x01\x00"),
		"kind":             appendChecksum(appendPrefix(nil, 9), 0),
		"no fields":        short,
		"no names":         names,
		"short refusal":    appendChecksum(append(appendPrefix(nil, refusalKind), 1, 0, 9, 0), 0),
	} {
		if _, _, err := ParseHello(p); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := Hello{Node: strings.Repeat("n", nameMax+1)}
	if p, err := AppendHello(nil, &long); err == nil || p != nil {
		t.Errorf("a long name: %v", err)
	}
}

func TestRefusalRoundTrip(t *testing.T) {
	want := Refusal{RefusedDouble, strings.Repeat("r", refusalTextMax)}
	p := AppendRefusal(nil, &Refusal{want.Code, want.Text + "cut off"})
	_, n, err := ParseHello(p)
	var got *Refusal
	if !errors.As(err, &got) || *got != want || n != len(p) || n > HelloMax {
		t.Errorf("took %d of %d: %v", n, len(p), err)
	}
}

func TestAgree(t *testing.T) {
	a, b := hellos(t)
	r, err := Agree(&a, &b)
	want := b.Resume
	want.Version, want.Features = Version, FeatureS2
	if err != nil || r != want {
		t.Errorf("%v\n got %+v\nwant %+v", err, r, want)
	}
	for name, c := range map[string]struct {
		spoil func(*Hello)
		want  RefusalCode
	}{
		"other cluster":      {func(h *Hello) { h.Cluster = "other" }, RefusedCluster},
		"itself":             {func(h *Hello) { h.Incarnation = a.Incarnation }, RefusedSelf},
		"other node":         {func(h *Hello) { h.TargetNode = "n3" }, RefusedTarget},
		"other worker":       {func(h *Hello) { h.TargetWorker = 1 }, RefusedTarget},
		"process that ended": {func(h *Hello) { h.TargetIncarnation-- }, RefusedTarget},
		"too new":            {func(h *Hello) { h.VersionMin, h.VersionMax = 2, 3 }, RefusedVersion},
		"too old":            {func(h *Hello) { h.VersionMin, h.VersionMax = 0, 0 }, RefusedVersion},
		"other limits":       {func(h *Hello) { h.MessageMax-- }, RefusedLimits},
	} {
		h := b
		c.spoil(&h)
		var got *Refusal
		if _, err := Agree(&a, &h); !errors.As(err, &got) || got.Code != c.want || got.Text == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := b
	newer.VersionMax = 7
	if r, err := Agree(&a, &newer); err != nil || r.Version != Version {
		t.Errorf("with a newer one: version %d, %v", r.Version, err)
	}
}

func TestFeaturesIncludeOthers(t *testing.T) {
	for _, c := range [][3]Features{
		{AllFeatures, AllFeatures, AllFeatures},
		{AllFeatures, FeatureS2, FeatureS2},
		{FeatureHuffman, FeatureS2, FeatureS2},
		{FeatureHuffman, FeatureZstd, 0},
		{1 << 40, 1 << 40, 0},
		{NoFeatures, AllFeatures, 0},
	} {
		if got := c[0].and(c[1]); got != c[2] {
			t.Errorf("%b and %b: %b, want %b", c[0], c[1], got, c[2])
		}
	}
}
