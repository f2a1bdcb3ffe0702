package alyx

// Descriptor 3: the only way in and out of the worker. One goroutine reads; any may send.

import (
	"bufio"
	"os"
	"runtime"
	"sync"
	"syscall"
)

const (
	linkFd           = 3
	readBufferBytes  = 64 * 1024
	brokenLinkStatus = 1
)

type link struct {
	file  *os.File
	in    *bufio.Reader
	write sync.Mutex
}

func newLink() *link {
	// Readiness comes from the runtime's poller then, which wakes a goroutine in half the time that
	// a blocked system call takes. Where it fails, the blocking way works as well.
	_ = syscall.SetNonblock(linkFd, true)
	file := os.NewFile(linkFd, "alyx-link")
	return &link{file: file, in: bufio.NewReaderSize(file, readBufferBytes)}
}

func (l *link) hello() {
	// By hand: `hello` leaves before encoding/json has looked at its first type.
	body := `{"protocol":1,"runtime":"go","version":"` + runtime.Version() + `"}`
	length := len(body) + 1
	frame := append([]byte{byte(length), 0, 0, 0, typeHello}, body...)
	l.sendFrame(frame)
}

// send encodes and sends a message that is known to fit.
func (l *link) send(frameType byte, message any) {
	frame, err := encodeFrame(frameType, message)
	if err != nil {
		l.fail(err)
	}
	l.sendFrame(frame)
}

// sendFrame sends a frame whole. Where that fails the daemon has gone and nobody is left to serve.
func (l *link) sendFrame(frame []byte) {
	l.write.Lock()
	defer l.write.Unlock()
	if _, err := l.file.Write(frame); err != nil {
		os.Exit(0)
	}
}

// fail ends the worker: the daemon said something that this protocol does not have.
func (l *link) fail(err error) {
	_, _ = os.Stderr.WriteString("alyx: the worker link is broken: " + err.Error() + "\n")
	os.Exit(brokenLinkStatus)
}
