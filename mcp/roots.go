package mcp

import (
	"context"
	"errors"

	"github.com/rookery-server/rookery/codec"
)

// RootsRequest asks for the places a client lets servers work in.
type RootsRequest struct {
	// Key is [ElicitRequest.Key].
	Key string
}

// Root is a place a client lets servers work in: a directory or a file.
type Root struct {
	URI  string         `json:"uri"` // file://…
	Name string         `json:"name,omitempty"`
	Meta map[string]any `json:"_meta,omitempty"`
}

// ListRoots asks the client for its roots; see [Call.Elicit].
func (c *Call) ListRoots(ctx context.Context) ([]Root, error) {
	a, err := c.askOne(ctx, RootsRequest{})
	return a.Roots, err
}

func (r RootsRequest) query(Revision) (query, error) {
	return query{key: r.Key, method: methodListRoots, need: CapRoots, read: readRoots}, nil
}

func readRoots(raw []byte) (Answer, error) {
	var r struct {
		Roots []Root `json:"roots"`
	}
	if err := codec.Unmarshal(raw, &r); err != nil {
		return Answer{}, err
	}
	if r.Roots == nil {
		return Answer{}, errors.New("no roots")
	}
	return Answer{Roots: r.Roots}, nil
}
