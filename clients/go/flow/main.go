// Command flow tells the story of clients/FLOW.md: flow ADDRESS FLOW.JSON
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	orderflow "orderflow.example/go"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: flow ADDRESS FLOW.JSON")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "flow:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var flow struct {
		Steps []step `json:"steps"`
	}
	if err := json.Unmarshal(text, &flow); err != nil {
		return err
	}
	story, err := begin(address)
	if err != nil {
		return err
	}
	defer story.end()
	for _, step := range flow.Steps {
		tell := story.steps()[step.Step]
		if tell == nil {
			return fmt.Errorf("%s: there is no such step", step.Step)
		}
		result, err := tell(ctx, step)
		line := line{Step: step.Step, Code: codeName(err), Result: result}
		if err != nil {
			line.explain(orderflow.DetailsOf(err))
		}
		if step.Step == "idle-watch" {
			line.Reason = ""
		}
		if err := story.print(line); err != nil {
			return err
		}
	}
	return nil
}
