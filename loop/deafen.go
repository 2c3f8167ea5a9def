package loop

import "time"

// A listener that closes resets the connections that the kernel has accepted for
// it and nobody has taken: between the last accept and the close there is always
// a moment in which one may come, and a busy machine makes it long. So the kernel
// is told first to accept nothing new. What has been said to be accepted is then a
// finite number, and is served.

// handshakeMoment is how long connections that had begun when a listener went
// deaf have to come into being: a round trip, of which those between machines of
// one place take a part of a millisecond. The clients that come meanwhile hear
// nothing and try again after a second, those that come later are refused at
// once, so more is no better.
const handshakeMoment = 10 * time.Millisecond

// notDeaf is what is logged when the kernel cannot be told.
const notDeaf = "connections that come while a listener closes may be reset"
