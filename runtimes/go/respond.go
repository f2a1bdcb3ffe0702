package alyx

// Context.Respond: an HTTP response built by a handler, checked when it is returned.

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

const headersMax = 100

// Response is what Respond returns. Handlers return it; they do not look inside.
type Response struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body,omitempty"`
	BodyBase64 *string           `json:"body_base64,omitempty"`

	problem error
}

// Respond builds an HTTP response. A body may be nil, a string, a []byte, or anything that encodes
// as JSON. Its content type is set by its kind where the headers have none.
func (c *Context) Respond(status int, headers map[string]string, body any) *Response {
	response := &Response{Status: status, Headers: make(map[string]string, len(headers)+1)}
	if status < 200 || status > 599 {
		return response.refuse("status %d is not within 200..=599", status)
	}
	if len(headers) > headersMax {
		return response.refuse("%d headers are more than %d", len(headers), headersMax)
	}
	for name, value := range headers {
		if !isToken(name) {
			return response.refuse("%q is not a header name", name)
		}
		if !isHeaderValue(value) {
			return response.refuse("header %s has a character that headers cannot carry", name)
		}
		response.Headers[strings.ToLower(name)] = value
	}
	return response.setBody(body)
}

func (r *Response) setBody(body any) *Response {
	switch body := body.(type) {
	case nil:
	case string:
		r.Body = &body
		r.contentType("text/plain; charset=utf-8")
	case []byte:
		text := base64.StdEncoding.EncodeToString(body)
		r.BodyBase64 = &text
		r.contentType("application/octet-stream")
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return r.refuse("%v", err)
		}
		whole := string(text)
		r.Body = &whole
		r.contentType("application/json")
	}
	return r
}

func (r *Response) contentType(kind string) {
	if _, given := r.Headers["content-type"]; !given {
		r.Headers["content-type"] = kind
	}
}

func (r *Response) refuse(format string, args ...any) *Response {
	r.problem = &Error{Code: "function_bad_response", Message: "Respond: " + fmt.Sprintf(format, args...)}
	return r
}

func isToken(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

func isHeaderValue(value string) bool {
	for _, c := range value {
		if c != '\t' && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}
