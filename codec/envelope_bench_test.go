package codec

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/decoder"
)

// benchRequests are the messages the parsers are compared on, by size.
var benchRequests = []struct{ name, msg string }{
	{"100B", `{"jsonrpc":"2.0","id":12345,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}`},
	{"1KB", `{"jsonrpc":"2.0","id":12345,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` +
		strings.Repeat("the quick brown fox ", 45) + `"}}}`},
	{"1KBnumbers", `{"jsonrpc":"2.0","id":12345,"method":"tools/call","params":[` +
		strings.Repeat("1234.5, ", 120) + `0]}`},
	{"1KBkanji", `{"jsonrpc":"2.0","id":12345,"method":"tools/call","params":["` +
		strings.Repeat("日本語", 110) + `"]}`},
}

// benchEnvelope is what the other decoders fill.
type benchEnvelope struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

func BenchmarkParseEnvelope(b *testing.B) {
	for _, r := range benchRequests {
		b.Run(r.name, func(b *testing.B) {
			msg := []byte(r.msg)
			var env Envelope
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				if err := ParseEnvelope(msg, nil, &env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseEnvelopeEncodingJSON(b *testing.B) {
	for _, r := range benchRequests {
		b.Run(r.name, func(b *testing.B) {
			msg := []byte(r.msg)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				var env benchEnvelope
				if err := json.Unmarshal(msg, &env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSonicDecoder is the best sonic can do short of aliasing the buffer
// in secret: one decoder and one target for all messages, raw parts not copied.
// It checks neither duplicate members nor depth nor UTF-8.
func BenchmarkSonicDecoder(b *testing.B) {
	for _, r := range benchRequests {
		b.Run(r.name, func(b *testing.B) {
			var env struct {
				Version string                 `json:"jsonrpc"`
				ID      sonic.NoCopyRawMessage `json:"id"`
				Method  string                 `json:"method"`
				Params  sonic.NoCopyRawMessage `json:"params"`
			}
			msg := r.msg
			d := decoder.NewDecoder("")
			d.SetOptions(decoder.OptionValidateString | decoder.OptionCaseSensitive)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				d.Reset(msg)
				if err := d.Decode(&env); err != nil {
					b.Fatal(err)
				}
				if err := d.CheckTrailings(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
