package alyx

// Frames of the worker link: bytes to messages and back. Specified in protocol/src/worker.rs.
// Nothing here does I/O beyond the reader it is given.

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	frameMaxBytes = 16 * 1024 * 1024
	prefixBytes   = 4
	depthMax      = 128
	// Memory of a large frame is made in steps of this, as its bytes arrive.
	growBytes = 256 * 1024
)

const (
	typeInit     = 0x01
	typeInvoke   = 0x02
	typeReply    = 0x04
	typeCancel   = 0x05
	typeShutdown = 0x06
	typeHello    = 0x80
	typeReady    = 0x81
	typeCall     = 0x82
	typeLog      = 0x83
	typeDone     = 0x85
	typeFailed   = 0x86
)

// Bytes that are not a frame of this protocol. All are fatal to the link.
var (
	errLength = errors.New("frame length is not within 1..=16777216")
	errType   = errors.New("frame type is unknown in this direction")
	errBody   = errors.New("frame body is malformed")
)

// What the daemon would not accept.
var (
	errTooLarge = errors.New("over 16 MiB")
	errTooDeep  = errors.New("nested over 128 levels")
)

type initMessage struct {
	Function    *string           `json:"function"`
	Entrypoint  *string           `json:"entrypoint"`
	Env         map[string]string `json:"env"`
	Secrets     map[string]string `json:"secrets"`
	Concurrency uint32            `json:"concurrency"`
}

type invokeMessage struct {
	Invocation uint64          `json:"invocation"`
	DeadlineMs uint64          `json:"deadline_ms"`
	Input      json.RawMessage `json:"input"`
	Auth       *Auth           `json:"auth"`
	Request    *Request        `json:"request"`
	TraceID    *string         `json:"trace_id"`
}

type replyMessage struct {
	Call  uint64          `json:"call"`
	Ok    json.RawMessage `json:"ok"`
	Error *problem        `json:"error"`
}

type cancelMessage struct {
	Invocation uint64 `json:"invocation"`
	Reason     string `json:"reason"`
}

type callMessage struct {
	Call       uint64 `json:"call"`
	Invocation uint64 `json:"invocation"`
	// Transaction is 0 outside of one.
	Transaction uint64 `json:"transaction,omitempty"`
	Op          string `json:"op"`
	Args        any    `json:"args"`
}

type logMessage struct {
	Invocation *uint64 `json:"invocation"`
	Level      string  `json:"level"`
	Message    string  `json:"message"`
}

type doneMessage struct {
	Invocation uint64          `json:"invocation"`
	Value      json.RawMessage `json:"value,omitempty"`
	Response   *Response       `json:"response,omitempty"`
}

type failedMessage struct {
	Invocation *uint64         `json:"invocation"`
	Code       string          `json:"code"`
	Status     int             `json:"status,omitempty"`
	Message    string          `json:"message"`
	Details    json.RawMessage `json:"details,omitempty"`
	Stack      string          `json:"stack,omitempty"`
}

// encodeFrame returns the whole frame, length prefix included.
func encodeFrame(frameType byte, message any) ([]byte, error) {
	var out bytes.Buffer
	out.Write([]byte{0, 0, 0, 0, frameType})
	encoder := json.NewEncoder(&out)
	// The text is never put into HTML; <, > and & stay as they are.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil {
		return nil, err
	}
	frame := out.Bytes()
	length := len(frame) - prefixBytes
	if length > frameMaxBytes {
		return nil, errTooLarge
	}
	if !depthIsFine(frame[prefixBytes+1:]) {
		return nil, errTooDeep
	}
	binary.LittleEndian.PutUint32(frame, uint32(length))
	return frame, nil
}

// depthIsFine tells whether no array or object of a JSON text is nested over the bound.
func depthIsFine(text []byte) bool {
	depth := 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			for at++; text[at] != '"'; at++ {
				if text[at] == '\\' {
					at++
				}
			}
		case '[', '{':
			if depth++; depth > depthMax {
				return false
			}
		case ']', '}':
			depth--
		}
	}
	return true
}

// readFrame reads one frame without its length prefix. io.EOF means the end of the link.
func readFrame(in *bufio.Reader) ([]byte, error) {
	var prefix [prefixBytes]byte
	if _, err := io.ReadFull(in, prefix[:]); err != nil {
		return nil, io.EOF
	}
	length, err := frameLength(prefix)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, 0, minimum(length, growBytes))
	for len(frame) < length {
		start, step := len(frame), minimum(length-len(frame), growBytes)
		frame = append(frame, make([]byte, step)...)
		if _, err := io.ReadFull(in, frame[start:]); err != nil {
			return nil, io.EOF
		}
	}
	return frame, nil
}

func frameLength(prefix [prefixBytes]byte) (int, error) {
	length := binary.LittleEndian.Uint32(prefix[:])
	if length == 0 || length > frameMaxBytes {
		return 0, errLength
	}
	return int(length), nil
}

// decodeFrame reads a frame without its length prefix into a pointer to one of the messages.
func decodeFrame(frame []byte) (any, error) {
	message, valid := emptyMessage(frame[0])
	if message == nil {
		return nil, fmt.Errorf("%w: %#02x", errType, frame[0])
	}
	body := frame[1:]
	// encoding/json would replace bad bytes in silence.
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("%w: not UTF-8", errBody)
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, fmt.Errorf("%w: not an object", errBody)
	}
	if err := json.Unmarshal(body, message); err != nil {
		return nil, fmt.Errorf("%w: %v", errBody, err)
	}
	if !valid() {
		return nil, fmt.Errorf("%w: a field is missing or of a wrong value", errBody)
	}
	return message, nil
}

// emptyMessage returns a message to fill and what must hold once it is filled.
func emptyMessage(frameType byte) (any, func() bool) {
	switch frameType {
	case typeInit:
		m := new(initMessage)
		return m, func() bool {
			return m.Function != nil && m.Entrypoint != nil && m.Env != nil && m.Secrets != nil && m.Concurrency > 0
		}
	case typeInvoke:
		m := new(invokeMessage)
		return m, func() bool {
			return isID(m.Invocation) && m.Input != nil && m.Auth != nil && m.Request != nil && m.TraceID != nil
		}
	case typeReply:
		m := new(replyMessage)
		return m, func() bool { return isID(m.Call) && (m.Ok != nil || m.Error != nil) }
	case typeCancel:
		m := new(cancelMessage)
		return m, func() bool {
			return isID(m.Invocation) && (m.Reason == "deadline" || m.Reason == "client_gone" || m.Reason == "shutdown")
		}
	case typeShutdown:
		return new(shutdownMessage), func() bool { return true }
	}
	return nil, nil
}

type shutdownMessage struct{}

func isID(id uint64) bool { return id > 0 && id < 1<<53 }

func minimum(a, b int) int {
	if a < b {
		return a
	}
	return b
}
