package cluster

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// Bounds of a key file. A secret is at least as strong as what is derived from
// it; the upper bounds only keep a wrong file from being read whole.
const (
	secretMin   = 32
	secretMax   = 256
	secretsMax  = 8
	keyFileMax  = 16 << 10
	derivedSize = 32
)

// Labels under which keys are derived: one secret, independent keys. What
// belongs to one use says nothing about another.
const (
	keySalt     = "rookery cluster 1"
	labelGossip = "gossip aes-256-gcm"
	labelTLS    = "peer links ed25519"
	labelState  = "mcp state hmac-sha256"
)

// Keys is the shared key of a cluster: secrets from which all other keys are
// derived with HKDF-SHA256. The first secret is the one in use, the others are
// accepted as well, so that a secret is replaced without a moment of disunity:
//
//  1. add the new secret as the second line on every node, restart them in turn;
//  2. make it the first line on every node, restart them in turn;
//  3. remove the old one everywhere, restart them in turn.
//
// Whoever knows a secret is a full member and may speak for any node; where
// nodes should be told apart, use certificates. Keys is immutable and safe for
// concurrent use.
type Keys struct{ secrets [][]byte }

// NewKey returns a fresh secret of 32 random bytes as a line for a key file.
func NewKey() string {
	secret := make([]byte, secretMin)
	_, _ = rand.Read(secret) // never fails
	return hex.EncodeToString(secret) + "\n"
}

// ReadKeys reads a key file. It refuses one that every user of the machine may
// read.
func ReadKeys(path string) (*Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cluster: key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cluster: key file: %w", err)
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o007 != 0 {
		return nil, fmt.Errorf("cluster: key file %s is open to every user (mode %04o); run: chmod o= %s", path, mode.Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, keyFileMax+1))
	if err != nil {
		return nil, fmt.Errorf("cluster: key file: %w", err)
	}
	k, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return k, nil
}

// ParseKeys reads the text of a key file: one secret a line, in hex or base64
// (standard or URL alphabet, padded or not), 32 to 256 bytes each, at most 8.
// Empty lines and those that begin with # do not count. It keeps nothing of
// text.
func ParseKeys(text []byte) (*Keys, error) {
	if len(text) > keyFileMax {
		return nil, fmt.Errorf("cluster: more than %d bytes are no key file", keyFileMax)
	}
	k := &Keys{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		secret, err := parseSecret(line)
		if err != nil {
			return nil, fmt.Errorf("cluster: key file, line %d: %w", i+1, err)
		}
		k.secrets = append(k.secrets, secret)
	}
	switch {
	case len(k.secrets) == 0:
		return nil, errors.New("cluster: no key in the key file; make one: rookery cluster keygen")
	case len(k.secrets) > secretsMax:
		return nil, fmt.Errorf("cluster: %d keys in the key file, at most %d", len(k.secrets), secretsMax)
	}
	return k, nil
}

// parseSecret never puts the line into an error: it is a secret.
func parseSecret(line []byte) ([]byte, error) {
	secret, err := decodeSecret(string(line))
	switch {
	case err != nil:
		return nil, err
	case len(secret) < secretMin || len(secret) > secretMax:
		return nil, fmt.Errorf("a key of %d bytes; it has to have %d to %d", len(secret), secretMin, secretMax)
	case bytes.Count(secret, secret[:1]) == len(secret):
		return nil, errors.New("a key of one repeated byte is a placeholder")
	}
	return secret, nil
}

func decodeSecret(line string) ([]byte, error) {
	if secret, err := hex.DecodeString(line); err == nil {
		return secret, nil
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if secret, err := enc.Strict().DecodeString(line); err == nil {
			return secret, nil
		}
	}
	return nil, errors.New("neither hex nor base64")
}

// Text returns the keys as the text of a key file, for another process of this
// node. It is as secret as the file.
func (k *Keys) Text() []byte {
	var text []byte
	for _, secret := range k.secrets {
		text = append(hex.AppendEncode(text, secret), '\n')
	}
	return text
}

// Gossip returns the keys for the encryption of gossip (AES-256), the one to
// encrypt with first.
func (k *Keys) Gossip() [][]byte {
	list := make([][]byte, len(k.secrets))
	for i, secret := range k.secrets {
		list[i] = derive(secret, labelGossip)
	}
	return list
}

// State returns the key that authenticates what MCP clients carry from one
// request to the next, the same on all nodes. It comes from the first secret
// alone: while a rotation replaces that one, a question that was asked by one
// node and is answered at another in between has to be asked again.
func (k *Keys) State() []byte { return derive(k.secrets[0], labelState) }

// derive cannot fail: the length is within what HKDF-SHA256 gives.
func derive(secret []byte, label string) []byte {
	key, err := hkdf.Key(sha256.New, secret, []byte(keySalt), label, derivedSize)
	if err != nil {
		panic("cluster: " + err.Error())
	}
	return key
}
