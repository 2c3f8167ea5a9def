// Package tuning knows the settings outside the program that decide how many
// clients a machine holds: sysctls, limits of descriptors, huge pages, the Go
// runtime's variables and the control group. One table, knobs.json, says for
// each what it is by default, what it should be, why, by which source, and how
// it is set and undone; another part of it names settings that are popular and
// harmful.
//
// Check compares a machine with the table. Plan says what would change, Apply
// changes what can be changed on a running machine and saves what was there,
// and Revert puts it back. The exports write the same values for sysctl.d,
// systemd, Docker and Kubernetes. Files under /proc and /sys are read below
// Machine.Root, so that nothing here needs a real kernel to be tested.
//
// The scripts in this directory, 90-rookery.conf and docs/tuning.md are made
// from the table by package gen and are of use without the program.
//
// Functions may be called from several goroutines; only one Apply or Revert at
// a time gets hold of a state file. Everything blocks for as long as the file
// system takes.
package tuning

//go:generate go test ./gen -run ^TestGenerated$ -update
