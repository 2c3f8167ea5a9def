package codec

// Accepts reports whether an Accept header value allows mediaType.
func Accepts(list []byte, mediaType string) bool { return false }

// MediaType returns the type/subtype of a Content-Type value without parameters.
func MediaType(ct []byte) []byte { return ct }

// MediaTypeIs reports whether the Content-Type value ct names mediaType,
// whatever its parameters.
func MediaTypeIs(ct []byte, mediaType string) bool { return false }
