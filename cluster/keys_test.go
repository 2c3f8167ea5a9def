package cluster

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysParse(t *testing.T) {
	secret := bytes.Repeat([]byte{0xfb, 0xff, 0x3e, 0x01}, 8)
	want := mustKeys(hex.EncodeToString(secret))
	for name, line := range map[string]string{
		"upper hex":  strings.ToUpper(hex.EncodeToString(secret)),
		"base64":     base64.StdEncoding.EncodeToString(secret),
		"unpadded":   base64.RawStdEncoding.EncodeToString(secret),
		"url":        base64.URLEncoding.EncodeToString(secret),
		"raw url":    base64.RawURLEncoding.EncodeToString(secret),
		"commented":  "# the key\r\n\n  " + hex.EncodeToString(secret) + "  \r\n",
		"no newline": hex.EncodeToString(secret),
	} {
		k, err := ParseKeys([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(k.State(), want.State()) {
			t.Errorf("%s: another key", name)
		}
	}
}

func TestKeysRefuse(t *testing.T) {
	good := strings.TrimSpace(NewKey())
	for name, text := range map[string]string{
		"nothing":       "",
		"only comments": "# here be a key\n",
		"short":         good[:62],
		"long":          strings.Repeat(good, 9),
		"words":         "correct horse battery staple",
		"placeholder":   strings.Repeat("00", 32),
		"too many":      strings.Repeat(good+"\n", 9),
		"too large":     strings.Repeat("#", keyFileMax+1),
	} {
		_, err := ParseKeys([]byte(text))
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), good[:20]) || strings.Contains(err.Error(), "horse") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

// Each use has a key of its own, and keys follow from the secret alone: a node
// that was started a year ago has the same ones.
func TestKeysAreIndependentAndStable(t *testing.T) {
	k := mustKeys(strings.Repeat("ab01", 16) + "\n" + strings.Repeat("cd02", 16))
	gossip := k.Gossip()
	if len(gossip) != 2 || len(gossip[0]) != 32 {
		t.Fatalf("%d gossip keys", len(gossip))
	}
	seen := map[string]bool{}
	for _, key := range [][]byte{gossip[0], gossip[1], k.State(), derive(k.secrets[0], labelTLS), derive(k.secrets[1], labelTLS)} {
		seen[string(key)] = true
	}
	if len(seen) != 5 {
		t.Error("two uses share a key")
	}
	const state = "45159904408fb42ece51ed74b28da0aebe941cee16c4299cbfa0e479ca98c478" // written down, so that a change of derivation is noticed
	if got := hex.EncodeToString(k.State()); got != state {
		t.Errorf("derived %s, want %s", got, state)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := ReadKeys(path); err == nil {
		t.Error("read a file that is not there")
	}
	if err := os.WriteFile(path, []byte(NewKey()+NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := ReadKeys(path)
	if err != nil || len(k.Gossip()) != 2 {
		t.Fatalf("%v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeys(path); err == nil || !strings.Contains(err.Error(), "chmod o= ") {
		t.Errorf("a file that everybody may read: %v", err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeys(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a bad file: %v", err)
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(NewKey()))
	f.Add([]byte("# x\n" + strings.Repeat("QUJD", 12)))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKeys(text)
		if (k == nil) == (err == nil) {
			t.Fatal("neither keys nor an error, or both")
		}
		if k != nil && len(k.Gossip()[0]) != 32 {
			t.Fatal("no key")
		}
	})
}

// TestKeysText: what another process of the node gets are the same keys.
func TestKeysText(t *testing.T) {
	k, err := ParseKeys([]byte(NewKey() + NewKey()))
	if err != nil {
		t.Fatal(err)
	}
	same, err := ParseKeys(k.Text())
	if err != nil || len(same.secrets) != 2 || string(same.secrets[1]) != string(k.secrets[1]) || string(same.State()) != string(k.State()) {
		t.Errorf("%d keys, %v", len(same.secrets), err)
	}
}
