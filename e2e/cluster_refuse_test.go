package e2e

import (
	"strconv"
	"testing"
)

// A node with another key or of another cluster stays outside: nobody lists it,
// both sides serve on, and the logs say what to do.
func TestClusterRefuses(t *testing.T) {
	c := startNest(t, 2)
	for _, s := range []struct {
		name string
		args []string
		logs []string // parts of one record of the stranger's
	}{
		{"other key", []string{"--cluster-key", newKey(t)}, []string{"level=WARN", "key"}},
		{"other name", []string{"--cluster-name", "other"}, []string{"level=WARN", "label"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			c.t = t
			stranger := c.stranger(s.args)
			c.start(stranger)
			defer stranger.kill(t)
			stranger.logs(t, s.logs...)
			if !stranger.sees(1) {
				t.Error("the stranger sees somebody")
			}
			c.settled(c.members[:2]...)
			newSession(t, stranger.mcp())
			a := c.newAudience(4)
			b := a.publish(c.members[0])
			b.more(2)
			b.verify(false)
		})
	}
}

// stranger is a node with other settings that knows where the cluster is. It is
// no member.
func (c *nest) stranger(args []string) *member {
	ports := freePorts(c.t, 5)
	at := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	m := &member{name: "n9", tcp: at(0), http: at(1), admin: at(2), gossip: at(3), listen: at(4), command: c.members[0].command}
	c.add(m, args...)
	c.members = c.members[:len(c.members)-1]
	return m
}
