package mcp

import "context"

// This file answers the lists. A modern client must be told that a method is
// not there when nothing of the kind is offered, as server/discover says; an
// older one gets an empty list, which all of them understand.

func serveListTools(_ context.Context, c *Call) error {
	return serveList(c, "tools", c.s.reg.Load().tools, true)
}

func serveListResources(_ context.Context, c *Call) error {
	reg := c.s.reg.Load()
	return serveList(c, "resources", reg.resources, !reg.hasResources())
}

func serveListTemplates(_ context.Context, c *Call) error {
	reg := c.s.reg.Load()
	return serveList(c, "resourceTemplates", reg.templates, !reg.hasResources())
}

func serveListPrompts(_ context.Context, c *Call) error {
	return serveList(c, "prompts", c.s.reg.Load().prompts, true)
}

func serveList[T any](c *Call, key string, list features[T], absent bool) error {
	if absent && len(list.all) == 0 && c.rev.modern() {
		return errUnknownMethod
	}
	b, e := list.appendPage(c.cacheable(c.open(), c.s.listHint), key, member(c.params, "cursor"), c.s.o.PageSize, c.rev.modern())
	if e != nil {
		return e
	}
	c.close(b)
	return nil
}
