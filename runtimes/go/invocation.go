package alyx

// One open invocation: its calls to the daemon, its log, and its single answer.
//
// After the answer nothing more is sent in its name, because the daemon treats a frame about an
// unknown invocation as a broken worker. The mutex holds "is it still open?" and the sending
// together.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// The daemon allows this many open calls of one invocation; further ones wait here.
const openCallsMax = 32

type invocation struct {
	id     uint64
	worker *worker
	ctx    context.Context
	stop   context.CancelFunc
	room   chan struct{}
	calls  sync.WaitGroup

	mutex sync.Mutex
	ended bool
}

func newInvocation(w *worker, message *invokeMessage) *invocation {
	timeout := time.Duration(message.DeadlineMs) * time.Millisecond
	ctx, stop := context.WithTimeout(context.Background(), timeout)
	return &invocation{
		id:     message.Invocation,
		worker: w,
		ctx:    ctx,
		stop:   stop,
		room:   make(chan struct{}, openCallsMax),
	}
}

// run calls the handler and answers.
func (inv *invocation) run(handler Handler, ctx *Context) {
	defer inv.stop()
	value, err := inv.guarded(handler, ctx)
	// Calls of goroutines that the handler has left running.
	inv.calls.Wait()
	if err != nil {
		inv.fail(err, nil)
		return
	}
	inv.done(value)
}

// guarded turns a panic into an error that carries its stack.
func (inv *invocation) guarded(handler Handler, ctx *Context) (value any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicError{reason: reason, stack: debug.Stack()}
		}
	}()
	return handler(ctx)
}

type panicError struct {
	reason any
	stack  []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.reason) }

func (inv *invocation) call(transaction uint64, op string, args any) (json.RawMessage, error) {
	select {
	case inv.room <- struct{}{}:
		defer func() { <-inv.room }()
	case <-inv.ctx.Done():
		return nil, cancelled(inv.ctx.Err())
	}
	answer, err := inv.sendCall(transaction, op, args)
	if err != nil {
		return nil, err
	}
	defer inv.calls.Done()
	select {
	case reply := <-answer:
		if reply.Error != nil {
			return nil, reply.Error.asError()
		}
		return reply.Ok, nil
	case <-inv.ctx.Done():
		return nil, cancelled(inv.ctx.Err())
	}
}

func (inv *invocation) sendCall(transaction uint64, op string, args any) (<-chan *replyMessage, error) {
	inv.mutex.Lock()
	defer inv.mutex.Unlock()
	if inv.ended {
		return nil, Errorf("invocation_ended", 0, "%s: the invocation has been answered already", op)
	}
	number, answer := inv.worker.newCall()
	message := callMessage{Call: number, Invocation: inv.id, Transaction: transaction, Op: op, Args: args}
	frame, err := encodeFrame(typeCall, message)
	if err != nil {
		inv.worker.takeCall(number)
		if errors.Is(err, errTooLarge) {
			return nil, Errorf("call_too_large", 413, "%s: over 16 MiB", op)
		}
		return nil, err
	}
	inv.calls.Add(1)
	inv.worker.link.sendFrame(frame)
	return answer, nil
}

func cancelled(reason error) error {
	return Errorf("invocation_cancelled", 503, "the invocation was cancelled: %v", reason)
}

func (inv *invocation) log(level, message string) {
	inv.mutex.Lock()
	defer inv.mutex.Unlock()
	line := logMessage{Level: level, Message: message}
	if !inv.ended {
		line.Invocation = &inv.id
	}
	inv.worker.link.send(typeLog, line)
}

// done answers with what the handler returned.
func (inv *invocation) done(value any) {
	message := doneMessage{Invocation: inv.id}
	if response, ok := value.(*Response); ok && response != nil {
		if response.problem != nil {
			inv.fail(response.problem, nil)
			return
		}
		message.Response = response
	} else if value != nil {
		text, err := marshal(value)
		if err != nil {
			inv.fail(notJSON(err), nil)
			return
		}
		message.Value = text
	}
	frame, err := encodeFrame(typeDone, message)
	if errors.Is(err, errTooDeep) {
		inv.fail(notJSON(err), nil)
		return
	}
	if err != nil {
		inv.fail(Errorf("function_output_too_large", 0, "the function returned more than 16 MiB"), nil)
		return
	}
	inv.answer(frame)
}

func notJSON(err error) error {
	return Errorf("function_result_not_json", 0, "the function returned something that is not JSON: %v", err)
}

// fail answers with the handler's error.
func (inv *invocation) fail(err error, stack []byte) {
	var panicked *panicError
	if errors.As(err, &panicked) {
		stack = panicked.stack
	}
	message := failure(&inv.id, err, stack)
	frame, encodeErr := encodeFrame(typeFailed, message)
	if encodeErr != nil {
		// Only details can be too large or too deep; without them a message always fits.
		message.Details = nil
		frame, _ = encodeFrame(typeFailed, message)
	}
	inv.answer(frame)
}

func (inv *invocation) answer(frame []byte) {
	inv.mutex.Lock()
	defer inv.mutex.Unlock()
	inv.ended = true
	inv.worker.close(inv, frame)
}

func marshal(value any) (json.RawMessage, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimRight(out.Bytes(), "\n"), err
}
