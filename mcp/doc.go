// Package mcp is the Model Context Protocol without a network.
package mcp
