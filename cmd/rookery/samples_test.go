package main

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/rookery-server/rookery/bench/wire"
	"github.com/rookery-server/rookery/server"
)

// The parser of the Prometheus project and ours find the same in the page of a
// real node.
func TestSamplesAgreeWithPrometheus(t *testing.T) {
	s, err := server.New(server.Options{TCP: "127.0.0.1:0", Admin: "127.0.0.1:0", Version: `1.0 "quoted" \ back`})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	page, err := fetch(ctx, http.MethodGet, s.AdminAddr().String(), "/metrics")
	http.DefaultClient.CloseIdleConnections()
	if err != nil {
		t.Fatal(err)
	}
	read, err := wire.ParseMetrics(string(page))
	if err != nil {
		t.Fatal(err)
	}
	ours := samples(read)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	theirs, err := parser.TextToMetricFamilies(strings.NewReader(string(page)))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, family := range theirs {
		for _, m := range family.Metric {
			var want []string
			for _, l := range m.Label {
				want = append(want, l.GetName(), l.GetValue())
			}
			if h := m.GetHistogram(); h != nil {
				if got := ours.sum(name+"_count", want...); got != figure(h.GetSampleCount()) {
					t.Errorf("%s %v: count %v, want %d", name, want, got, h.GetSampleCount())
				}
				if got, n := len(ours[name+"_bucket"]), len(h.Bucket)*len(family.Metric); got != n {
					t.Errorf("%s: %d buckets, want %d", name, got, n)
				}
			} else if got, v := ours.sum(name, want...), m.GetCounter().GetValue()+m.GetGauge().GetValue(); got != figure(v) {
				t.Errorf("%s %v: %v, want %v", name, want, got, v)
			}
			compared++
		}
	}
	if compared < 100 {
		t.Errorf("only %d metrics on the page", compared)
	}
	if v := ours.label("rookery_build_info", "version"); v != `1.0 "quoted" \ back` {
		t.Errorf("version %q", v)
	}
}

func TestHistogram(t *testing.T) {
	inf := math.Inf(1)
	h := histogram{[]float64{0.001, 0.01, 0.1, inf}, []float64{0, 50, 99, 100}}
	for _, c := range []struct {
		q    float64
		want figure
	}{
		{0.25, 0.0055}, // in the middle of 0.001 to 0.01
		{0.5, 0.01},
		{0.99, 0.1},
		{0.999, 0.1}, // above the last bound: no more than that is known
	} {
		if got := h.quantile(c.q).rounded(6); got != c.want {
			t.Errorf("quantile %v: %v, want %v", c.q, got, c.want)
		}
	}
	if got := h.most(); got != 0.1 {
		t.Errorf("most %v", got)
	}
	later := histogram{h.le, []float64{0, 50, 109, 110}}
	if d := later.since(h); d.count() != 10 || d.most() != 0.1 || d.quantile(0.5).rounded(6) != 0.055 {
		t.Errorf("since: %v, %v, %v", d.count(), d.most(), d.quantile(0.5))
	}
	if sum := h.plus(later).plus(histogram{}); sum.count() != 210 {
		t.Errorf("plus: %v", sum.count())
	}
	for name, none := range map[string]histogram{
		"zero": {}, "empty": h.since(h), "of a process before": h.since(later), "of other bounds": h.since(histogram{[]float64{1}, []float64{0}}),
	} {
		if none.quantile(0.5).known() || none.most().known() {
			t.Errorf("%s: %v, %v", name, none.quantile(0.5), none.most())
		}
	}
}

// TestSamples: what is not on a page is unknown, not nothing.
func TestSamples(t *testing.T) {
	all := samples{"a": {{Value: 1}, {Labels: map[string]string{"x": "1"}, Value: 2}}}
	if all.sum("a") != 3 || all.sum("a", "x", "1") != 2 || all.label("a", "x") != "" {
		t.Errorf("%v", all)
	}
	if all.sum("d").known() || all.sum("a", "x", "2").known() || all.label("d", "x") != "" {
		t.Error("something is known of what is not there")
	}
}
