package alyx

// The golden frames of protocol/vectors: `go test ./...` in runtimes/go.

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

type golden struct {
	Name    string          `json:"name"`
	Type    string          `json:"type"`
	Frame   string          `json:"frame"`
	Message json.RawMessage `json:"message"`
}

type refused struct {
	Name          string `json:"name"`
	Direction     string `json:"direction"`
	Frame         string `json:"frame"`
	Error         string `json:"error"`
	RefusedByShim bool   `json:"refused_by_shim"`
}

func read[T any](t *testing.T, name string) []T {
	t.Helper()
	text, err := os.ReadFile("../../protocol/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []T
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func tree(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

func TestFramesToTheWorkerDecode(t *testing.T) {
	for _, vector := range read[golden](t, "to_worker.json") {
		data := unhex(t, vector.Frame)
		// One byte a time: frames are the same however the bytes arrive.
		frame, err := readFrame(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(data)), 16))
		if err != nil {
			t.Fatalf("%s: %v", vector.Name, err)
		}
		message, err := decodeFrame(frame)
		if err != nil {
			t.Fatalf("%s: %v", vector.Name, err)
		}
		check(t, vector, message)
	}
}

// check compares what the shim reads from a message with the vector's JSON.
func check(t *testing.T, vector golden, message any) {
	t.Helper()
	expected := tree(t, vector.Message).(map[string]any)
	switch message := message.(type) {
	case *initMessage:
		if *message.Function != expected["function"] || float64(message.Concurrency) != expected["concurrency"] {
			t.Errorf("%s: %+v", vector.Name, message)
		}
	case *invokeMessage:
		same := reflect.DeepEqual(tree(t, message.Input), expected["input"])
		if !same || float64(message.Invocation) != expected["invocation"] || *message.TraceID != expected["trace_id"] {
			t.Errorf("%s: %+v", vector.Name, message)
		}
	case *replyMessage:
		if float64(message.Call) != expected["call"] || (message.Error != nil) != (expected["error"] != nil) {
			t.Errorf("%s: %+v", vector.Name, message)
		}
	case *cancelMessage:
		if message.Reason != expected["reason"] {
			t.Errorf("%s: %+v", vector.Name, message)
		}
	}
}

func TestFramesFromTheWorkerEncode(t *testing.T) {
	messages := map[string]func() any{
		"hello":  func() any { return new(struct{ Protocol, Runtime, Version any }) },
		"ready":  func() any { return new(struct{}) },
		"call":   func() any { return new(callMessage) },
		"log":    func() any { return new(logMessage) },
		"done":   func() any { return new(doneMessage) },
		"failed": func() any { return new(failedMessage) },
	}
	for _, vector := range read[golden](t, "from_worker.json") {
		message := messages[vector.Type]()
		if err := json.Unmarshal(vector.Message, message); err != nil {
			t.Fatalf("%s: %v", vector.Name, err)
		}
		data := unhex(t, vector.Frame)
		frame, err := encodeFrame(data[4], message)
		if err != nil {
			t.Fatalf("%s: %v", vector.Name, err)
		}
		got := tree(t, bytes.ToLower(frame[5:]))
		if want := tree(t, bytes.ToLower(vector.Message)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", vector.Name, got, want)
		}
	}
}

func TestInvalidFramesAreRefused(t *testing.T) {
	kinds := map[string]error{"length": errLength, "type": errType, "body": errBody}
	for _, vector := range read[refused](t, "invalid.json") {
		if !vector.RefusedByShim {
			continue
		}
		frame, err := readFrame(bufio.NewReader(bytes.NewReader(unhex(t, vector.Frame))))
		if err == nil {
			_, err = decodeFrame(frame)
		}
		if !errors.Is(err, kinds[vector.Error]) {
			t.Errorf("%s: %v, want %s", vector.Name, err, vector.Error)
		}
	}
}

func TestAFrameOverTheBoundIsNotMade(t *testing.T) {
	// Quotes and the line break of the encoder count as well.
	largest := strings.Repeat("x", frameMaxBytes-4)
	if frame, err := encodeFrame(typeDone, largest); err != nil || len(frame) != frameMaxBytes+prefixBytes {
		t.Errorf("the largest frame: %d bytes, %v", len(frame), err)
	}
	if _, err := encodeFrame(typeDone, largest+"x"); !errors.Is(err, errTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
}
