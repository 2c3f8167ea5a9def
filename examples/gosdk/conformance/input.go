package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// What a call may ask in the middle of it (SEP-2322): the handler returns
// questions and runs again, from its start, with the answers. Clients with a
// session are asked by the SDK.

var (
	nameForm    = json.RawMessage(`{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}`)
	colorForm   = json.RawMessage(`{"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}`)
	confirmForm = json.RawMessage(`{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}`)
	contextForm = json.RawMessage(`{"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]}`)
)

// The questions. The SDK may write to what it is given, so that each is new.
func askName() sdk.InputRequest {
	return &sdk.ElicitParams{Message: "What is your name?", RequestedSchema: nameForm}
}

func askGreeting() sdk.InputRequest {
	return &sdk.CreateMessageParams{MaxTokens: 50, Messages: say("Generate a greeting")}
}

func askRoots() sdk.InputRequest { return &sdk.ListRootsParams{} }

// addInput adds what asks in the middle of a call.
func addInput(s *sdk.Server) {
	add(s, "test_input_required_result_elicitation", "Greets the user by name.", greetByName)
	add(s, "test_input_required_result_sampling", "Asks the client's model for a capital.", askCapital)
	add(s, "test_input_required_result_list_roots", "Counts the client's roots.", countRoots)
	add(s, "test_input_required_result_request_state", "Wants a confirmation.", askToConfirm)
	add(s, "test_input_required_result_tampered_state", "Wants a confirmation.", askToConfirm)
	add(s, "test_input_required_result_multiple_inputs", "Asks user, model and client at once.",
		askAll(func(*sdk.ClientCapabilities) sdk.InputRequestMap {
			return sdk.InputRequestMap{"user_name": askName(), "greeting": askGreeting(), "client_roots": askRoots()}
		}))
	add(s, "test_input_required_result_capabilities", "Asks at once all that the client can answer.", askAll(answerable))
	add(s, "test_input_required_result_multi_round", "Asks for a name, then for a color.", askTwice)
}

// entered returns a field of what the user entered for a question.
func entered(answers sdk.InputResponseMap, key, field string) (value string, ok bool) {
	r, _ := answers[key].(*sdk.ElicitResult)
	if r == nil || r.Action != "accept" {
		return "", false
	}
	value, ok = r.Content[field].(string)
	return value, ok && value != ""
}

// said returns what the model said to a question.
func said(answers sdk.InputResponseMap, key string) (words string, ok bool) {
	r, _ := answers[key].(*sdk.CreateMessageWithToolsResult)
	if r == nil {
		return "", false
	}
	for _, c := range r.Content {
		if t, isText := c.(*sdk.TextContent); isText {
			words += t.Text
		}
	}
	return words, true
}

func ask(state string, questions sdk.InputRequestMap) *sdk.CallToolResult {
	return &sdk.CallToolResult{InputRequests: questions, RequestState: state}
}

func greetByName(_ context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	if name, ok := entered(req.Params.InputResponses, "user_name", "name"); ok {
		return text("Hello, %s!", name), nil
	}
	return ask("", sdk.InputRequestMap{"user_name": askName()}), nil
}

func askCapital(_ context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	if words, ok := said(req.Params.InputResponses, "capital_question"); ok {
		return text("The model says: %s", words), nil
	}
	return ask("", sdk.InputRequestMap{"capital_question": &sdk.CreateMessageParams{
		MaxTokens: 100, Messages: say("What is the capital of France?"),
	}}), nil
}

func countRoots(_ context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	r, ok := req.Params.InputResponses["client_roots"].(*sdk.ListRootsResult)
	if !ok {
		return ask("", sdk.InputRequestMap{"client_roots": askRoots()}), nil
	}
	line := fmt.Sprintf("The client has %d roots:", len(r.Roots))
	for _, root := range r.Roots {
		line += " " + root.URI
	}
	return text("%s", line), nil
}

func askToConfirm(_ context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	r, ok := req.Params.InputResponses["confirm"].(*sdk.ElicitResult)
	if !ok {
		return ask(sealed("confirm"), sdk.InputRequestMap{"confirm": &sdk.ElicitParams{Message: "Please confirm", RequestedSchema: confirmForm}}), nil
	}
	if _, err := opened(req.Params.RequestState); err != nil {
		return nil, err
	}
	return text("state-ok, confirmed: %v", r.Content["ok"]), nil
}

// askAll returns a handler that puts several questions at once.
func askAll(questions func(*sdk.ClientCapabilities) sdk.InputRequestMap) handler[none] {
	return func(_ context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
		list := questions(req.ClientCapabilities())
		line := "The client answered:"
		for key := range list {
			a, ok := req.Params.InputResponses[key]
			if !ok {
				return ask(sealed("all"), list), nil
			}
			line += fmt.Sprintf(" %s with a %T;", key, a)
		}
		return text("%s", line), nil
	}
}

// answerable returns the questions that a client can answer.
func answerable(can *sdk.ClientCapabilities) sdk.InputRequestMap {
	list := sdk.InputRequestMap{}
	if can == nil {
		return list
	}
	if can.Elicitation != nil {
		list["user_name"] = askName()
	}
	if can.Sampling != nil {
		list["greeting"] = askGreeting()
	}
	if can.RootsV2 != nil {
		list["client_roots"] = askRoots()
	}
	return list
}

// askTwice keeps nothing between the rounds: the first answer stands in the
// state that comes back with the second.
func askTwice(_ context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	if color, ok := entered(req.Params.InputResponses, "step2", "color"); ok {
		name, err := opened(req.Params.RequestState)
		if err != nil {
			return nil, err
		}
		return text("%s likes %s.", name, color), nil
	}
	if name, ok := entered(req.Params.InputResponses, "step1", "name"); ok {
		return ask(sealed(name), sdk.InputRequestMap{"step2": &sdk.ElicitParams{
			Message: "Step 2: What is your favorite color?", RequestedSchema: colorForm,
		}}), nil
	}
	return ask(sealed("step 1"), sdk.InputRequestMap{"step1": &sdk.ElicitParams{
		Message: "Step 1: What is your name?", RequestedSchema: nameForm,
	}}), nil
}

// stateKey makes states that only this process can have made.
var stateKey = []byte(rand.Text())

// sealed returns a state that says what, and that we said it.
func sealed(what string) string {
	mac := hmac.New(sha256.New, stateKey)
	mac.Write([]byte(what))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "." + what
}

// opened returns what a state says.
func opened(state string) (string, error) {
	_, what, _ := strings.Cut(state, ".")
	if !hmac.Equal([]byte(sealed(what)), []byte(state)) {
		return "", &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "requestState is not ours"}
	}
	return what, nil
}
