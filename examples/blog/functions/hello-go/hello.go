// Package hello greets.
package hello

import "alyx.dev/alyx"

// Handler answers with the name it was given.
func Handler(ctx *alyx.Context) (any, error) {
	name, ok := ctx.Input["name"].(string)
	if !ok {
		name = "world"
	}
	return map[string]any{"hello": name, "from": "go"}, nil
}
