package bench

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

// TestControl: a control process measures pauses and delays, and ends when told
// to, or when its standard input does.
func TestControl(t *testing.T) {
	c, err := StartControl(append(self(t), "control"), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = c.Stop() // the test has failed
		}
	}()
	pid := c.PID()
	base, err := c.Read(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var now ControlReading
	eventually(t, "collections and delays", func() bool {
		if now, err = c.Read(testContext(t)); err != nil {
			t.Fatal(err)
		}
		since := now.Since(base)
		return since.GC.Cycles >= 2 && since.GC.Pauses.Total() >= 4 && since.Delays.Total() >= 10
	})
	if now.GC.Forced != 0 {
		t.Errorf("%d collections were forced", now.GC.Forced)
	}
	stopped = true
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if alive(pid) {
		t.Error("it goes on")
	}
	if _, err := c.Read(testContext(t)); err == nil {
		t.Error("an answer of a process that has ended")
	}
}

// TestControlMute: a process that does not answer is an error, and so is one
// that answers something else.
func TestControlMute(t *testing.T) {
	for argv, want := range map[string]string{"cat": "said", "true": "", "nothing-of-this-name": "starting"} {
		c := &Control{timeout: time.Minute}
		var err error
		if c.process, err = startProcess([]string{argv}); err == nil {
			_, err = c.Read(testContext(t))
			_ = c.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", argv, err)
		}
	}
	c := &Control{timeout: time.Millisecond}
	var err error
	if c.process, err = startProcess([]string{"sh", "-c", "while read -r _; do :; done"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(testContext(t)); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Error(err)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
}

// TestControlAnswers: answers are numbered, and one that was given up does not
// pass for the next.
func TestControlAnswers(t *testing.T) {
	in, questions := io.Pipe()
	var out bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- control(in, &out) }()
	for range 3 {
		if _, err := questions.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := questions.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(&out)
	for want := 1; want <= 3; want++ {
		var a controlAnswer
		if err := lines.Decode(&a); err != nil || a.Question != want {
			t.Errorf("%d: %+v, %v", want, a, err)
		}
	}
	c, err := StartControl([]string{"sh", "-c", `read -r _; echo '{"question":7}'; echo '{"question":1,"delays":[{"max_ns":5,"count":2}]}'; read -r _`}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Read(testContext(t)); err != nil || r.Delays.Total() != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := c.Stop(); err != nil {
		t.Log(err) // sh ends with the status of read
	}
}

// TestControlBusy: a control process that is told to be busy is, and measures all
// the same.
func TestControlBusy(t *testing.T) {
	c, err := StartControl(append(self(t), "control"), 2, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	eventually(t, "half a second of work", func() bool {
		used, err := memprof.CPUTime(c.PID())
		if err != nil {
			t.Fatal(err)
		}
		return used > 500*time.Millisecond
	})
	r, err := c.Read(testContext(t))
	if err != nil || r.Delays.Total() == 0 {
		t.Errorf("%d delays, %v", r.Delays.Total(), err)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	for _, share := range []float64{-0.1, 1.5, math.NaN()} {
		if _, err := StartControl(append(self(t), "control"), 1, share); err == nil {
			t.Errorf("a share of %v is taken", share)
		}
	}
}

func TestDelayBound(t *testing.T) {
	last := time.Duration(0)
	for _, d := range []time.Duration{-5, 0, 1, time.Microsecond, 1200, 1201, time.Millisecond, 10 * time.Millisecond, time.Second} {
		b := delayBound(d)
		if b < d-1 || b < last || d > time.Microsecond && float64(b) > 1.21*float64(d) {
			t.Errorf("%v: %v", d, b)
		}
		last = b
	}
}
