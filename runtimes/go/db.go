package alyx

// Context.DB: the documents API of the caller, asked over the link. The daemon checks the rules;
// here arguments only take the shape that runtimes/README.md lists.

import (
	"encoding/json"
	"strings"
)

// DB is the documents API under the identity of the caller.
type DB struct{ invocation *invocation }

// Document is a document as JSON.
type Document = map[string]any

// Query says which documents a list has.
type Query struct {
	// Filter holds conditions `field:op:value`, all of which must hold.
	Filter []string
	// Sort holds fields, `-` in front for descending order.
	Sort []string
	// Fields holds the fields to return; empty for all.
	Fields []string
	// Limit is 1..=1000; 0 for the default.
	Limit int
	// Offset skips documents. Cursor is the better way to go through many.
	Offset int
	// Cursor is the NextCursor of the page before.
	Cursor string
	// Count asks for Total.
	Count bool
}

// Page is one page of a list.
type Page struct {
	Docs []Document `json:"docs"`
	// NextCursor is empty on the last page.
	NextCursor string `json:"next_cursor"`
	Limit      int    `json:"limit"`
	// Total is nil unless it was asked for.
	Total *int64 `json:"total"`
}

// List returns one page of documents.
func (db *DB) List(collection string, query Query) (*Page, error) {
	page := new(Page)
	err := db.call("db.list", map[string]any{"collection": collection, "query": query.wire()}, page)
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Get returns the document, or nil where there is none or the caller may not see it.
func (db *DB) Get(collection, id string) (Document, error) {
	var document Document
	err := db.call("db.get", map[string]any{"collection": collection, "id": id}, &document)
	if HasCode(err, "document_not_found") {
		return nil, nil
	}
	return document, err
}

// Create returns the new document as it is stored.
func (db *DB) Create(collection string, data any) (Document, error) {
	var document Document
	err := db.call("db.create", map[string]any{"collection": collection, "data": data}, &document)
	return document, err
}

// Update returns the changed document as it is stored.
func (db *DB) Update(collection, id string, data any) (Document, error) {
	var document Document
	args := map[string]any{"collection": collection, "id": id, "data": data}
	err := db.call("db.update", args, &document)
	return document, err
}

// Delete removes a document.
func (db *DB) Delete(collection, id string) error {
	return db.call("db.delete", map[string]any{"collection": collection, "id": id}, nil)
}

func (db *DB) call(op string, args, target any) error {
	value, err := db.invocation.call(op, args)
	if err != nil || target == nil {
		return err
	}
	return json.Unmarshal(value, target)
}

func (q Query) wire() map[string]any {
	wire := map[string]any{}
	if len(q.Filter) > 0 {
		wire["filter"] = q.Filter
	}
	if len(q.Sort) > 0 {
		wire["sort"] = strings.Join(q.Sort, ",")
	}
	if len(q.Fields) > 0 {
		wire["fields"] = strings.Join(q.Fields, ",")
	}
	if q.Limit != 0 {
		wire["limit"] = q.Limit
	}
	if q.Offset != 0 {
		wire["offset"] = q.Offset
	}
	if q.Cursor != "" {
		wire["cursor"] = q.Cursor
	}
	if q.Count {
		wire["count"] = true
	}
	return wire
}
