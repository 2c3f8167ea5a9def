package cluster

// Report is what GET /cluster on the admin listener of a node returns: the view
// of the node and what each of its processes says.
type Report struct {
	Node      string   `json:"node"`
	View      *View    `json:"view"`
	Processes []Status `json:"processes"`
}

// Homes returns how many sessions are at home on the node, Copies how many it
// holds for others.
func (r *Report) Homes() (n int) {
	for i := range r.Processes {
		n += r.Processes[i].Homes
	}
	return n
}

// Copies is described at Homes.
func (r *Report) Copies() (n int) {
	for i := range r.Processes {
		n += r.Processes[i].Copies
	}
	return n
}
