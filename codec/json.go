package codec

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/bytedance/sonic/decoder"
	"github.com/bytedance/sonic/encoder"
)

const (
	// valueDepthMax bounds the nesting of values outside an envelope, in levels.
	valueDepthMax = 1000

	// pinnedBytesMax is the longest document whose strings may share one copy
	// of it: what one kept string keeps alive.
	pinnedBytesMax = 4 << 10

	// explainedBytesMax is the longest document that is decoded a second time
	// to tell the peer which field does not fit.
	explainedBytesMax = 64 << 10
)

// encodeOptions: keys of maps in order, so that the same value is the same
// bytes on every node; the output of json.Marshaler and json.RawMessage checked
// and compacted, so that it brings no newline along; strings made valid UTF-8.
const encodeOptions = encoder.SortMapKeys | encoder.CompactMarshaler | encoder.ValidateString

// Valid reports whether b is one value of strict JSON, at most 1,000 levels
// deep: the rules of ParseEnvelope without those of JSON-RPC.
func Valid(b []byte) bool {
	_, f := scanDocument(b, valueDepthMax)
	return f == faultNone
}

// Unmarshal decodes b, one value of strict JSON, into v as encoding/json would,
// with these differences: b must be Valid, keys match fields by exact case, and
// what it returns for bad input is an *Error fit for the peer, CodeParse or
// CodeInvalidParams. The errors of v's own UnmarshalJSON and UnmarshalText come
// back as they are. Of keys that come twice the last counts.
//
// v shares no memory with b.
func Unmarshal(b []byte, v any) error {
	if off, f := scanDocument(b, valueDepthMax); f != faultNone {
		return scanError(f, off)
	}
	// Strings decoded from the private copy point into it; past pinnedBytesMax
	// they are copied once more, lest one of them keep the document alive.
	options := decoder.OptionCaseSensitive
	if len(b) > pinnedBytesMax {
		options |= decoder.OptionCopyString
	}
	d := decoder.NewDecoder(string(b))
	d.SetOptions(options)
	if err := d.Decode(v); err != nil {
		return decodeError(b, v, err)
	}
	return nil
}

// decodeError words an error of sonic's for the peer. Sonic's own text quotes
// the document over several lines and names Go types, but no field.
func decodeError(b []byte, v any, err error) error {
	var syntax decoder.SyntaxError
	var mismatch *decoder.MismatchTypeError
	var value *json.UnmarshalTypeError
	if !errors.As(err, &syntax) && !errors.As(err, &mismatch) && !errors.As(err, &value) {
		return err
	}
	why := "a value does not fit its type"
	if len(b) <= explainedBytesMax {
		twin := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if errors.As(json.Unmarshal(b, twin), &value) {
			kind, _, _ := strings.Cut(value.Value, " ") // behind it stands the number, of any length
			why = "cannot decode " + kind + " into " + value.Type.Kind().String()
			if value.Field != "" {
				why = value.Field + ": " + why
			}
		}
	}
	return &Error{Code: CodeInvalidParams, Message: "Invalid params: " + why}
}

// Marshal returns the JSON of v, as AppendJSON makes it. The caller owns it.
func Marshal(v any) ([]byte, error) { return AppendJSON(nil, v) }

// AppendJSON appends the JSON of v to dst, on one line, with the keys of maps
// in order, HTML characters as they are and bytes that are not UTF-8 replaced by
// U+FFFD; otherwise as encoding/json has it. On error dst comes back as it was.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	// Sonic gets only the free end of dst, because it checks, and may rewrite,
	// all that stands in the buffer it is given.
	free := dst[len(dst):]
	if err := encoder.EncodeInto(&free, v, encodeOptions); err != nil {
		return dst, err
	}
	return append(dst, free...), nil
}
