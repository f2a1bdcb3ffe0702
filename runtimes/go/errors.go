package alyx

// Errors that cross the link: problems of the daemon become errors of the function, and whatever a
// function returns as its error becomes the body of `failed`.

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

const (
	messageMaxBytes = 8 * 1024
	stackMaxBytes   = 32 * 1024
	codeMaxBytes    = 64
)

// Error is an error with a stable code, and optionally a status and details for the caller.
//
// The message is shown to the caller only where Status is set and below 500.
type Error struct {
	// Code is snake_case and stable; callers branch on it.
	Code string
	// Message is one sentence for people.
	Message string
	// Status is 400..=599, or 0 for 500.
	Status int
	// Details is anything that encodes as JSON.
	Details any
	// Errors holds the wrong fields of a document that the daemon refused.
	Errors []FieldError
	// Hint says what to do about it, if the daemon knows.
	Hint string
}

// FieldError is one wrong field of a document.
type FieldError struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error returns the message, or the code where there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Message
}

// Errorf makes an Error with a formatted message.
func Errorf(code string, status int, format string, args ...any) *Error {
	return &Error{Code: code, Status: status, Message: fmt.Sprintf(format, args...)}
}

// HasCode tells whether err is, or wraps, an Error with this code.
func HasCode(err error, code string) bool {
	var own *Error
	return errors.As(err, &own) && own.Code == code
}

// problem is a problem document of the daemon.
type problem struct {
	Code    string          `json:"code"`
	Title   string          `json:"title"`
	Detail  string          `json:"detail"`
	Status  int             `json:"status"`
	Details json.RawMessage `json:"details"`
	Errors  []FieldError    `json:"errors"`
	Hint    string          `json:"hint"`
}

func (p *problem) asError() *Error {
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	own := &Error{Code: p.Code, Message: message, Status: p.Status, Errors: p.Errors, Hint: p.Hint}
	if p.Details != nil {
		own.Details = p.Details
	}
	return own
}

// failure turns an error into the body of `failed`.
func failure(invocation *uint64, err error, stack []byte) failedMessage {
	message := failedMessage{
		Invocation: invocation,
		Code:       "function_error",
		Message:    cut(err.Error(), messageMaxBytes),
		Stack:      cut(string(stack), stackMaxBytes),
	}
	var own *Error
	if !errors.As(err, &own) {
		return message
	}
	if isCode(own.Code) {
		message.Code = own.Code
	}
	if own.Status >= 400 && own.Status <= 599 {
		message.Status = own.Status
	}
	message.Details = detailsOf(own)
	return message
}

func detailsOf(own *Error) json.RawMessage {
	details := own.Details
	if details == nil && len(own.Errors) > 0 {
		details = map[string]any{"errors": own.Errors}
	}
	if details == nil {
		return nil
	}
	text, err := json.Marshal(details)
	if err != nil {
		// Details that are not JSON are the lesser loss: the error itself still arrives.
		return nil
	}
	return text
}

func isCode(code string) bool {
	if code == "" || len(code) > codeMaxBytes || code[0] < 'a' || code[0] > 'z' {
		return false
	}
	for i := 0; i < len(code); i++ {
		c := code[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// cut shortens text to a number of bytes, on a character's boundary.
func cut(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	end := maxBytes
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
