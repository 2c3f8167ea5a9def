package loop

// Hurries reports whether a loop of g has been told that DrainMoment is over, and
// has not come to it.
func Hurries(g *Group) bool {
	for _, l := range g.impl.(*native).loops {
		if l.control.Load()&ctlHurry != 0 {
			return true
		}
	}
	return false
}

// Deafen has the kernel accept nothing more for a listening socket.
var Deafen = deafen
