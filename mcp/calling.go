package mcp

import (
	"context"
	"errors"

	"github.com/rookery-server/rookery/codec"
)

// This file runs user code: tools, reads and prompts.

func serveCallTool(ctx context.Context, c *Call) error {
	rawName, args, meta, state := pick(c.params, "name", "arguments", "_meta", "requestState")
	name, ok := text(rawName)
	if !ok {
		return refuse(codec.CodeInvalidParams, "name must be a string")
	}
	t := c.s.reg.Load().tools.get(name)
	if t == nil {
		return refuse(codec.CodeInvalidParams, "unknown tool "+string(codec.AppendString(nil, string(name))))
	}
	if args == nil || string(args) == "null" {
		args = []byte("{}")
	}
	c.readToken(meta)
	var err error
	if err = c.resume(state, name, args); err != nil {
		return err
	}
	if c.args, err = t.input.validate(args); err != nil {
		return c.badInput(err)
	}
	r, err := t.run(ctx, c)
	if c.made != nil {
		return nil // the result is the task's handle
	}
	if err != nil {
		if c.wantsInput(err) {
			return c.inputRequired(name, args)
		}
		var e *codec.Error
		if errors.As(err, &e) {
			return e
		}
		r = Errorf("%s", err.Error())
	}
	return c.toolResult(r, t.output)
}

// badInput says that arguments break the schema. Since 2025-11-25 that is a
// result, so that the model sees its mistake and can mend it (SEP-1303);
// before it is a protocol error.
func (c *Call) badInput(err error) error {
	c.s.count.invalidInputs.Add(1)
	if c.rev < Revision20251125 {
		return refuse(codec.CodeInvalidParams, "invalid arguments: "+err.Error())
	}
	return c.toolResult(Errorf("invalid arguments: %s", err.Error()), nil)
}

func (c *Call) toolResult(r *ToolResult, output *schema) error {
	if r == nil {
		r = new(ToolResult)
	}
	b, err := c.openMeta(r.Meta)
	if err != nil {
		return err
	}
	if b, err = appendToolResult(b, r, output, c.rev.modern()); err != nil {
		return err
	}
	if r.IsError {
		c.s.count.toolErrors.Add(1)
	}
	c.close(b)
	return nil
}

func serveReadResource(ctx context.Context, c *Call) error {
	rawURI, meta, state, _ := pick(c.params, "uri", "_meta", "requestState", "\x00")
	uri, ok := text(rawURI)
	if !ok {
		return refuse(codec.CodeInvalidParams, "uri must be a string")
	}
	rd, ok := c.s.reg.Load().reader(uri)
	if !ok {
		return ResourceNotFound(c.rev, string(uri))
	}
	c.readToken(meta)
	if err := c.resume(state, uri, nil); err != nil {
		return err
	}
	contents, err := rd.read(ctx, c, string(uri))
	if err != nil {
		if c.wantsInput(err) {
			return c.inputRequired(uri, nil)
		}
		return err
	}
	if contents == nil {
		return ResourceNotFound(c.rev, string(uri))
	}
	mimeType, cache := rd.defaults()
	b := append(appendKey(c.cacheable(c.open(), cache), "contents"), '[')
	for i, r := range contents {
		if i > 0 {
			b = append(b, ',')
		}
		if r.URI == "" {
			r.URI = string(uri)
		}
		if r.MIMEType == "" {
			r.MIMEType = mimeType
		}
		if b, err = r.append(b); err != nil {
			return err
		}
	}
	c.close(append(b, ']'))
	return nil
}

// ResourceNotFound is the error for a URI that names nothing. A Read that
// returns no contents and no error means the same.
func ResourceNotFound(rev Revision, uri string) *codec.Error {
	code := CodeResourceNotFound
	if rev.modern() {
		code = codec.CodeInvalidParams
	}
	data := codec.AppendString([]byte(`{"uri":`), uri)
	return &codec.Error{Code: code, Message: "resource not found", Data: append(data, '}')}
}

func serveGetPrompt(ctx context.Context, c *Call) error {
	rawName, rawArgs, meta, state := pick(c.params, "name", "arguments", "_meta", "requestState")
	name, ok := text(rawName)
	if !ok {
		return refuse(codec.CodeInvalidParams, "name must be a string")
	}
	p := c.s.reg.Load().prompts.get(name)
	if p == nil {
		return refuse(codec.CodeInvalidParams, "unknown prompt "+string(codec.AppendString(nil, string(name))))
	}
	c.readToken(meta)
	args, ok := stringMap(rawArgs)
	if !ok {
		return refuse(codec.CodeInvalidParams, "arguments of a prompt are strings")
	}
	if args == nil {
		args = make(map[string]string)
	}
	for _, need := range p.required {
		if _, ok := args[need]; !ok {
			return refuse(codec.CodeInvalidParams, "missing argument "+need)
		}
	}
	if err := c.resume(state, name, rawArgs); err != nil {
		return err
	}
	r, err := p.get(ctx, c, args)
	if err != nil {
		if c.wantsInput(err) {
			return c.inputRequired(name, rawArgs)
		}
		return err
	}
	if r == nil {
		r = new(PromptResult)
	}
	b, err := c.openMeta(r.Meta)
	if err != nil {
		return err
	}
	if b, err = r.append(b); err != nil {
		return err
	}
	c.close(b)
	return nil
}
