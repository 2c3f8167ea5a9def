package loop

import "time"

// A listener that closes resets the connections that the kernel has accepted for
// it and nobody has taken: between the last accept and the close there is always
// a moment in which one may come, and a busy machine makes it long. So the kernel
// is told first to accept nothing new. What has been said to be accepted is then a
// finite number, and is served.

// handshakeMoment is how long connections that had begun when a listener went
// deaf have to come into being: a round trip, of which those between machines of
// one place take a part of a millisecond. Who connects in this moment hears
// nothing and tries again after a second, while those that come later are refused
// at once and can go elsewhere; so it is not longer.
const handshakeMoment = 2 * time.Millisecond

// notDeaf is what is logged when the kernel cannot be told.
const notDeaf = "connections that come while a listener closes may be reset"
