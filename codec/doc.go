// Package codec turns bytes into messages and messages into bytes. It does no
// I/O, starts no goroutine and keeps nothing between calls except the small
// scan state its caller owns.
package codec
