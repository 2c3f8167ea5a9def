package main

import (
	"context"
	"fmt"

	"github.com/rookery-server/rookery/mcp"
)

// What a call may ask of a client in the middle of it. A client with a session
// is asked while the handler waits; one of 2026-07-28 gets the question as the
// result and calls again with the answer, for which the handler runs from its
// start (SEP-2322). A handler that asks first and acts later serves both.

var (
	nameForm    = form(`{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}`)
	colorForm   = form(`{"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}`)
	confirmForm = form(`{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}`)
	contextForm = form(`{"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]}`)
)

// form prepares a form that is known to be right.
func form(schema string) *mcp.Form {
	f, err := mcp.NewForm(schema)
	if err != nil {
		panic(err)
	}
	return f
}

// The questions, under the keys that the suite expects.
var (
	askName     = mcp.ElicitRequest{Key: "user_name", Message: "What is your name?", Schema: nameForm}
	askConfirm  = mcp.ElicitRequest{Key: "confirm", Message: "Please confirm", Schema: confirmForm}
	askContext  = mcp.ElicitRequest{Key: "user_context", Message: "What context should the prompt use?", Schema: contextForm}
	askRoots    = mcp.RootsRequest{Key: "client_roots"}
	askGreeting = mcp.CreateMessageRequest{Key: "greeting", MaxTokens: 50, Messages: say("Generate a greeting")}
)

// say returns a conversation of one message of the user's.
func say(text string) []mcp.SamplingMessage {
	return []mcp.SamplingMessage{{Role: "user", Content: []mcp.Content{mcp.TextContent(text)}}}
}

// addInput adds what asks in the middle of a call.
func addInput(s *mcp.Server) error {
	for _, t := range []mcp.Tool{
		{Name: "test_input_required_result_elicitation", Description: "Greets the user by name.", Handle: greetByName},
		{Name: "test_input_required_result_sampling", Description: "Asks the client's model for a capital.", Handle: askCapital},
		{Name: "test_input_required_result_list_roots", Description: "Counts the client's roots.", Handle: countRoots},
		{Name: "test_input_required_result_request_state", Description: "Wants a confirmation.", Handle: askToConfirm},
		{Name: "test_input_required_result_tampered_state", Description: "Wants a confirmation.", Handle: askToConfirm},
		{Name: "test_input_required_result_multiple_inputs", Description: "Asks user, model and client at once.",
			Handle: askAll(func(mcp.Capabilities) []mcp.Question { return []mcp.Question{askName, askGreeting, askRoots} })},
		{Name: "test_input_required_result_capabilities", Description: "Asks at once all that the client can answer.",
			Handle: askAll(answerable)},
		{Name: "test_input_required_result_multi_round", Description: "Asks for a name, then for a color.", Handle: askTwice},
	} {
		if err := s.AddTool(t); err != nil {
			return err
		}
	}
	return s.AddPrompt(mcp.Prompt{Name: "test_input_required_result_prompt", Description: "Asks the user for context.", Get: askForContext})
}

// fill shows the user a form and decodes what was entered; ok is false if the
// user would not.
func fill(ctx context.Context, c *mcp.Call, question mcp.ElicitRequest, into any) (ok bool, err error) {
	r, err := c.Elicit(ctx, question)
	if err != nil || !r.Accepted() {
		return false, err
	}
	return true, r.Decode(into)
}

func greetByName(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	var in struct{ Name string }
	ok, err := fill(ctx, c, askName, &in)
	if err != nil {
		return nil, err
	}
	if !ok {
		return mcp.Text("Hello, whoever you are!"), nil
	}
	return mcp.Text("Hello, " + in.Name + "!"), nil
}

func askCapital(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	r, err := c.CreateMessage(ctx, mcp.CreateMessageRequest{
		Key: "capital_question", MaxTokens: 100, Messages: say("What is the capital of France?"),
	})
	if err != nil {
		return nil, err
	}
	return mcp.Text("The model says: " + r.Text()), nil
}

func countRoots(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	answers, err := c.AskAll(ctx, askRoots)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("The client has %d roots:", len(answers[0].Roots))
	for _, r := range answers[0].Roots {
		text += " " + r.URI
	}
	return mcp.Text(text), nil
}

func askToConfirm(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	var in struct{ OK bool }
	if _, err := fill(ctx, c, askConfirm, &in); err != nil {
		return nil, err
	}
	// A state that was tampered with never gets here: the server refuses it.
	return mcp.Text(fmt.Sprintf("state-ok, confirmed: %v", in.OK)), nil
}

// askAll returns a handler that puts several questions at once.
func askAll(questions func(mcp.Capabilities) []mcp.Question) func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
	return func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
		answers, err := c.AskAll(ctx, questions(c.Capabilities())...)
		if err != nil {
			return nil, err
		}
		text := "The client answered:"
		for _, a := range answers {
			switch {
			case a.Elicit != nil:
				text += fmt.Sprintf(" the user did %s %s;", a.Elicit.Action, a.Elicit.Content)
			case a.Message != nil:
				text += " the model said " + a.Message.Text() + ";"
			default:
				text += fmt.Sprintf(" %d roots;", len(a.Roots))
			}
		}
		return mcp.Text(text), nil
	}
}

// answerable returns the questions that a client can answer.
func answerable(can mcp.Capabilities) []mcp.Question {
	var list []mcp.Question
	if can&mcp.CapElicitationForm != 0 {
		list = append(list, askName)
	}
	if can&mcp.CapSampling != 0 {
		list = append(list, askGreeting)
	}
	if can&mcp.CapRoots != 0 {
		list = append(list, askRoots)
	}
	return list
}

// askTwice keeps nothing between the rounds: the first answer comes back
// together with the second.
func askTwice(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	var in struct{ Name, Color string }
	if _, err := fill(ctx, c, mcp.ElicitRequest{Key: "step1", Message: "Step 1: What is your name?", Schema: nameForm}, &in); err != nil {
		return nil, err
	}
	if _, err := fill(ctx, c, mcp.ElicitRequest{Key: "step2", Message: "Step 2: What is your favorite color?", Schema: colorForm}, &in); err != nil {
		return nil, err
	}
	return mcp.Text(fmt.Sprintf("%s likes %s.", in.Name, in.Color)), nil
}

func askForContext(ctx context.Context, c *mcp.Call, _ map[string]string) (*mcp.PromptResult, error) {
	var in struct{ Context string }
	if _, err := fill(ctx, c, askContext, &in); err != nil {
		return nil, err
	}
	return user(mcp.TextContent("Use this context: " + in.Context)), nil
}
