// Package alyx runs a Go function as a worker of Alyx.
//
// A function is a package that exports
//
//	func Handler(ctx *alyx.Context) (any, error)
//
// The daemon compiles it together with a main package that calls Serve. What the handler returns is
// encoded as JSON and becomes the answer; a nil value is an answer without a body, a *Response made
// by Context.Respond is sent as it is, and an error becomes a problem document. Return an *Error to
// choose its code and status.
//
// Several invocations run at once, each on a goroutine of its own, where the function's
// `concurrency` is above 1. A panic fails its invocation only.
package alyx

// Handler is the form of a function.
type Handler func(ctx *Context) (any, error)

// Serve runs the handler until the daemon has no more work, and does not return.
func Serve(handler Handler) {
	link := newLink()
	link.hello()
	newWorker(link, handler).serve()
}
