package alyx

// What a handler gets.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The daemon cuts lines at 8 KiB; this only keeps a huge one off the link.
const logLineBytes = 16 * 1024

// Context is what a handler gets, one per invocation.
type Context struct {
	// Input is the caller's JSON where that is an object, else nil; reading a nil map is fine.
	Input map[string]any
	// RawInput is the caller's JSON as it came; `null` where the caller sent nothing.
	RawInput json.RawMessage
	// Auth says who is calling.
	Auth Auth
	// Request is the HTTP request behind the call.
	Request Request
	// Env is the environment of the function.
	Env map[string]string
	// Secrets is not in the process environment.
	Secrets map[string]string
	// DB is the documents API under the identity of the caller.
	DB *DB
	// Events publishes events.
	Events Events
	// Log writes lines that belong to this invocation.
	Log Log
	// TraceID is the W3C trace id of the request.
	TraceID string

	invocation *invocation
}

// Auth says who is calling. An anonymous caller has an empty ID.
type Auth struct {
	ID       string `json:"id"`
	Email    string `json:"email"`
	Role     string `json:"role"`
	Verified bool   `json:"verified"`
}

// Request is the HTTP request behind a call.
type Request struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   map[string]string `json:"query"`
	Headers map[string]string `json:"headers"`
	IP      string            `json:"ip"`
}

func newContext(inv *invocation, message *invokeMessage, init *initMessage) *Context {
	ctx := &Context{
		RawInput:   message.Input,
		Auth:       *message.Auth,
		Request:    *message.Request,
		Env:        init.Env,
		Secrets:    init.Secrets,
		DB:         &DB{invocation: inv},
		Log:        Log{invocation: inv},
		TraceID:    *message.TraceID,
		invocation: inv,
	}
	ctx.Events = ctx.DB.Events()
	if bytes.HasPrefix(bytes.TrimLeft(message.Input, " \t\r\n"), []byte("{")) {
		// It is an object of a frame that has been parsed, so this cannot fail.
		_ = json.Unmarshal(message.Input, &ctx.Input)
	}
	return ctx
}

// Bind reads the input into a value, such as a pointer to a struct.
func (c *Context) Bind(target any) error {
	if err := json.Unmarshal(c.RawInput, target); err != nil {
		return &Error{Code: "invalid_input", Status: 400, Message: err.Error()}
	}
	return nil
}

// Context is done when the caller has given up or the deadline has passed.
func (c *Context) Context() context.Context { return c.invocation.ctx }

// Remaining is the time that is left; never negative.
func (c *Context) Remaining() time.Duration {
	deadline, _ := c.invocation.ctx.Deadline()
	if left := time.Until(deadline); left > 0 {
		return left
	}
	return 0
}

// Bind reads the input into a value of the type that is asked for.
func Bind[T any](c *Context) (T, error) {
	var value T
	err := c.Bind(&value)
	return value, err
}

// Log writes lines that belong to one invocation.
type Log struct{ invocation *invocation }

// Debug is for the developer.
func (l Log) Debug(args ...any) { l.line("debug", args) }

// Info is the ordinary level.
func (l Log) Info(args ...any) { l.line("info", args) }

// Warn says that something was coped with.
func (l Log) Warn(args ...any) { l.line("warn", args) }

// Error says that something failed.
func (l Log) Error(args ...any) { l.line("error", args) }

// Infof is Info with a format.
func (l Log) Infof(format string, args ...any) { l.line("info", []any{fmt.Sprintf(format, args...)}) }

func (l Log) line(level string, args []any) {
	text := strings.TrimSuffix(fmt.Sprintln(args...), "\n")
	l.invocation.log(level, cut(text, logLineBytes))
}
