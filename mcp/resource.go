package mcp

import "context"

// Resource is something clients may read.
type Resource struct {
	URI, Name, Title, Description, MIMEType string
	Inline                                  bool
	Read                                    func(ctx context.Context, c *Call, uri string) ([]ResourceContents, error)
}

// ResourceTemplate is a family of resources (RFC 6570 level 1: {name}).
type ResourceTemplate struct {
	URITemplate, Name, Title, Description, MIMEType string
	Inline                                          bool
	Read                                            func(ctx context.Context, c *Call, uri string, vars map[string]string) ([]ResourceContents, error)
}

// ResourceContents is what a resource holds: text, or Blob if it is not nil.
type ResourceContents struct {
	URI, MIMEType string
	Text          string
	Blob          []byte
}

// AddResource registers r.
func (s *Server) AddResource(r Resource) error { return nil }

// AddResourceTemplate registers t.
func (s *Server) AddResourceTemplate(t ResourceTemplate) error { return nil }

// RemoveResource reports whether there was such a resource.
func (s *Server) RemoveResource(uri string) bool { return false }

// RemoveResourceTemplate reports whether there was such a template.
func (s *Server) RemoveResourceTemplate(uriTemplate string) bool { return false }
