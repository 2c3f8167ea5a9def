package mcp

import (
	"encoding/hex"
	"slices"

	"github.com/rookery-server/rookery/codec"
)

// This file tells streams of subscriptions/listen what becomes of tasks.

// taskTopic is the name of a task among the topics of subscriptions, which
// else are URIs; no client can subscribe to it by that name.
func taskTopic(id [16]byte) string { return "\x00" + string(id[:]) }

// addTasks adds the tasks that a client wants to hear of and that there are.
// They count as its subscriptions do.
func (f *filter) addTasks(c *Call, raw []byte) *codec.Error {
	if raw == nil {
		return nil
	}
	if !c.knowsTasks() {
		return MissingCapability(CapTasksExtension)
	}
	var agreed []byte
	for a := elements(raw); ; {
		one, more := a.next()
		if !more {
			break
		}
		word, ok := text(one)
		if !ok {
			return refuse(codec.CodeInvalidParams, "taskIds must be strings")
		}
		id, ok := parseSessionID(word)
		topic := taskTopic(id)
		if !ok || !c.s.tasks.has(id) || slices.Contains(f.uris, topic) {
			continue
		}
		if len(f.uris) >= c.s.o.SubscriptionsMax {
			return errTooManySubscriptions
		}
		f.uris = append(f.uris, topic)
		if agreed != nil {
			agreed = append(agreed, ',')
		}
		agreed = append(hex.AppendEncode(append(agreed, '"'), id[:]), '"')
	}
	if agreed != nil {
		f.raw = append(append(append(appendKey(f.raw, "taskIds"), '['), agreed...), ']')
	}
	return nil
}

// tellTask sends those who listen to k how it stands. It is called on the
// goroutines of the task only: a cancellation shows when the handler has
// returned.
func (s *Server) tellTask(k *task) {
	topic := taskTopic(k.id)
	k.telling.Lock()
	defer k.telling.Unlock()
	w := s.subs.begin(topic)
	if w == nil {
		return
	}
	defer s.subs.end(w)
	params := append(appendDetailedTask([]byte{'{'}, s.tasks.look(k)), '}')
	n := newNotification("notifications/tasks", params)
	s.publish(n, func(batch []owner) int { return s.subs.step(w, batch) })
}
