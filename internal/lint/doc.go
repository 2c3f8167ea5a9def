// Package lint holds the laws of the house as ordinary tests: who may import
// whom, which package may use which library, how long files and functions may
// grow, and which leftovers must not be committed. It has no code of its own.
//
// A rule that turns out wrong is changed in its table, with the reason in the
// commit; an exception is a row with its reason beside it.
package lint
