package main

import (
	"context"
	"fmt"

	"github.com/rookery-server/rookery/mcp"
)

// addAsking adds the tools that ask clients with a session, whose answers the
// handler waits for.
func addAsking(s *mcp.Server) error {
	for _, err := range []error{
		mcp.AddTool(s, mcp.Tool{Name: "test_sampling", Description: "Asks the client's model."}, askModel),
		mcp.AddTool(s, mcp.Tool{Name: "test_elicitation", Description: "Asks the user."}, askUser),
		s.AddTool(mcp.Tool{Name: "test_elicitation_sep1034_defaults", Description: "Asks the user with defaults for every type (SEP-1034).",
			Handle: elicit("Please review and update the form fields with defaults", defaultsForm)}),
		s.AddTool(mcp.Tool{Name: "test_elicitation_sep1330_enums", Description: "Asks the user to choose, in every way there is (SEP-1330).",
			Handle: elicit("Please select options from the enum fields", enumsForm)}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

type promptIn struct {
	Prompt string `json:"prompt" jsonschema:"what to ask the model"`
}

func askModel(ctx context.Context, c *mcp.Call, in promptIn) (string, error) {
	r, err := c.CreateMessage(ctx, mcp.CreateMessageRequest{MaxTokens: 100, Messages: say(in.Prompt)})
	if err != nil {
		return "", err
	}
	return "LLM response: " + r.Text(), nil
}

type messageIn struct {
	Message string `json:"message" jsonschema:"what to ask the user"`
}

func askUser(ctx context.Context, c *mcp.Call, in messageIn) (*mcp.ToolResult, error) {
	return elicit(in.Message, contactForm)(ctx, c)
}

// elicit returns a handler that shows the user a form and tells the outcome.
func elicit(message string, form *mcp.Form) func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
	return func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
		r, err := c.Elicit(ctx, mcp.ElicitRequest{Message: message, Schema: form})
		if err != nil {
			return nil, err
		}
		return mcp.Text(fmt.Sprintf("Elicitation completed: action=%s, content=%s", r.Action, r.Content)), nil
	}
}

var contactForm = form(`{
	"type": "object",
	"properties": {
		"username": {"type": "string", "description": "User's response"},
		"email": {"type": "string", "description": "User's email address"}
	},
	"required": ["username", "email"]
}`)

var defaultsForm = form(`{
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

var enumsForm = form(`{
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
