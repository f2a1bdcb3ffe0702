package alyx

// What the methods of DB take: queries, and options of single calls.

import "strings"

// Query says which documents a list has, and what of them.
type Query struct {
	// Filter holds conditions `field:op:value`, all of which must hold.
	Filter []string
	// Where holds conditions as anything that encodes as the JSON of `where`.
	Where any
	// Search holds words to look for.
	Search string
	// Sort holds fields, `-` in front for descending order.
	Sort []string
	// Fields holds the fields to return; empty for all.
	Fields []string
	// Expand holds relations whose documents come along.
	Expand []string
	// Limit is 1..=1000; 0 for the default.
	Limit int
	// Offset skips documents. Cursor is the better way to go through many.
	Offset int
	// Page is counted from 1; 0 for none.
	Page int
	// Cursor is the NextCursor of the page before.
	Cursor string
	// Count asks for Total.
	Count bool
}

// Aggregate says what is calculated over which documents.
type Aggregate struct {
	// Filter, Where and Search select, as in Query.
	Filter []string
	Where  any
	Search string
	// Count asks for the number of documents; it is there as well where nothing else is asked for.
	Count bool
	// Sum, Avg, Min and Max hold fields.
	Sum, Avg, Min, Max []string
	// Group holds the fields whose values make the groups.
	Group []string
	// Limit is the most groups; 0 for the default.
	Limit int
	// Offset skips groups.
	Offset int
	// Page is counted from 1; 0 for none.
	Page int
}

// Bulk says which documents are changed or deleted at once.
type Bulk struct {
	// Filter, Where and Search select, as in Query.
	Filter []string
	Where  any
	Search string
	// Sort says which come first, where there are more than Limit.
	Sort []string
	// Limit is the most documents that may be touched. It must be given.
	Limit int
	// DryRun checks and counts, and writes nothing.
	DryRun bool
}

// Option is an option of one call.
type Option func(args map[string]any, etag **string)

// IfMatch has a write done only if the document is at this version; "*": if there is one.
func IfMatch(etag string) Option {
	return func(args map[string]any, _ **string) { args["if_match"] = etag }
}

// IfNoneMatch with "*" has a write done only if there is no such document.
func IfNoneMatch(etag string) Option {
	return func(args map[string]any, _ **string) { args["if_none_match"] = etag }
}

// IdempotencyKey has a write done once, however often it is asked for within a day.
func IdempotencyKey(key string) Option {
	return func(args map[string]any, _ **string) { args["idempotency_key"] = key }
}

// ETag puts the version of the document into a variable.
func ETag(into *string) Option {
	return func(_ map[string]any, etag **string) {
		if etag != nil {
			*etag = into
		}
	}
}

// Fields names the fields to return.
func Fields(names ...string) Option {
	return func(args map[string]any, _ **string) { queryOf(args)["fields"] = strings.Join(names, ",") }
}

// Expand names relations whose documents come along.
func Expand(names ...string) Option {
	return func(args map[string]any, _ **string) { queryOf(args)["expand"] = strings.Join(names, ",") }
}

func queryOf(args map[string]any) map[string]any {
	query, ok := args["query"].(map[string]any)
	if !ok {
		query = map[string]any{}
		args["query"] = query
	}
	return query
}

func (q Query) wire() map[string]any {
	wire := selection(q.Filter, q.Where, q.Search)
	putNames(wire, "sort", q.Sort)
	putNames(wire, "fields", q.Fields)
	putNames(wire, "expand", q.Expand)
	putNumber(wire, "limit", q.Limit)
	putNumber(wire, "offset", q.Offset)
	putNumber(wire, "page", q.Page)
	if q.Cursor != "" {
		wire["cursor"] = q.Cursor
	}
	if q.Count {
		wire["count"] = true
	}
	return wire
}

func (a Aggregate) wire() map[string]any {
	wire := selection(a.Filter, a.Where, a.Search)
	if a.Count {
		wire["count"] = true
	}
	putNames(wire, "sum", a.Sum)
	putNames(wire, "avg", a.Avg)
	putNames(wire, "min", a.Min)
	putNames(wire, "max", a.Max)
	putNames(wire, "group", a.Group)
	putNumber(wire, "limit", a.Limit)
	putNumber(wire, "offset", a.Offset)
	putNumber(wire, "page", a.Page)
	return wire
}

func (b Bulk) wire() map[string]any {
	wire := selection(b.Filter, b.Where, b.Search)
	putNames(wire, "sort", b.Sort)
	putNumber(wire, "limit", b.Limit)
	if b.DryRun {
		wire["dry_run"] = true
	}
	return wire
}

func selection(filter []string, where any, search string) map[string]any {
	wire := map[string]any{}
	if len(filter) > 0 {
		wire["filter"] = filter
	}
	if where != nil {
		wire["where"] = where
	}
	if search != "" {
		wire["search"] = search
	}
	return wire
}

func putNames(wire map[string]any, name string, fields []string) {
	if len(fields) > 0 {
		wire[name] = strings.Join(fields, ",")
	}
}

func putNumber(wire map[string]any, name string, number int) {
	if number != 0 {
		wire[name] = number
	}
}
