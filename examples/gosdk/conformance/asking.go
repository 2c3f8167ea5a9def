package main

import (
	"context"
	"encoding/json"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// addAsking adds the tools that ask clients with a session, whose answers the
// handler waits for.
func addAsking(s *sdk.Server) {
	add(s, "test_sampling", "Asks the client's model.", askModel)
	add(s, "test_elicitation", "Asks the user.", func(ctx context.Context, req *sdk.CallToolRequest, in messageIn) (*sdk.CallToolResult, error) {
		return elicit(in.Message, contactForm)(ctx, req, none{})
	})
	add(s, "test_elicitation_sep1034_defaults", "Asks the user with defaults for every type (SEP-1034).",
		elicit("Please review and update the form fields with defaults", defaultsForm))
	add(s, "test_elicitation_sep1330_enums", "Asks the user to choose, in every way there is (SEP-1330).",
		elicit("Please select options from the enum fields", enumsForm))
}

type promptIn struct {
	Prompt string `json:"prompt" jsonschema:"what to ask the model"`
}

type messageIn struct {
	Message string `json:"message" jsonschema:"what to ask the user"`
}

func askModel(ctx context.Context, req *sdk.CallToolRequest, in promptIn) (*sdk.CallToolResult, error) {
	r, err := req.Session.CreateMessage(ctx, &sdk.CreateMessageParams{MaxTokens: 100, Messages: say(in.Prompt)})
	if err != nil {
		return nil, err
	}
	answer, _ := r.Content.(*sdk.TextContent)
	if answer == nil {
		return text("LLM response without text"), nil
	}
	return text("LLM response: %s", answer.Text), nil
}

// say returns a conversation of one message of the user's.
func say(words string) []*sdk.SamplingMessage {
	return []*sdk.SamplingMessage{{Role: "user", Content: &sdk.TextContent{Text: words}}}
}

// elicit returns a handler that shows the user a form and tells the outcome.
func elicit(message string, form json.RawMessage) handler[none] {
	return func(ctx context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
		r, err := req.Session.Elicit(ctx, &sdk.ElicitParams{Message: message, RequestedSchema: form})
		if err != nil {
			return nil, err
		}
		return text("Elicitation completed: action=%s, content=%v", r.Action, r.Content), nil
	}
}

var contactForm = json.RawMessage(`{
	"type": "object",
	"properties": {
		"username": {"type": "string", "description": "User's response"},
		"email": {"type": "string", "description": "User's email address"}
	},
	"required": ["username", "email"]
}`)

var defaultsForm = json.RawMessage(`{
	"type": "object",
	"properties": {
		"name": {"type": "string", "description": "User name", "default": "John Doe"},
		"age": {"type": "integer", "description": "User age", "default": 30},
		"score": {"type": "number", "description": "User score", "default": 95.5},
		"status": {"type": "string", "description": "User status", "enum": ["active", "inactive", "pending"], "default": "active"},
		"verified": {"type": "boolean", "description": "Verification status", "default": true}
	},
	"required": []
}`)

var enumsForm = json.RawMessage(`{
	"type": "object",
	"properties": {
		"untitledSingle": {"type": "string", "description": "Choose one", "enum": ["option1", "option2", "option3"]},
		"titledSingle": {"type": "string", "description": "Choose one with titles", "oneOf": [
			{"const": "value1", "title": "First Option"},
			{"const": "value2", "title": "Second Option"},
			{"const": "value3", "title": "Third Option"}]},
		"legacyEnum": {"type": "string", "description": "Choose one, titled the old way",
			"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
		"untitledMulti": {"type": "array", "description": "Choose several", "minItems": 1, "maxItems": 3,
			"items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
		"titledMulti": {"type": "array", "description": "Choose several with titles", "minItems": 1, "maxItems": 3,
			"items": {"anyOf": [
				{"const": "value1", "title": "First Choice"},
				{"const": "value2", "title": "Second Choice"},
				{"const": "value3", "title": "Third Choice"}]}}
	},
	"required": []
}`)
