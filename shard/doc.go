// Package shard holds sharded tables: id to handle.
package shard
