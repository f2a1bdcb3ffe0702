package alyx

// The worker: takes frames, runs invocations, answers.

import (
	"errors"
	"io"
	"os"
	"sync"
)

type worker struct {
	link    *link
	handler Handler
	init    *initMessage

	mutex    sync.Mutex
	open     map[uint64]*invocation
	calls    map[uint64]chan *replyMessage
	lastCall uint64
	stopping bool
}

func newWorker(l *link, handler Handler) *worker {
	return &worker{
		link:    l,
		handler: handler,
		open:    map[uint64]*invocation{},
		calls:   map[uint64]chan *replyMessage{},
	}
}

// serve reads frames until the link ends; it does not return.
func (w *worker) serve() {
	for {
		frame, err := readFrame(w.link.in)
		if err == io.EOF {
			os.Exit(0)
		}
		if err != nil {
			w.link.fail(err)
		}
		message, err := decodeFrame(frame)
		if err != nil {
			w.link.fail(err)
		}
		if err := w.onMessage(message); err != nil {
			w.link.fail(err)
		}
	}
}

func (w *worker) onMessage(message any) error {
	switch message := message.(type) {
	case *initMessage:
		return w.onInit(message)
	case *invokeMessage:
		return w.onInvoke(message)
	case *replyMessage:
		return w.onReply(message)
	case *cancelMessage:
		w.onCancel(message)
	case *shutdownMessage:
		w.onShutdown()
	}
	return nil
}

func (w *worker) onInit(message *initMessage) error {
	if w.init != nil {
		return errors.New("a second init")
	}
	for name, value := range message.Env {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	// Only where the bundle is: tests run without a sandbox.
	if _, err := os.Stat("/fn"); err == nil {
		if err := os.Chdir("/fn"); err != nil {
			return err
		}
	}
	w.init = message
	w.link.send(typeReady, struct{}{})
	return nil
}

func (w *worker) onInvoke(message *invokeMessage) error {
	if w.init == nil {
		return errors.New("an invoke before ready")
	}
	inv := newInvocation(w, message)
	w.mutex.Lock()
	_, taken := w.open[inv.id]
	w.open[inv.id] = inv
	w.mutex.Unlock()
	if taken {
		return errors.New("an invocation that is open already")
	}
	go inv.run(w.handler, newContext(inv, message, w.init))
	return nil
}

func (w *worker) onReply(message *replyMessage) error {
	answer := w.takeCall(message.Call)
	if answer == nil {
		return errors.New("a reply to no call")
	}
	// Has room for one; nobody reads where the invocation has given up.
	answer <- message
	return nil
}

func (w *worker) onCancel(message *cancelMessage) {
	w.mutex.Lock()
	inv := w.open[message.Invocation]
	w.mutex.Unlock()
	if inv != nil {
		inv.stop()
	}
}

func (w *worker) onShutdown() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.stopping = true
	w.exitWhenIdle()
}

// newCall numbers a call and returns where its reply will be.
func (w *worker) newCall() (uint64, <-chan *replyMessage) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.lastCall++
	answer := make(chan *replyMessage, 1)
	w.calls[w.lastCall] = answer
	return w.lastCall, answer
}

func (w *worker) takeCall(number uint64) chan *replyMessage {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	answer := w.calls[number]
	delete(w.calls, number)
	return answer
}

// close sends the answer of an invocation and forgets it.
func (w *worker) close(inv *invocation, frame []byte) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.open, inv.id)
	w.link.sendFrame(frame)
	if w.stopping {
		w.exitWhenIdle()
	}
}

func (w *worker) exitWhenIdle() {
	if len(w.open) == 0 {
		os.Exit(0)
	}
}
