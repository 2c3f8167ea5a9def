package mcp_test

import (
	"context"
	"fmt"

	"github.com/rookery-server/rookery/internal/rpc"
	"github.com/rookery-server/rookery/mcp"
)

// A tool that asks its user before it acts. Clients with a session are asked
// while it waits; later ones get the question as the result and call again, so
// that nothing must happen before the answer is there.
func ExampleCall_Elicit() {
	type options struct {
		Force bool `json:"force,omitempty" jsonschema:"even if somebody works on it"`
	}
	form, err := mcp.FormFor[options]()
	if err != nil {
		fmt.Println(err)
		return
	}
	s := mcp.New(mcp.Options{Host: printer{}, Sessions: &table{}, Calls: rpc.NewTable(100)})
	err = mcp.AddTool(s, mcp.Tool{Name: "drop"}, func(ctx context.Context, c *mcp.Call, in struct {
		Table string `json:"table"`
	}) (string, error) {
		answer, err := c.Elicit(ctx, mcp.ElicitRequest{Message: "Drop " + in.Table + "?", Schema: form})
		if err != nil {
			return "", err // ErrInputRequired among others
		}
		if !answer.Accepted() {
			return "Nothing happened.", nil
		}
		var how options
		if err := answer.Decode(&how); err != nil {
			return "", err
		}
		return fmt.Sprintf("Dropped %s (force: %v).", in.Table, how.Force), nil
	})
	fmt.Println(err)
	// Output: <nil>
}
