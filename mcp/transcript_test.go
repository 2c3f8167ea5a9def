package mcp

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what the server says into testdata/*.txtar")

// TestTranscripts plays testdata/*.txtar: what clients send and what the
// server must answer. Sections:
//
//	-- client a --   one HTTP request over connection a: method, headers, a
//	                 blank line, the body. Host, Content-Type, Accept and
//	                 Content-Length are added where they lack; "!Name" leaves a
//	                 header out. "CLOSE" closes the connection.
//	-- client tcp1 -- lines of a TCP client; "CLOSE" as above
//	-- server a --   all the server wrote on connection a since: status and
//	                 content type, the headers that matter, and the body without
//	                 its framing. "(closed)" says that the server closed it.
//	-- sleep 3s --   time passes
//	-- session demote -- the latest session moves to another process; so with
//	                 promote (home from a lost one), hand over, come home (from
//	                 one that handed it over), end
//	-- broadcast text -- a log message to all sessions
//
// Nothing may be left unread at the end. In client sections $session is the id
// in the latest Mcp-Session-Id header of a response or in the latest result of
// initialize that names one, $ask the id of the latest
// question ($ask2 and so on if there were more), $state the latest requestState,
// and $task1, $task2 and so on are the ids of tasks in the order of their
// appearance. Time and waiting are synctest's: after each client section
// everything runs until it blocks. If the text on top
// says "event log", the server keeps one, if it says "question tools" it has
// those of addQuestionFixtures too; if it begins with "Tasks", there are tools
// for them. With -update the server sections are rewritten: read the difference.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { play(t, archive) })
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type player struct {
	*testbed
	conns   map[string]StreamID
	readers map[StreamID]*responses
	session string
	asks    []string // the latest questions, with their quotes
	state   string   // the latest requestState
	tasks   []string
	along   Session // what was handed over last
}

func play(t *testing.T, archive *txtar.Archive) {
	var events *fakeEvents
	b := newTestbed(func(o *Options) {
		if bytes.Contains(archive.Comment, []byte("event log")) {
			events = newFakeEvents()
			events.max = 4
			o.Events = events
		}
	})
	addFixtures(t, b.Server)
	if strings.HasPrefix(string(archive.Comment), "Tasks") {
		addTaskFixtures(t, b.Server)
	}
	if bytes.Contains(archive.Comment, []byte("question tools")) {
		addQuestionFixtures(t, b.Server)
	}
	p := &player{testbed: b, conns: map[string]StreamID{}, readers: map[StreamID]*responses{}}
	for i := range archive.Files {
		f := &archive.Files[i]
		verb, conn, _ := strings.Cut(f.Name, " ")
		switch verb {
		case "client":
			p.client(t, conn, string(f.Data))
			synctest.Wait()
		case "server":
			got := p.server(conn)
			if want := string(f.Data); got != want && !*update {
				t.Errorf("section %d, connection %s\n--- want ---\n%s--- got ---\n%s", i+1, conn, want, got)
			}
			f.Data = []byte(got)
		case "sleep":
			pause(t, conn)
		case "session":
			p.moveSession(t, conn)
			synctest.Wait()
		case "broadcast":
			if _, err := p.Broadcast(t.Context(), "", LevelInfo, "", conn); err != nil {
				t.Error(err)
			}
		default:
			t.Fatalf("section %q", f.Name)
		}
	}
	for conn := range p.conns {
		if rest := p.server(conn); rest != "" && rest != "(closed)\n" {
			t.Errorf("connection %s: never read:\n%s", conn, rest)
		}
	}
	for conn, st := range p.conns {
		if strings.HasPrefix(conn, "tcp") {
			p.closeTCP(st)
		} else {
			p.disconnect(st)
		}
	}
	for ref := range p.sessions.m {
		last, _ := p.sessions.Delete(ref)
		p.SessionEnded(ref, last)
	}
	p.SweepTasks(time.Now().Add(365 * 24 * time.Hour)) // ends those that run
	synctest.Wait()
	if events != nil && events.left() != 0 {
		t.Errorf("%d logs and bodies left", events.left())
	}
	if n := p.calls.InFlight() + p.calls.Asks(); n != 0 {
		t.Errorf("%d calls and questions left", n)
	}
	if st := p.Stats(); st.Subscriptions+st.Topics+st.Listens != 0 {
		t.Errorf("left behind: %+v", st)
	} else if sum := st.Succeeded + st.Refused + st.Failed + st.Cancelled; sum != st.Requests {
		t.Errorf("outcomes sum to %d: %+v", sum, st)
	}
}

// moveSession moves the latest session as its cluster would.
func (p *player) moveSession(t *testing.T, how string) {
	ref := p.sessions.last
	sess, _ := p.sessions.Load(ref)
	ok := true
	switch how {
	case "demote":
		ok = p.Demote(ref, 2, sess.Epoch+1)
		p.Dismiss(ref, false)
	case "promote":
		ok = p.Promote(ref, sess.Epoch+1, false)
	case "hand over":
		ok = p.HandOver(ref, 2, sess.Epoch+1, func(sess Session, _ []string) { p.along = sess }) == nil
	case "come home":
		if p.along.Stream != 0 {
			_, ok = p.AttachStream(ref, p.along.Stream, p.along.Flags)
		}
		ok = ok && p.Promote(ref, sess.Epoch+1, true)
	case "end":
		last, _ := p.sessions.Delete(ref)
		p.SessionEnded(ref, last)
	default:
		t.Fatalf("session %q", how)
	}
	if !ok {
		t.Errorf("session %s: refused", how)
	}
}

// pause lets time pass.
func pause(t *testing.T, length string) {
	d, err := time.ParseDuration(length)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	synctest.Wait()
}

func (p *player) conn(name string) StreamID {
	st, ok := p.conns[name]
	if !ok {
		st = StreamID(len(p.conns) + 1)
		p.conns[name] = st
	}
	return st
}

func (p *player) client(t *testing.T, conn, data string) {
	st := p.conn(conn)
	data = strings.NewReplacer("$session", p.session, "$state", p.state).Replace(data)
	for i, id := range p.asks {
		data = strings.ReplaceAll(data, `"`+askName(i)+`"`, id)
	}
	for i, id := range p.tasks {
		data = strings.ReplaceAll(data, fmt.Sprintf("$task%d", i+1), id)
	}
	if strings.HasPrefix(conn, "tcp") {
		for line := range strings.Lines(data) {
			if line == "CLOSE\n" {
				p.closeTCP(st)
				continue
			}
			go p.rpc(st, strings.TrimSpace(line))
			synctest.Wait() // a message that waits lets the next one run
		}
		return
	}
	if data == "CLOSE\n" {
		p.disconnect(st)
		return
	}
	x, e := exchange(st, request(data))
	if e != nil {
		t.Fatalf("%v in %q", e, data)
	}
	go p.do(x)
}

func (p *player) closeTCP(st StreamID) {
	p.host.End(st)
	p.mu.Lock()
	word := p.words[st]
	delete(p.words, st)
	p.mu.Unlock()
	p.ConnClosed(st, word)
}

// request makes an HTTP request of a client section.
func request(data string) string {
	head, body, _ := strings.Cut(data, "\n\n")
	body = strings.TrimSuffix(body, "\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	method, version, _ := strings.Cut(lines[0], " ")
	if version == "" {
		version = "HTTP/1.1"
	}
	defaults := []string{"Host: h", "Accept: application/json, text/event-stream"}
	if method == "POST" {
		defaults = append(defaults, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)))
	}
	var headers []string
	given := func(name string) bool {
		return slices.ContainsFunc(lines[1:], func(l string) bool {
			n, _, _ := strings.Cut(strings.TrimPrefix(l, "!"), ":")
			return strings.EqualFold(n, name)
		})
	}
	for _, d := range defaults {
		if name, _, _ := strings.Cut(d, ":"); !given(name) {
			headers = append(headers, d)
		}
	}
	for _, l := range lines[1:] {
		if !strings.HasPrefix(l, "!") {
			headers = append(headers, l)
		}
	}
	return method + " /mcp " + version + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n" + body
}

// responses reads what a connection carries across several server sections.
type responses struct {
	buf    bytes.Buffer
	stream bool // inside a response that stays open
	plain  bool // which is not chunked
}

var taskID = regexp.MustCompile(`"taskId":"([0-9a-f]{32})"`)

var sessionID = regexp.MustCompile(`"sessionId":"([0-9a-f]{32})"`)

var askID = regexp.MustCompile(`"q[0-9a-f]{16}"`)

// askName is what transcripts call the i-th of the latest questions.
func askName(i int) string {
	if i == 0 {
		return "$ask"
	}
	return fmt.Sprintf("$ask%d", i+1)
}

var requestState = regexp.MustCompile(`"requestState":"([^"]+)"`)

// server renders what came over a connection since the last look.
func (p *player) server(conn string) string {
	st := p.conn(conn)
	r := p.readers[st]
	if r == nil {
		r = new(responses)
		p.readers[st] = r
	}
	r.buf.WriteString(p.host.take(st))
	var out strings.Builder
	if strings.HasPrefix(conn, "tcp") {
		out.Write(r.buf.Bytes())
		r.buf.Reset()
	}
	for r.buf.Len() > 0 {
		r.render(&out, p)
	}
	p.host.mu.Lock()
	if p.host.ended[st] {
		out.WriteString("(closed)\n")
	}
	p.host.mu.Unlock()
	text := out.String()
	if ids := askID.FindAllString(text, -1); ids != nil {
		p.asks = ids
		for i := len(ids) - 1; i >= 0; i-- {
			text = strings.ReplaceAll(text, ids[i], `"`+askName(i)+`"`)
		}
	}
	if m := requestState.FindStringSubmatch(text); m != nil {
		p.state = m[1]
		text = strings.ReplaceAll(text, p.state, "$state")
	}
	for _, m := range taskID.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(p.tasks, m[1]) {
			p.tasks = append(p.tasks, m[1])
		}
	}
	for i, id := range p.tasks {
		text = strings.ReplaceAll(text, id, fmt.Sprintf("$task%d", i+1))
	}
	if m := sessionID.FindStringSubmatch(text); m != nil {
		p.session = m[1]
	}
	if p.session != "" {
		text = strings.ReplaceAll(text, p.session, "$session")
	}
	return text
}

// render reads one response head, whole response, or piece of a stream.
func (r *responses) render(out *strings.Builder, p *player) {
	if !r.stream {
		data := r.buf.Bytes()
		end := bytes.Index(data, []byte("\r\n\r\n")) + 4
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data[:end])), nil)
		if err != nil {
			fmt.Fprintf(out, "no response: %v: %q\n", err, data)
			r.buf.Reset()
			return
		}
		r.buf.Next(end)
		head(out, res, p)
		if res.ContentLength < 0 && res.StatusCode == 200 {
			r.stream, r.plain = true, len(res.TransferEncoding) == 0
			return
		}
		if n := max(0, int(res.ContentLength)); n > 0 {
			fmt.Fprintf(out, "%s\n", r.buf.Next(n))
		}
		return
	}
	if r.plain {
		out.WriteString(r.buf.String())
		r.buf.Reset()
		return
	}
	in := r.buf.Bytes()
	src := bytes.NewReader(append(bytes.Clone(in), "0\r\n\r\n"...))
	if i := bytes.Index(in, []byte("\r\n0\r\n\r\n")); i >= 0 || bytes.HasPrefix(in, []byte("0\r\n\r\n")) {
		end := i + len("\r\n0\r\n\r\n")
		if i < 0 {
			end = len("0\r\n\r\n")
		}
		src = bytes.NewReader(bytes.Clone(in[:end]))
		r.buf.Next(end)
		r.stream = false
	} else {
		r.buf.Reset()
	}
	body, err := io.ReadAll(httputil.NewChunkedReader(src))
	out.Write(body)
	if err != nil {
		fmt.Fprintf(out, "bad chunks: %v\n", err)
	}
	if !r.stream {
		out.WriteString("(end)\n")
	}
}

// head renders the status line and the headers that a client acts upon.
func head(out *strings.Builder, res *http.Response, p *player) {
	fmt.Fprintf(out, "%s", res.Status)
	if ct := res.Header.Get("Content-Type"); ct != "" {
		fmt.Fprintf(out, " %s", ct)
	}
	out.WriteString("\n")
	if id := res.Header.Get("Mcp-Session-Id"); id != "" {
		p.session = id
	}
	var names []string
	for name := range res.Header {
		if name != "Content-Type" && name != "Content-Length" && name != "X-Accel-Buffering" && name != "Cache-Control" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(out, "%s: %s\n", name, res.Header.Get(name))
	}
	if res.Header.Get("Content-Type") == "text/event-stream" &&
		(res.Header.Get("X-Accel-Buffering") != "no" || res.Header.Get("Cache-Control") != "no-cache") {
		out.WriteString("the headers for proxies are missing\n")
	}
}
