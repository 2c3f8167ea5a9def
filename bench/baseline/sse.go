package main

import (
	"net"
	"net/http"
)

func serveSSE(l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(stream))
}

// stream opens an event stream and holds it until the client leaves.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	<-r.Context().Done()
}
