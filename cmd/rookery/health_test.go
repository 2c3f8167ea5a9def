package main

import "testing"

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		":7690": "127.0.0.1:7690", "0.0.0.0:7690": "127.0.0.1:7690", "[::]:7690": "[::1]:7690", "10.0.0.1:7690": "10.0.0.1:7690", "node:1": "node:1",
	} {
		if got, err := reachable(addr); got != want || err != nil {
			t.Errorf("%s: %s, %v", addr, got, err)
		}
	}
	for _, addr := range []string{"", "7690", ":", ":0", "a:b"} {
		if got, err := reachable(addr); err == nil {
			t.Errorf("%s: %s", addr, got)
		}
	}
}
