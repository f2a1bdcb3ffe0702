package alyx

// Context.DB: the documents API of the caller, asked over the link. The daemon checks the rules;
// here arguments only take the shape that runtimes/README.md lists.

import "encoding/json"

// DB is the documents API under the identity of the caller.
type DB struct {
	invocation *invocation
	// 0 outside of a transaction.
	transaction uint64
}

// Document is a document as JSON.
type Document = map[string]any

// Page is one page of a list.
type Page struct {
	Docs []Document `json:"docs"`
	// NextCursor is empty on the last page.
	NextCursor string `json:"next_cursor"`
	Limit      int    `json:"limit"`
	// Total is nil unless it was asked for.
	Total *int64 `json:"total"`
	// Snippets says of a search where the words stand, one for each document.
	Snippets []any `json:"snippets"`
}

// Groups is the answer of Aggregate.
type Groups struct {
	Groups []Document `json:"groups"`
	Limit  int        `json:"limit"`
	// More tells whether there are more groups than the limit.
	More bool `json:"more"`
}

// BulkResult is what UpdateMany and DeleteMany did, or would have done.
type BulkResult struct {
	Count int `json:"count"`
	// More tells whether the query selects more than its limit.
	More   bool `json:"more"`
	DryRun bool `json:"dry_run"`
}

// Operation is one write of a batch.
type Operation struct {
	// Name is by what later operations refer to its document: Ref("name.field").
	Name string `json:"name,omitempty"`
	// Op is create, update, replace, upsert or delete.
	Op         string `json:"op"`
	Collection string `json:"collection"`
	// ID is text or a Ref.
	ID any `json:"id,omitempty"`
	// Field is the unique field of an upsert.
	Field   string `json:"field,omitempty"`
	Data    any    `json:"data,omitempty"`
	IfMatch string `json:"if_match,omitempty"`
}

// Result is what became of one operation of a batch. That of a deletion has a status only.
type Result struct {
	Status int      `json:"status"`
	ID     string   `json:"id"`
	ETag   string   `json:"etag"`
	Doc    Document `json:"doc"`
}

// Ref stands in a batch for a value of a document that an earlier operation wrote: "name.field".
func Ref(reference string) any { return map[string]string{"$ref": reference} }

// List returns one page of documents.
func (db *DB) List(collection string, query Query) (*Page, error) {
	page := new(Page)
	err := db.call("db.list", map[string]any{"collection": collection, "query": query.wire()}, page)
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Get returns the document, or nil where there is none or the caller may not see it. It takes
// Fields, Expand and ETag.
func (db *DB) Get(collection, id string, options ...Option) (Document, error) {
	document, err := db.one("db.get", map[string]any{"collection": collection, "id": id}, options)
	if HasCode(err, "document_not_found") {
		return nil, nil
	}
	return document, err
}

// Events of a transaction: what is published through it goes out with the commit, or not at all.
func (db *DB) Events() Events { return Events{db: db} }

// Events publishes what the schema names under events.
type Events struct{ db *DB }

// Published is an event that was published.
type Published struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	At   string `json:"at"`
}

// Publish tells payload, anything that encodes as JSON, to whoever listens to the event.
func (e Events) Publish(name string, payload any) (*Published, error) {
	published := new(Published)
	if err := e.db.call("events.publish", map[string]any{"name": name, "payload": payload}, published); err != nil {
		return nil, err
	}
	return published, nil
}

// Aggregate returns counts, sums and the like.
func (db *DB) Aggregate(collection string, query Aggregate) (*Groups, error) {
	groups := new(Groups)
	err := db.call("db.aggregate", map[string]any{"collection": collection, "query": query.wire()}, groups)
	if err != nil {
		return nil, err
	}
	return groups, nil
}

// Create returns the new document as it is stored. It takes IdempotencyKey and ETag.
func (db *DB) Create(collection string, data any, options ...Option) (Document, error) {
	return db.one("db.create", map[string]any{"collection": collection, "data": data}, options)
}

// Upsert creates a document, or changes the one that has the same value in a unique field. It takes
// IdempotencyKey and ETag.
func (db *DB) Upsert(collection, field string, data any, options ...Option) (Document, error) {
	return db.one("db.upsert", map[string]any{"collection": collection, "field": field, "data": data}, options)
}

// Update returns the changed document as it is stored. It takes IfMatch and ETag.
func (db *DB) Update(collection, id string, data any, options ...Option) (Document, error) {
	return db.one("db.update", map[string]any{"collection": collection, "id": id, "data": data}, options)
}

// Replace returns the document that took the place of the old one. It takes IfMatch, IfNoneMatch and
// ETag.
func (db *DB) Replace(collection, id string, data any, options ...Option) (Document, error) {
	return db.one("db.replace", map[string]any{"collection": collection, "id": id, "data": data}, options)
}

// Delete removes a document. It takes IfMatch.
func (db *DB) Delete(collection, id string, options ...Option) error {
	_, err := db.one("db.delete", map[string]any{"collection": collection, "id": id}, options)
	return err
}

// UpdateMany changes what the query selects, all or none.
func (db *DB) UpdateMany(collection string, query Bulk, data any) (*BulkResult, error) {
	return db.many("db.update_many", map[string]any{"collection": collection, "query": query.wire(), "data": data})
}

// DeleteMany deletes what the query selects, all or none.
func (db *DB) DeleteMany(collection string, query Bulk) (*BulkResult, error) {
	return db.many("db.delete_many", map[string]any{"collection": collection, "query": query.wire()})
}

// Batch carries out several writes, all or none. It takes IdempotencyKey.
func (db *DB) Batch(operations []Operation, options ...Option) ([]Result, error) {
	args := map[string]any{"operations": operations}
	for _, option := range options {
		option(args, nil)
	}
	var answer struct {
		Results []Result `json:"results"`
	}
	err := db.call("db.batch", args, &answer)
	return answer.Results, err
}

// Transaction runs work in one transaction: committed when it returns nil, undone when it returns an
// error or panics. Meanwhile only tx writes; it is of no use afterwards.
func (db *DB) Transaction(work func(tx *DB) error) error {
	var begun struct {
		Transaction uint64 `json:"transaction"`
	}
	if err := db.call("db.begin", map[string]any{}, &begun); err != nil {
		return err
	}
	tx := &DB{invocation: db.invocation, transaction: begun.Transaction}
	returned := false
	defer func() {
		if !returned {
			// A panic goes on from here.
			_ = tx.call("db.rollback", map[string]any{}, nil)
		}
	}()
	err := work(tx)
	returned = true
	if err != nil {
		// Where it is over already there is nothing left to undo.
		_ = tx.call("db.rollback", map[string]any{}, nil)
		return err
	}
	return tx.call("db.commit", map[string]any{}, nil)
}

func (db *DB) many(op string, args map[string]any) (*BulkResult, error) {
	result := new(BulkResult)
	if err := db.call(op, args, result); err != nil {
		return nil, err
	}
	return result, nil
}

// one asks for something about one document.
func (db *DB) one(op string, args map[string]any, options []Option) (Document, error) {
	var etag *string
	for _, option := range options {
		option(args, &etag)
	}
	if etag == nil {
		var document Document
		err := db.call(op, args, &document)
		return document, err
	}
	args["versioned"] = true
	var answer Result
	err := db.call(op, args, &answer)
	*etag = answer.ETag
	return answer.Doc, err
}

func (db *DB) call(op string, args, target any) error {
	value, err := db.invocation.call(db.transaction, op, args)
	if err != nil || target == nil {
		return err
	}
	return json.Unmarshal(value, target)
}
