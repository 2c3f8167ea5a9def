package cluster

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Somebody with a wrong key can make memberlist write a line for each packet.
const (
	gossipLogLines  = 20
	gossipLogWindow = 10 * time.Second
)

// gossipLog passes memberlist's lines on, a level lower than it thinks of
// them: what matters of it, verdicts and failed joins, Members says itself. No
// more than gossipLogLines pass in each gossipLogWindow; how many did not is
// said with the first line of the next.
type gossipLog struct {
	logger *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	begin   time.Time // of the window, guarded by mu
	lines   int       // in it, guarded by mu
	dropped int       // in it, guarded by mu
}

func (g *gossipLog) Write(p []byte) (int, error) {
	level, text := gossipLevel(strings.TrimSpace(string(p)))
	if !g.logger.Enabled(context.Background(), level) {
		return len(p), nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	dropped := 0
	if now := g.now(); g.begin.IsZero() || now.Sub(g.begin) >= gossipLogWindow {
		dropped = g.dropped
		g.begin, g.lines, g.dropped = now, 0, 0
	}
	if g.lines++; g.lines > gossipLogLines {
		g.dropped++
		return len(p), nil
	}
	if dropped > 0 {
		g.logger.Log(context.Background(), level, "gossip", "text", text, "suppressed", dropped)
	} else {
		g.logger.Log(context.Background(), level, "gossip", "text", text)
	}
	return len(p), nil
}

func gossipLevel(line string) (slog.Level, string) {
	level := slog.LevelDebug
	mark, text, ok := strings.Cut(line, "] ")
	if !ok {
		return level, line
	}
	switch mark {
	case "[ERR":
		level = slog.LevelWarn
	case "[WARN":
		level = slog.LevelInfo
	}
	return level, strings.TrimPrefix(text, "memberlist: ")
}
