package mcp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/rookery-server/rookery/codec"
)

// Resource is something clients may read and subscribe to.
type Resource struct {
	URI                                string // absolute
	Name, Title, Description, MIMEType string
	Size                               int64 // bytes of the contents, 0 unknown
	Icons                              []Icon
	Annotations                        *Annotations
	Meta                               map[string]any
	Cache                              CacheHint // how long what Read returns is good

	// Inline says that Read is cheap and never blocks, so that it may run on
	// an event loop.
	Inline bool
	// Read returns the contents; a URI or MIMEType left empty is filled in.
	Read func(ctx context.Context, c *Call, uri string) ([]ResourceContents, error)
}

// ResourceTemplate is a family of resources. URITemplate is RFC 6570 with
// {name}, one path segment or less, and {+name}, anything; values come decoded.
type ResourceTemplate struct {
	URITemplate                        string
	Name, Title, Description, MIMEType string
	Icons                              []Icon
	Annotations                        *Annotations
	Meta                               map[string]any
	Cache                              CacheHint // how long what Read returns is good

	// Inline says that Read and Complete are cheap and never block.
	Inline bool
	Read   func(ctx context.Context, c *Call, uri string, vars map[string]string) ([]ResourceContents, error)
	// Complete suggests values of a variable; nil: none.
	Complete func(ctx context.Context, c *Call, q CompletionRequest) (*Completion, error)
}

// ResourceContents is what a resource holds: Blob if it is not nil, else Text.
type ResourceContents struct {
	URI, MIMEType string
	Text          string
	Blob          []byte
	Meta          map[string]any
}

type resource struct {
	read     func(ctx context.Context, c *Call, uri string) ([]ResourceContents, error)
	mimeType string
	cache    []byte // the hint, as members
	inline   bool
}

type template struct {
	read     func(ctx context.Context, c *Call, uri string, vars map[string]string) ([]ResourceContents, error)
	complete completer
	pattern  *regexp.Regexp // anchored; runs in linear time
	vars     []string       // names of the groups
	mimeType string
	cache    []byte // the hint, as members
	inline   bool
}

// AddResource registers r; a resource of that URI is replaced. It may be
// called while the server runs.
func (s *Server) AddResource(r Resource) error {
	if u, err := url.Parse(r.URI); err != nil || u.Scheme == "" {
		return fmt.Errorf("mcp: resource %q: not an absolute URI", r.URI)
	}
	if r.Name == "" || r.Read == nil {
		return fmt.Errorf("mcp: resource %q: Name and Read are required", r.URI)
	}
	b, err := (&listing{r.Name, r.Title, r.Description, r.MIMEType, r.Size, r.Icons, r.Annotations, r.Meta}).append("uri", r.URI)
	if err != nil {
		return fmt.Errorf("mcp: resource %q: %w", r.URI, err)
	}
	e := &feature[resource]{key: r.URI, json: b, v: resource{r.Read, r.MIMEType, r.Cache.members(), r.Inline}}
	return s.register(resourceList, func(reg *registry) { reg.resources = reg.resources.with(e) })
}

// RemoveResource unregisters the resource and reports whether there was one.
// Subscriptions to its URI stay.
func (s *Server) RemoveResource(uri string) bool {
	return s.change(resourceList, func(r *registry) (had bool) {
		r.resources, had = r.resources.without(uri)
		return had
	})
}

// AddResourceTemplate registers t; one of that URITemplate is replaced. It may
// be called while the server runs. A URI that several templates match goes to
// the first in the order of their texts, and a Resource goes before all.
func (s *Server) AddResourceTemplate(t ResourceTemplate) error {
	if t.Name == "" || t.Read == nil {
		return fmt.Errorf("mcp: template %q: Name and Read are required", t.URITemplate)
	}
	v := template{read: t.Read, complete: t.Complete, mimeType: t.MIMEType, cache: t.Cache.members(), inline: t.Inline}
	var err error
	if v.pattern, v.vars, err = compileTemplate(t.URITemplate); err != nil {
		return fmt.Errorf("mcp: template %q: %w", t.URITemplate, err)
	}
	b, err := (&listing{t.Name, t.Title, t.Description, t.MIMEType, 0, t.Icons, t.Annotations, t.Meta}).append("uriTemplate", t.URITemplate)
	if err != nil {
		return fmt.Errorf("mcp: template %q: %w", t.URITemplate, err)
	}
	e := &feature[template]{key: t.URITemplate, json: b, v: v}
	return s.register(resourceList, func(reg *registry) { reg.templates = reg.templates.with(e) })
}

// RemoveResourceTemplate unregisters the template and reports whether there was one.
func (s *Server) RemoveResourceTemplate(uriTemplate string) bool {
	return s.change(resourceList, func(r *registry) (had bool) {
		r.templates, had = r.templates.without(uriTemplate)
		return had
	})
}

// listing is what the lists say of a resource or template.
type listing struct {
	name, title, description, mimeType string
	size                               int64
	icons                              []Icon
	annotations                        *Annotations
	meta                               map[string]any
}

func (l *listing) append(idKey, id string) ([]byte, error) {
	b := codec.AppendString(appendKey([]byte{'{'}, idKey), id)
	b = appendHeading(b, "name", l.name, l.title, l.description)
	b = appendStringMember(b, "mimeType", l.mimeType)
	if l.size > 0 {
		b = strconv.AppendInt(appendKey(b, "size"), l.size, 10)
	}
	b, err := appendIcons(b, l.icons)
	if err != nil {
		return nil, err
	}
	if l.annotations != nil {
		if b, err = codec.AppendJSON(appendKey(b, "annotations"), l.annotations); err != nil {
			return nil, err
		}
	}
	if b, err = appendMeta(b, l.meta); err != nil {
		return nil, err
	}
	return append(b, '}'), nil
}

// compileTemplate turns a URI template into a pattern with one group per
// variable.
func compileTemplate(t string) (*regexp.Regexp, []string, error) {
	var vars []string
	pattern := "^"
	for rest := t; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, nil, errors.New("a } without {")
		}
		pattern += regexp.QuoteMeta(literal)
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}")
		group := `([^/?#]+)`
		if bare, plus := strings.CutPrefix(name, "+"); plus {
			name, group = bare, `(.+)`
		}
		if !closed || !validVar(name) {
			return nil, nil, fmt.Errorf("variable %q: only {name} and {+name} are understood", name)
		}
		vars = append(vars, name)
		pattern += group
		rest = behind
	}
	if len(vars) == 0 {
		return nil, nil, errors.New("no variable")
	}
	re, err := regexp.Compile(pattern + "$")
	return re, vars, err
}

func validVar(name string) bool {
	for _, c := range []byte(name) {
		if c != '_' && c != '.' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// match returns the variables of uri, nil if it is not of this template.
func (t *template) match(uri string) map[string]string {
	groups := t.pattern.FindStringSubmatch(uri)
	if groups == nil {
		return nil
	}
	vars := make(map[string]string, len(t.vars))
	for i, name := range t.vars {
		val, err := url.PathUnescape(groups[i+1])
		if err != nil {
			return nil
		}
		vars[name] = val
	}
	return vars
}

// reader is what answers resources/read for one URI.
type reader struct {
	resource *resource
	template *template
	vars     map[string]string
}

// reader finds who reads uri; ok is false if nobody does.
func (r *registry) reader(uri []byte) (rd reader, ok bool) {
	if rd.resource = r.resources.get(uri); rd.resource != nil {
		return rd, true
	}
	for _, e := range r.templates.all {
		if vars := e.v.match(string(uri)); vars != nil {
			return reader{template: &e.v, vars: vars}, true
		}
	}
	return reader{}, false
}

func (rd *reader) inline() bool {
	if rd.resource != nil {
		return rd.resource.inline
	}
	return rd.template.inline
}

func (rd *reader) read(ctx context.Context, c *Call, uri string) ([]ResourceContents, error) {
	if rd.resource != nil {
		return rd.resource.read(ctx, c, uri)
	}
	return rd.template.read(ctx, c, uri, rd.vars)
}

// defaults returns the type of contents that name none, and the cache hint.
func (rd *reader) defaults() (mimeType string, cache []byte) {
	if rd.resource != nil {
		return rd.resource.mimeType, rd.resource.cache
	}
	return rd.template.mimeType, rd.template.cache
}

func (r *ResourceContents) append(dst []byte) ([]byte, error) {
	dst = codec.AppendString(append(dst, `{"uri":`...), r.URI)
	dst = appendStringMember(dst, "mimeType", r.MIMEType)
	if r.Blob != nil {
		dst = appendBase64(appendKey(dst, "blob"), r.Blob)
	} else {
		dst = codec.AppendString(appendKey(dst, "text"), r.Text)
	}
	dst, err := appendMeta(dst, r.Meta)
	return append(dst, '}'), err
}
