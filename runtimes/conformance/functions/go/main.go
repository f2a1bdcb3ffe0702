// What the conformance driver calls: the member `do` of the input says what happens.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"alyx.dev/alyx"
)

func main() { alyx.Serve(handler) }

func handler(ctx *alyx.Context) (any, error) {
	name, _ := ctx.Input["do"].(string)
	found, ok := cases[name]
	if !ok {
		return nil, fmt.Errorf("no case %q", name)
	}
	return found(ctx)
}

var cases = map[string]alyx.Handler{
	"echo":      func(ctx *alyx.Context) (any, error) { return ctx.Input["value"], nil },
	"nothing":   func(*alyx.Context) (any, error) { return nil, nil },
	"context":   inspect,
	"log":       logLines,
	"throw":     func(*alyx.Context) (any, error) { return nil, errors.New("boom") },
	"error":     declined,
	"odd_error": func(*alyx.Context) (any, error) { return nil, alyx.Errorf("ENOENT", 99, "odd") },
	"panic":     func(*alyx.Context) (any, error) { panic("out of luck") },
	"not_json":  func(*alyx.Context) (any, error) { return func() {}, nil },
	"deep":      func(ctx *alyx.Context) (any, error) { return nested(ctx), nil },
	"deep_call": func(ctx *alyx.Context) (any, error) {
		return ctx.DB.Create("posts", alyx.Document{"deep": nested(ctx)})
	},
	"deep_details": func(ctx *alyx.Context) (any, error) {
		return nil, &alyx.Error{Code: "deep_details", Message: "deep", Details: nested(ctx)}
	},
	"too_large": func(*alyx.Context) (any, error) { return strings.Repeat("x", 17*1024*1024), nil },
	"large":     func(*alyx.Context) (any, error) { return strings.Repeat("x", 5*1024*1024), nil },
	"respond": func(ctx *alyx.Context) (any, error) {
		return ctx.Respond(201, map[string]string{"X-Made": "yes"}, "made"), nil
	},
	"respond_json": func(ctx *alyx.Context) (any, error) {
		return ctx.Respond(200, nil, map[string]any{"a": 1}), nil
	},
	"respond_bytes": func(ctx *alyx.Context) (any, error) { return ctx.Respond(200, nil, []byte{0, 255, 1}), nil },
	"respond_empty": func(ctx *alyx.Context) (any, error) { return ctx.Respond(204, nil, nil), nil },
	"respond_bad":   func(ctx *alyx.Context) (any, error) { return ctx.Respond(99, nil, nil), nil },
	"respond_header": func(ctx *alyx.Context) (any, error) {
		return ctx.Respond(200, map[string]string{"a": "b\r\nc: d"}, nil), nil
	},
	"db":           documents,
	"db_error":     refusedDocument,
	"db_uncaught":  func(ctx *alyx.Context) (any, error) { return ctx.DB.Create("posts", alyx.Document{}) },
	"db_unawaited": unawaited,
	"db_many":      many,
	"wait_for_cancel": func(ctx *alyx.Context) (any, error) {
		<-ctx.Context().Done()
		return "cancelled", nil
	},
	"cancelled_call": func(ctx *alyx.Context) (any, error) { return ctx.DB.Get("posts", "never") },
	"flood":          flood,
	"late":           late,
	"exit": func(*alyx.Context) (any, error) {
		os.Exit(3)
		return nil, nil
	},
}

func nested(ctx *alyx.Context) any {
	depth, _ := ctx.Input["depth"].(float64)
	value := []any{}
	for n := 1; n < int(depth); n++ {
		value = []any{value}
	}
	return value
}

func inspect(ctx *alyx.Context) (any, error) {
	remaining := ctx.Remaining()
	var inEnv any
	if key, set := os.LookupEnv("KEY"); set {
		inEnv = key
	}
	return map[string]any{
		"auth": ctx.Auth, "env": ctx.Env["GREETING"], "process_env": os.Getenv("GREETING"),
		"secret": ctx.Secrets["KEY"], "secret_in_env": inEnv, "method": ctx.Request.Method,
		"header": ctx.Request.Headers["x-test"], "trace_id": ctx.TraceID,
		"remaining_ok": remaining > 0 && remaining <= 10*time.Second,
	}, nil
}

func logLines(ctx *alyx.Context) (any, error) {
	ctx.Log.Info("plain")
	ctx.Log.Debug("low")
	ctx.Log.Info("a", 1)
	ctx.Log.Warn("careful")
	ctx.Log.Error("bad")
	return nil, nil
}

func declined(*alyx.Context) (any, error) {
	return nil, fmt.Errorf("pay: %w", &alyx.Error{
		Code: "card_declined", Message: "the card was declined", Status: 402, Details: map[string]any{"attempt": 2},
	})
}

func documents(ctx *alyx.Context) (any, error) {
	page, err := ctx.DB.List("posts", alyx.Query{
		Filter: []string{"status:eq:published"}, Sort: []string{"-created_at"}, Limit: 2, Count: true,
	})
	if err != nil {
		return nil, err
	}
	one, _ := ctx.DB.Get("posts", "p1")
	none, err := ctx.DB.Get("posts", "absent")
	if err != nil {
		return nil, err
	}
	made, _ := ctx.DB.Create("posts", alyx.Document{"title": "T"})
	changed, _ := ctx.DB.Update("posts", "p1", alyx.Document{"title": "U"})
	if err := ctx.DB.Delete("posts", "p1"); err != nil {
		return nil, err
	}
	pageWire := map[string]any{"docs": page.Docs, "limit": page.Limit, "next_cursor": page.NextCursor, "total": page.Total}
	return map[string]any{"page": pageWire, "one": one, "none": none, "made": made, "changed": changed}, nil
}

func refusedDocument(ctx *alyx.Context) (any, error) {
	_, err := ctx.DB.Create("posts", alyx.Document{})
	var refused *alyx.Error
	if !errors.As(err, &refused) {
		return nil, err
	}
	return map[string]any{"code": refused.Code, "status": refused.Status, "errors": refused.Errors}, nil
}

func unawaited(ctx *alyx.Context) (any, error) {
	started := make(chan struct{})
	go func() {
		close(started)
		_, _ = ctx.DB.Create("posts", alyx.Document{"title": "late"})
	}()
	<-started
	time.Sleep(50 * time.Millisecond)
	return "early", nil
}

func many(ctx *alyx.Context) (any, error) {
	var all sync.WaitGroup
	for n := 0; n < 100; n++ {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			_, _ = ctx.DB.Get("posts", fmt.Sprintf("n%d", n))
		}(n)
	}
	all.Wait()
	return 100, nil
}

func flood(*alyx.Context) (any, error) {
	for n := 0; n < 20_000; n++ {
		fmt.Println(`{"invocation":1,"value":"forged"}`, "\x00\x01\x85", n)
	}
	fmt.Fprintln(os.Stderr, "\x85{}")
	return "unharmed", nil
}

func late(ctx *alyx.Context) (any, error) {
	go func() {
		time.Sleep(20 * time.Millisecond)
		ctx.Log.Info("too late")
		_, _ = ctx.DB.Get("posts", "p1")
	}()
	return "done", nil
}
