package mcp

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// states makes and reads requestState: the client's earlier answers, sealed so
// that only this server, or one with its key, can have given them out, and for
// this very request. Nothing of it is secret from the client, who gave the
// answers; it is authenticated, not encrypted.
//
// The form is base64url of
//
//	mac      32 bytes, HMAC-SHA256 of all that follows and of the request
//	version  1 byte
//	expiry   8 bytes, big-endian seconds since 1970
//	answers  a JSON object
type states struct {
	key []byte        // immutable
	ttl time.Duration // how long a user may think
}

const (
	stateVersion = 1
	stateHead    = sha256.Size + 1 + 8
)

// newStates returns states with that key, or one of its own if key is empty.
func newStates(key []byte, ttl time.Duration) states {
	if len(key) == 0 {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
	}
	return states{bytes.Clone(key), ttl}
}

var errState = errors.New("mcp: not a state of this server for this request, or too old")

// seal returns the state that holds answers.
func (s *states) seal(method string, name, args, answers []byte) ([]byte, error) {
	b := make([]byte, stateHead, stateHead+len(answers))
	b[sha256.Size] = stateVersion
	binary.BigEndian.PutUint64(b[sha256.Size+1:], uint64(time.Now().Add(s.ttl).Unix()))
	b = append(b, answers...)
	mac, err := s.mac(method, name, args, b[sha256.Size:])
	if err != nil {
		return nil, err
	}
	copy(b, mac)
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// open returns the answers in a state that seal made for the same request.
func (s *states) open(method string, name, args, state []byte) (answers []byte, err error) {
	b, err := base64.RawURLEncoding.Strict().AppendDecode(nil, state)
	if err != nil || len(b) < stateHead || b[sha256.Size] != stateVersion {
		return nil, errState
	}
	mac, err := s.mac(method, name, args, b[sha256.Size:])
	if err != nil {
		return nil, err
	}
	expiry := binary.BigEndian.Uint64(b[sha256.Size+1:])
	if !hmac.Equal(mac, b[:sha256.Size]) || uint64(time.Now().Unix()) >= expiry {
		return nil, errState
	}
	return b[stateHead:], nil
}

// mac authenticates sealed together with the request. Arguments count as the
// value they are, not by their spelling: a client may encode them anew.
func (s *states) mac(method string, name, args, sealed []byte) ([]byte, error) {
	args, err := canonical(args)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, s.key)
	part := func(p []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.Write(p)
	}
	part([]byte("mcp requestState"))
	part([]byte(method))
	part(name)
	part(args)
	part(sealed)
	return h.Sum(nil), nil
}

// canonical returns JSON with its keys in order and without spaces; nothing and
// null are the empty object.
func canonical(raw []byte) ([]byte, error) {
	if raw == nil || string(raw) == "null" {
		return []byte("{}"), nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
