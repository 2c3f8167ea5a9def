package demo

import (
	"context"

	"github.com/rookery-server/rookery/mcp"
)

// sureForm is what the user fills in for tool confirm.
type sureForm struct {
	Sure bool `json:"sure" jsonschema:"are you sure?"`
}

// questionIn is the input of tool confirm.
type questionIn struct {
	Text string `json:"text" jsonschema:"what the user is to confirm"`
}

// confirmed is its output.
type confirmed struct {
	Action string `json:"action" jsonschema:"what the user did: accept, decline or cancel"`
	Sure   bool   `json:"sure" jsonschema:"the user accepted and is sure"`
}

// addConfirm adds tool confirm, which asks the client's user and returns the
// answer. It shows what a handler looks like that waits for somebody: a plain
// call, outside of the count of workers while it lasts.
func addConfirm(m *mcp.Server) error {
	form, err := mcp.FormFor[sureForm]()
	if err != nil {
		return err
	}
	return mcp.AddTool(m, mcp.Tool{
		Name: "confirm", Title: "Confirm",
		Description: "Asks the user to confirm a text and returns what the user said. Needs a client that can elicit.",
	}, func(ctx context.Context, c *mcp.Call, in questionIn) (confirmed, error) {
		answer, err := c.Elicit(ctx, mcp.ElicitRequest{Message: in.Text, Schema: form})
		if err != nil {
			return confirmed{}, err
		}
		out := confirmed{Action: answer.Action}
		if !answer.Accepted() {
			return out, nil
		}
		var said sureForm
		err = answer.Decode(&said)
		out.Sure = said.Sure
		return out, err
	})
}
