package hello

import "alyx.dev/alyx"

func Handler(ctx *alyx.Context) (any, error) {
	name, given := ctx.Input["name"].(string)
	if !given {
		name = "world"
	}
	return map[string]any{"hello": name, "from": "go"}, nil
}
