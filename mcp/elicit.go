package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rookery-server/rookery/codec"
)

// ElicitRequest asks the user of a client: to fill in a form or, with URL, to
// do something out of band that the client must not see, such as to enter a
// password or to pay (elicitation).
type ElicitRequest struct {
	// Key names the question within its call, for clients of the era without
	// sessions: the handler is run again with the answers, and finds each by
	// its key. "" means the number of the question, which is right for a
	// handler that asks in the same order every time.
	Key     string
	Message string // what the user reads

	// Schema is the form: a *[Form] made once, or what [NewForm] takes. nil with
	// a URL, else the form is empty: the user just agrees or not.
	Schema any

	// URL is where the user is to go, and ID what names this elicitation when
	// the server says that it is over (notifications/elicitation/complete).
	URL, ID string

	Meta map[string]any // _meta of the question
}

// What a user may do about a question.
const (
	ActionAccept  = "accept"
	ActionDecline = "decline" // said no
	ActionCancel  = "cancel"  // closed it without a choice
)

// ElicitResult is a user's answer.
type ElicitResult struct {
	Action string // ActionAccept, ActionDecline or ActionCancel
	// Content is what an accepted form holds: a JSON object that satisfies the
	// schema, with the defaults filled in. Else nil.
	Content json.RawMessage
	Meta    map[string]any
}

// Accepted reports whether the user accepted.
func (r *ElicitResult) Accepted() bool { return r.Action == ActionAccept }

// Decode decodes the content of an accepted form into v.
func (r *ElicitResult) Decode(v any) error {
	if r.Content == nil {
		return errors.New("mcp: the answer has no content")
	}
	return codec.Unmarshal(r.Content, v)
}

// Elicit asks the client's user and returns the answer.
//
// A client with a session is asked on the stream of the call, and Elicit waits
// for the answer, at most Options.AskTimeout. The handler leaves its worker
// meanwhile, so that any number may wait; it must not run inline (Tool.Inline).
//
// A client of the era without sessions cannot be asked while a call runs. If
// its request carries the answer, Elicit returns it at once. If not, the error
// is [ErrInputRequired]: the handler must return it (wrapped or not), the
// client gets the question as the call's result and calls again with the
// answer, and the handler runs from its start. Earlier answers of the call come
// back with the latest one, authenticated by Options.StateKey, so a handler
// that asks one question after another finds them all. What it does before the
// last question it does again each time: ask first, act later.
//
// Within a task ([Call.AsTask]) Elicit waits as with a session: the client finds
// the question when it looks at the task, under a key of the server's making.
//
// Other errors are [MissingCapability], the answer's own (*codec.Error), an
// answer that is not what was asked for, those of ctx and of the limits, and
// ErrCannotAsk, ErrNoStream, ErrCallOver and ErrSessionEnded.
func (c *Call) Elicit(ctx context.Context, r ElicitRequest) (*ElicitResult, error) {
	a, err := c.askOne(ctx, r)
	return a.Elicit, err
}

func (r ElicitRequest) query(rev Revision) (query, error) {
	if r.URL != "" {
		return r.urlQuery()
	}
	form, err := formOf(r.Schema)
	if err != nil {
		return query{}, err
	}
	b := []byte{'{'}
	if rev >= Revision20251125 {
		b = append(b, `"mode":"form"`...)
	}
	b = codec.AppendString(appendKey(b, "message"), r.Message)
	b = append(appendKey(b, "requestedSchema"), form.schema.raw...)
	if b, err = appendMeta(b, r.Meta); err != nil {
		return query{}, err
	}
	return query{
		key: r.Key, method: methodElicit, need: CapElicitation | CapElicitationForm, params: append(b, '}'),
		read: func(raw []byte) (Answer, error) { return readElicit(raw, form) },
	}, nil
}

func (r *ElicitRequest) urlQuery() (query, error) {
	if r.Schema != nil {
		return query{}, errors.New("mcp: an elicitation has a URL or a schema, not both")
	}
	b, err := r.appendURL(nil)
	if err != nil {
		return query{}, err
	}
	return query{
		key: r.Key, method: methodElicit, need: CapElicitation | CapElicitationURL, params: b,
		read: func(raw []byte) (Answer, error) { return readElicit(raw, nil) },
	}, nil
}

// appendURL appends the params of a URL elicitation.
func (r *ElicitRequest) appendURL(dst []byte) ([]byte, error) {
	dst = append(dst, `{"mode":"url"`...)
	dst = codec.AppendString(appendKey(dst, "message"), r.Message)
	dst = codec.AppendString(appendKey(dst, "url"), r.URL)
	dst = appendStringMember(dst, "elicitationId", r.ID)
	dst, err := appendMeta(dst, r.Meta)
	return append(dst, '}'), err
}

// readElicit reads an answer; form is nil for a URL elicitation.
func readElicit(raw []byte, form *Form) (Answer, error) {
	action, content, meta, _ := pick(raw, "action", "content", "_meta", "\x00")
	word, _ := text(action)
	r := &ElicitResult{Action: string(word)}
	switch r.Action {
	case ActionAccept, ActionDecline, ActionCancel:
	default:
		return Answer{}, errors.New("action must be accept, decline or cancel")
	}
	if isObject(meta) {
		if err := codec.Unmarshal(meta, &r.Meta); err != nil {
			return Answer{}, err
		}
	}
	if r.Action != ActionAccept || form == nil {
		return Answer{Elicit: r}, nil
	}
	if content == nil {
		content = []byte("{}")
	}
	valid, err := form.schema.validate(content)
	if err != nil {
		return Answer{}, fmt.Errorf("content: %w", err)
	}
	r.Content = append(json.RawMessage(nil), valid...)
	return Answer{Elicit: r}, nil
}

// URLElicitationRequired is the error for a call that cannot go on before the
// user has been to the URLs of requests, which all have one and an ID: the
// client shows them and tries again later (2025-11-25). It panics if one has
// not, which is a mistake in the program.
func URLElicitationRequired(requests ...ElicitRequest) *codec.Error {
	data := append([]byte(nil), `{"elicitations":[`...)
	for i := range requests {
		r := &requests[i]
		if r.URL == "" || r.ID == "" {
			panic(errors.New("mcp: URLElicitationRequired needs URL and ID"))
		}
		if i > 0 {
			data = append(data, ',')
		}
		var err error
		if data, err = r.appendURL(data); err != nil {
			panic(err) // a _meta that has no JSON
		}
	}
	return &codec.Error{
		Code: CodeURLElicitationRequired, Message: "the user must open a URL first", Data: append(data, "]}"...),
	}
}
