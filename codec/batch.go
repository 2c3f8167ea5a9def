package codec

// EachInBatch parses the elements of a batch in their order and calls f with
// each: its bytes, a part of msg, and either its envelope, whose spans are
// offsets into elem, or what is wrong with it, env.ID being set as ParseEnvelope
// sets it. A batch inside a batch is an element that is wrong. f returns false
// to stop. Only elements that are wrong cost an allocation.
//
// REQUIRES: ParseEnvelope said KindBatch of msg under the same limits. If it did
// not, EachInBatch returns what ParseEnvelope would have returned, but f may
// have been called for the elements before the fault.
func EachInBatch(msg []byte, lim *Limits, f func(elem []byte, env Envelope, err *Error) bool) *Error {
	return walkBatch(msg, lim, func(i, depth int) (int, fault, bool) {
		if i >= len(msg) || msg[i] != '{' {
			end, fl := scanValue(msg, i, depth)
			if fl != faultNone {
				return end, fl, false
			}
			return end, faultNone, f(msg[i:end:end], Envelope{}, invalidRequest("not an object"))
		}
		var m members
		n, fl := m.scan(msg[i:], 0, depth)
		if fl != faultNone {
			return i + n, fl, false
		}
		var env Envelope
		elem := msg[i : i+n : i+n]
		err := m.judge(elem, &env)
		return i + n, faultNone, f(elem, env, err)
	})
}

// checkBatch checks the syntax of a batch and counts its elements.
func checkBatch(msg []byte, lim *Limits) *Error {
	return walkBatch(msg, lim, func(i, depth int) (int, fault, bool) {
		end, f := scanValue(msg, i, depth)
		return end, f, true
	})
}

// walkBatch calls visit with the offset of each element of the batch and the
// levels left for it. visit returns the offset behind the element, or that of a
// fault, and whether to go on.
func walkBatch(msg []byte, lim *Limits, visit func(i, depth int) (int, fault, bool)) *Error {
	if err := checkSize(msg); err != nil {
		return err
	}
	i := skipSpace(msg, 0)
	if lim.batch() < 0 || i == len(msg) || msg[i] != '[' {
		if i, f := scanDocument(msg, lim.depth()); f != faultNone {
			return scanError(f, i)
		}
		return invalidRequest("a batch is not accepted here")
	}
	i = skipSpace(msg, i+1)
	if i < len(msg) && msg[i] == ']' {
		if i = skipSpace(msg, i+1); i < len(msg) {
			return parseError(faultTrailing, i)
		}
		return invalidRequest("empty batch")
	}
	for n, more := 1, true; more; n++ {
		if n > lim.batch() {
			return invalidRequest("too many messages in one batch")
		}
		var f fault
		var goOn bool
		if i, f, goOn = visit(i, lim.depth()-1); f != faultNone {
			return scanError(f, i)
		}
		if !goOn {
			return nil
		}
		if i, more, f = scanNext(msg, i, ']'); f != faultNone {
			return scanError(f, i)
		}
	}
	if i = skipSpace(msg, i); i < len(msg) {
		return parseError(faultTrailing, i)
	}
	return nil
}
