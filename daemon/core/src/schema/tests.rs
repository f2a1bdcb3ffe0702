//! What a schema file may say, and what is reported about one that may not.

use super::{
    DefaultValue, Diagnostic, FieldKind, OnDelete, PrimaryKind, Runtime, Schema, SortOrder, parse,
    parse_function,
};

fn good(text: &str) -> Schema {
    let show = |diagnostics: Vec<Diagnostic>| {
        diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    parse("schema.yaml", text).map_err(show).unwrap_or_else(|problems| panic!("{problems}\nin\n{text}"))
}

/// Every expected piece is in one diagnostic of its own, in order, and there is no other.
fn bad(text: &str, expected: &[&str]) {
    let found = match parse("s.yaml", text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(diagnostics) => diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    let fits = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.contains(expected));
    assert!(fits, "found:\n{}\nexpected:\n{}\nin\n{text}", found.join("\n"), expected.join("\n"));
}

/// One field `f` of a collection that is otherwise fine.
fn field(options: &str) -> String {
    format!(
        "version: 1\ncollections:\n  c:\n    fields:\n      id: {{ type: id, primary: true, default: auto }}\n      f: {{ {options} }}\n"
    )
}

const POSTS: &str = r#"
version: 1
collections:
  posts:
    fields:
      id:         { type: id, primary: true, default: auto }
      title:      { type: string, minLength: 1, maxLength: 200 }
      slug:       { type: string, unique: true, validate: { pattern: "^[a-z0-9-]+$" } }
      author:     { type: relation, relation: { collection: users, onDelete: cascade } }
      editor:     { type: id, references: users.id, onDelete: set_null, nullable: true }
      status:     { type: select, select: { values: [draft, published], maxSelect: 1 }, default: draft }
      views:      { type: int, default: 0, validate: { min: 0 } }
      secret:     { type: string, nullable: true, internal: true }
      created_at: { type: timestamp, default: now }
      updated_at: { type: timestamp, default: now, onUpdate: now }
    indexes:
      - { name: idx_posts_author_date, fields: [author, created_at], order: desc }
    rules:
      create: "auth.id != null && doc.author == auth.id"
      read:   "doc.status == 'published'"
      list:   "doc.status == 'published' && auth.id != null"
  users:
    fields:
      nick: { type: string, nullable: true }
    rules:
      read: "auth.id == doc.id"
functions:
  hello: { runtime: node, timeout: 5s, memory: 64mb, env: { API_URL: "https://x" }, rules: { invoke: "true" } }
  add:
    runtime: go
    limits: { cpu: 0.5, cpu_time: 500ms }
    instances: { min: 1, max: 2, idle: 1m, recycle_after: 5 }
"#;

#[test]
fn a_schema_is_read_as_written() {
    let schema = good(POSTS);
    let posts = &schema.collections["posts"];
    let names: Vec<&str> = posts.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names[..4], ["id", "title", "slug", "author"]);
    assert_eq!(posts.primary().1.default, Some(DefaultValue::Auto));
    let relation =
        |on_delete| FieldKind::Relation { collection: "users".into(), on_delete, target: PrimaryKind::Id };
    assert_eq!(posts.fields[3].kind, relation(OnDelete::Cascade));
    assert_eq!(posts.fields[4].kind, relation(OnDelete::SetNull));
    assert_eq!(posts.fields[6].default, Some(DefaultValue::Literal(0.into())));
    assert!(posts.fields[9].on_update_now && posts.fields[9].is_server_set());
    assert_eq!(posts.indexes[0].order, SortOrder::Descending);
    let rules = &posts.rules;
    assert!(rules.update.is_none() && rules.delete.is_none());
    assert_eq!(rules.get.as_ref().expect("read").path, "collections.posts.rules.read");
    assert_eq!(rules.list.as_ref().expect("list").path, "collections.posts.rules.list");
    let create = rules.create.as_ref().expect("create").position;
    assert_eq!((create.line, create.column), (19, 16));
    let indexes: Vec<String> = posts.all_indexes().into_iter().map(|index| index.name).collect();
    let implied = ["_alyx_unique.posts.slug", "_alyx_index.posts.author", "_alyx_index.posts.editor"];
    assert_eq!(indexes[..3], implied);
    assert_eq!(indexes[3..], ["idx_posts_author_date"]);
}

#[test]
fn users_are_always_there() {
    let base = ["id", "email", "role", "verified", "disabled", "created_at", "updated_at"];
    let names = |schema: &Schema| {
        schema.collections["users"].fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&good("version: 1")), base);
    let extended = good(POSTS);
    assert_eq!(names(&extended)[..7], base);
    assert_eq!(names(&extended)[7..], ["nick"]);
    assert!(extended.collections["users"].fields[..7].iter().all(|field| field.system));
    assert!(!extended.collections["users"].fields[7].system);
    let users = |fields: &str| format!("version: 1\ncollections:\n  users:\n    fields:\n      {fields}\n");
    bad(
        &users("email: { type: email }"),
        &["5:7: collections.users.fields.email: \"email\" is a built-in field"],
    );
    bad(&users("nick: { type: string }"), &["must be nullable or have a default"]);
    for name in ["current_password", "code", "recovery_code", "passkey", "password", "password_hash", "token"]
    {
        let reserved =
            format!("5:7: collections.users.fields.{name}: the name \"{name}\" is reserved in users");
        bad(&users(&format!("{name}: {{ type: string, nullable: true }}")), &[&reserved]);
    }
    good(&users("codes: { type: string, nullable: true }"));
    // Elsewhere they are names as any other.
    good(
        "version: 1\ncollections:\n  coupons:\n    fields:\n      id: { type: id, primary: true, default: auto }\n      code: { type: string }\n",
    );
    bad(&users("key: { type: id, primary: true, default: auto }"), &["users has a primary field already"]);
    good("version: 1\ncollections:\n  users:\n    rules:\n      read: \"true\"\n");
}

#[test]
fn functions_have_defaults() {
    let schema = good(POSTS);
    let hello = &schema.functions["hello"];
    assert_eq!((hello.runtime, hello.entrypoint.as_str()), (Runtime::Node, "index.js"));
    assert_eq!((hello.timeout.as_secs(), hello.limits.cpu_time.as_secs()), (5, 5));
    assert_eq!((hello.limits.memory_bytes, hello.limits.cpu_percent), (64 << 20, 100));
    assert_eq!((hello.limits.processes, hello.limits.files, hello.concurrency.0), (64, 128, 1));
    assert_eq!(
        (hello.limits.tmp_bytes, hello.limits.output_bytes, hello.limits.logs_bytes),
        (32 << 20, 6 << 20, 1 << 20)
    );
    assert_eq!((hello.instances.min, hello.instances.max, hello.instances.recycle_after), (0, 8, 10_000));
    assert_eq!(hello.env["API_URL"], "https://x");
    let add = &schema.functions["add"];
    assert_eq!((add.entrypoint.as_str(), add.limits.cpu_percent), ("", 50));
    assert_eq!((add.timeout.as_secs(), add.limits.cpu_time.as_millis()), (10, 500));
    let beside = parse_function("function.yaml", "py", "runtime: python\n").expect("valid");
    assert_eq!(beside.entrypoint, "main.py");
    let merged = schema.with_function(beside);
    assert_eq!(merged.functions.keys().collect::<Vec<_>>(), ["hello", "add", "py"]);
}

#[test]
fn everything_is_reported_at_once() {
    bad(
        concat!(
            "version: 2\n",
            "collection: {}\n",
            "collections:\n",
            "  Posts: { fields: {} }\n",
            "  a:\n",
            "    fields:\n",
            "      id: { type: id, primary: true, default: auto }\n",
            "      x: { type: strng }\n",
            "      y: { type: int, nulable: true, nullable: no }\n",
            "      y: { type: int }\n",
            "    index: []\n",
        ),
        &[
            "s.yaml:1:10: version: unknown version",
            "s.yaml:2:1: collection: unknown key \"collection\"\n  hint: did you mean \"collections\"?",
            "s.yaml:4:3: collections.Posts: the name \"Posts\" is not valid",
            "s.yaml:8:18: collections.a.fields.x.type: unknown type \"strng\"\n  hint: did you mean \"string\"?",
            "s.yaml:9:23: collections.a.fields.y.nulable: unknown key \"nulable\"\n  hint: did you mean \"nullable\"?",
            "s.yaml:9:48: collections.a.fields.y.nullable: must be true or false, not text",
            "s.yaml:10:7: the key \"y\" stands here twice",
            "s.yaml:11:5: collections.a.index: unknown key \"index\"\n  hint: did you mean \"indexes\"?",
        ],
    );
    bad("a: [", &["s.yaml:1:4: unclosed"]);
    bad("", &["version is missing"]);
    bad("[]", &["must be a mapping of keys, not a list"]);
    bad("version: \"1\"", &["1:10: version: unknown version"]);
}

#[test]
fn names_are_checked() {
    let collection = |name: &str| {
        format!(
            "version: 1\ncollections:\n  {name}: {{ fields: {{ id: {{ type: id, primary: true, default: auto }} }} }}\n"
        )
    };
    good(&collection("order"));
    good(&collection("select"));
    good(&collection("a-b_c9"));
    good(&collection(&"a".repeat(63)));
    for name in ["A", "_a", "9a", "-a", "a.b", "a b", "ä", "\"\"", "'a\"b'"] {
        bad(&collection(name), &["is not valid"]);
    }
    bad(&collection(&"a".repeat(64)), &["is too long"]);
    bad(&collection("_alyx_changes"), &["is reserved, as all that start with _alyx"]);
    bad(&collection("sqlite_master"), &["is reserved, as all that start with sqlite_"]);
}

#[test]
fn fields_are_checked() {
    for options in [
        "type: id",
        "type: uuid, default: auto, client: true",
        "type: text, default: \"\"",
        "type: float, default: 1",
        "type: bool, default: true",
        "type: timestamp, default: \"2026-01-02T03:04:05+01:00\"",
        "type: date, default: now",
        "type: json, default: { a: [1, null] }",
        "type: blob, nullable: true",
        "type: email",
        "type: url, maxLength: 10",
        "type: select, select: { values: [no, \"1\"], maxSelect: 2 }, default: [no]",
        "type: string, hidden: true",
        "type: string, rules: { read: \"true\", write: \"auth.id != null\" }",
        "type: int, validate: { enum: [1, 2], min: 0, max: 2 }, default: 2",
        "type: int, nullable: true, default: null",
        "type: relation, relation: { collection: c }",
        "type: string, validate: { format: email, pattern: '@x$' }",
        "type: timestamp, onUpdate: now, client: true",
        "type: id, references: c.id, index: true",
        "type: richtext",
        "type: richtext, richtext: { preset: basic }, search: true, maxLength: 100, default: \"<p>x</p>\"",
        "type: email, search: true, unique: true",
    ] {
        good(&field(options));
    }
    for name in ["rank", "rowid"] {
        let named = |options: &str| field(options).replacen("f: {", &format!("{name}: {{"), 1);
        good(&named("type: string"));
        bad(&named("type: string, search: true"), &["a field named rank or rowid cannot be searched"]);
    }
    for (options, expected) in [
        ("nullable: true", "the field has no type"),
        ("type: vector", "unknown type \"vector\""),
        ("type: file", "f.type: this version does not store files yet\n  hint: use a field of type blob"),
        ("type: string, serch: true", "unknown key \"serch\"\n  hint: did you mean \"search\"?"),
        ("type: int, search: true", "a field of this type cannot be searched"),
        ("type: string, search: true, hidden: true", "an internal or hidden field cannot be searched"),
        ("type: richtext, richtext: { preset: wild }", "unknown preset \"wild\"\n  hint: accepted: basic"),
        ("type: string, richtext: { preset: full }", "only a field of type richtext has this option"),
        ("type: richtext, validate: { pattern: x }", "a field of type richtext does not have this option"),
        ("type: richtext, default: \"<p>long</p>\", maxLength: 5", "it must have at most 5 characters"),
        ("type: string, default: 1", "the default is not valid for the field: it must be text"),
        ("type: int, default: 1.5", "it must be a whole number"),
        ("type: int, default: 99999999999999999999", "it must fit into 64 bits"),
        ("type: string, default: abc, maxLength: 2", "it must have at most 2 characters"),
        ("type: string, default: null", "the field is not nullable"),
        ("type: timestamp, default: yesterday", "it must be an RFC 3339 time"),
        ("type: blob, default: aGk=", "a blob cannot have a default"),
        ("type: string, primary: true", "both primary"),
        ("type: string, client: true", "client: true has no effect"),
        ("type: string, internal: true", "an internal field needs a default"),
        ("type: string, internal: true, hidden: true, nullable: true", "either internal or hidden"),
        ("type: string, hidden: true, rules: { read: \"true\" }", "a read rule has no effect here"),
        ("type: timestamp, default: now, rules: { write: \"true\" }", "a write rule has no effect here"),
        ("type: string, rules: { reed: \"true\" }", "c.fields.f.rules.reed"),
        ("type: string, rules: { read: true }", "a rule must be text"),
        ("type: string, onUpdate: now", "onUpdate: now needs a field of type timestamp"),
        ("type: timestamp, onUpdate: never", "unknown action \"never\""),
        ("type: json, unique: true", "cannot be unique or indexed"),
        ("type: int, minLength: 1", "a field of type int does not have this option"),
        ("type: string, validate: { min: 1 }", "a field of type string does not have this option"),
        ("type: string, minLength: 2, validate: { minLength: 1 }", "already given by the field itself"),
        ("type: string, minLength: 2, maxLength: 1", "minLength is larger than maxLength"),
        ("type: string, minLength: -1", "must be a whole number from 0"),
        ("type: int, validate: { min: 2, max: 1 }", "min is larger than max"),
        ("type: int, validate: { min: 9007199254740993 }", "must be a number"),
        ("type: string, validate: { pattern: '(' }", "the pattern is not valid: unclosed group"),
        ("type: string, validate: { pattern: '(?=a)' }", "the pattern is not valid: look-around"),
        ("type: string, validate: { pattern: '(?:\\w{100}){100}' }", "the pattern is not valid"),
        ("type: int, validate: { enum: [1, a] }", "f.validate.enum[1]: is not valid for the field"),
        ("type: int, validate: { enum: [] }", "at least one value"),
        ("type: int, validate: { formt: email }", "did you mean \"format\"?"),
        ("type: select", "the select has no values"),
        ("type: select, select: { values: [] }", "at least one value"),
        ("type: select, select: { values: [a, a] }", "twice"),
        (
            "type: select, select: { values: [true] }",
            "must be text, not true or false\n  hint: put it in quotes",
        ),
        ("type: select, select: { values: [a], maxSelect: 0 }", "from 1 to 200"),
        ("type: select, select: { values: [a] }, default: b", "it must be one of: a"),
        ("type: string, select: { values: [a] }", "only a field of type select"),
        ("type: relation", "the relation has no target"),
        (
            "type: relation, relation: { collection: usrs }",
            "there is no collection \"usrs\"\n  hint: did you mean \"users\"?",
        ),
        (
            "type: relation, relation: { collection: c, onDelete: set_null }",
            "set_null needs a nullable field",
        ),
        ("type: relation, relation: { collection: c, onDelete: explode }", "unknown action"),
        ("type: string, onDelete: cascade", "only a relation has this option"),
        ("type: string, references: c.id", "the type differs from that of c.id"),
        ("type: id, references: c.name", "must name the primary field\n  hint: write c.id"),
        ("type: id, references: c", "must name a collection and its primary field"),
        ("type: int, references: c.id", "cannot refer to another document"),
    ] {
        bad(&field(options), &[expected]);
    }
    bad(&field("type: string").replace("f: ", "_alyx_rev: "), &["is reserved"]);
}

#[test]
fn collections_are_checked() {
    let collection = |rest: &str| format!("version: 1\ncollections:\n  c:\n{rest}");
    let id = "    fields: { id: { type: id, primary: true, default: auto }, a: { type: int }, j: { type: json } }\n";
    bad(&collection("    fields: {}\n"), &["the collection has no primary field"]);
    bad(&collection("    fields: { id: { type: id } }\n"), &["a field named id must be the primary one"]);
    bad(
        &collection("    fields: { k: { type: int, primary: true } }\n"),
        &["a primary field must be of type"],
    );
    bad(
        &collection("    fields: { id: { type: id, primary: true, nullable: true } }\n"),
        &["cannot be nullable"],
    );
    good(&collection("    fields: { key: { type: string, primary: true } }\n"));
    let with = |rest: &str| collection(&format!("{id}    {rest}\n"));
    good(&with("indexes: [{ name: i, fields: [a, id] }]"));
    bad(&with("indexes: [{ fields: [a] }]"), &["the index has no name"]);
    bad(&with("indexes: [{ name: i }]"), &["the index has no fields"]);
    bad(&with("indexes: [{ name: i, fields: [b] }]"), &["there is no field \"b\""]);
    bad(&with("indexes: [{ name: i, fields: [a, a] }]"), &["twice"]);
    bad(&with("indexes: [{ name: i, fields: [j] }]"), &["cannot be indexed"]);
    bad(&with("indexes: [{ name: i, fields: [] }]"), &["at least one field"]);
    bad(&with("indexes: [{ name: c, fields: [a] }]"), &["has the name of a collection"]);
    bad(&with("indexes: [{ name: i, fields: [a] }, { name: i, fields: [a] }]"), &["is used twice"]);
    bad(&with("indexes: [{ name: i, fields: [a], order: down }]"), &["unknown order"]);
    bad(&with("rules: { create: true }"), &["a rule must be text\n  hint: write \"true\" with quotes"]);
    bad(&with("rules: { create: \"\" }"), &["the rule is empty"]);
    bad(&with("rules: { craete: \"true\" }"), &["did you mean \"create\"?"]);
    let many: String =
        (0..crate::limits::FIELDS_MAX).map(|n| format!("      f{n}: {{ type: int }}\n")).collect();
    let fields = format!("    fields:\n      id: {{ type: id, primary: true, default: auto }}\n{many}");
    bad(&collection(&fields), &["has 501 fields, more than 500"]);
    good(&collection(&fields.replace("      f0: { type: int }\n", "")));
}

#[test]
fn functions_are_checked() {
    for (options, expected) in [
        ("entrypoint: a.js", "the function has no runtime"),
        ("runtime: ruby", "unknown runtime \"ruby\"\n  hint: accepted: node, python, go"),
        ("runtime: node, entrypoint: ../a.js", "must lie inside"),
        ("runtime: node, entrypoint: /a.js", "must lie inside"),
        ("runtime: node, entrypoint: a/../b.js", "must lie inside"),
        ("runtime: node, entrypoint: \"\"", "must lie inside"),
        ("runtime: go, entrypoint: main.go", "a Go function has no entrypoint"),
        ("runtime: node, timeout: 901s", "must be a duration from 1ms to 15m"),
        ("runtime: node, timeout: 0s", "must be a duration"),
        ("runtime: node, timeout: 10", "10 has no unit\n  hint: write it like 10s"),
        ("runtime: node, timeout: 10 s", "must be a duration"),
        ("runtime: node, memory: 128", "128 has no unit"),
        ("runtime: node, memory: 1mb", "must be a size from 16mb to 64gb"),
        ("runtime: node, memory: 64mb, limits: { memory: 64mb }", "memory is already given in limits"),
        ("runtime: node, limits: { processes: 15 }", "from 16 to 4096"),
        ("runtime: node, limits: { cpu: 0 }", "from 0.01 to 64"),
        ("runtime: node, limits: { output: 16mb }", "from 1kb to 15mb"),
        ("runtime: node, limits: { disk: 1mb }", "unknown key \"disk\""),
        ("runtime: node, concurrency: 0", "from 1 to 64"),
        ("runtime: node, concurrency: 65", "from 1 to 64"),
        ("runtime: node, instances: { min: 3, max: 2 }", "min is larger than max"),
        ("runtime: node, instances: { max: 0 }", "from 1 to 64"),
        ("runtime: node, env: { LD_PRELOAD: x }", "\"LD_PRELOAD\" is refused: it steers the dynamic linker"),
        ("runtime: node, env: { PORT: 80 }", "must be text, not a whole number\n  hint: put it in quotes"),
        ("runtime: node, network: none", "unknown key \"network\""),
        ("runtime: node, rules: { run: \"true\" }", "unknown key \"run\""),
    ] {
        bad(&format!("version: 1\nfunctions:\n  f: {{ {options} }}\n"), &[expected]);
    }
    good(
        "version: 1\nfunctions:\n  f: { runtime: python, entrypoint: src/app.py, limits: { processes: 1, tmp: 0b }, timeout: 15m }\n",
    );
    assert!(parse_function("f.yaml", "Bad", "runtime: go").is_err());
    let problems = parse_function("f.yaml", "f", "runtime: go\nruntme: go\n").expect_err("unknown key");
    assert_eq!(
        problems[0].to_string(),
        "f.yaml:2:1: runtme: unknown key \"runtme\"\n  hint: did you mean \"runtime\"? Accepted: runtime, entrypoint, timeout, memory, limits, concurrency, instances, env, secrets, rules, record"
    );
}

#[test]
fn rules_know_where_their_text_starts() {
    let check = |rule: &str, line: u32, column: u32| {
        let text = format!("version: 1\ncollections:\n  users:\n    rules:\n      read: {rule}");
        let position = good(&text).collections["users"].rules.get.as_ref().expect("read").position;
        assert_eq!((position.line, position.column), (line, column), "{rule}");
    };
    check("auth.id != null", 5, 13);
    check("'auth.id != null'", 5, 14);
    check("\"auth.id != null\"", 5, 14);
    check("|\n        auth.id\n        != null\n", 6, 9);
    check(">-\n\n          auth.id != null\n", 6, 11);
}

#[test]
fn relations_know_the_type_of_their_target() {
    let schema = good(concat!(
        "version: 1\ncollections:\n",
        "  a: { fields: { id: { type: uuid, primary: true, default: auto }, b: { type: relation, relation: { collection: b } } } }\n",
        "  b: { fields: { key: { type: string, primary: true }, a: { type: uuid, references: a.id } } }\n",
    ));
    let target = |collection: &str, field: &str| match schema.collections[collection]
        .field(field)
        .expect("field")
        .1
        .kind
    {
        FieldKind::Relation { target, .. } => target,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(target("a", "b"), PrimaryKind::String);
    assert_eq!(target("b", "a"), PrimaryKind::Uuid);
}

#[test]
fn wrong_hooks_are_named_with_their_place() {
    let check = |hooks: &str, expected: &str| {
        let text = format!(
            "version: 1\ncollections: {{ posts: {{ fields: {{ id: {{ type: id, primary: true }} }} }} }}\n\
             functions: {{ f: {{ runtime: node }} }}\nevents: {{ order.paid: }}\nhooks: [{hooks}]\n"
        );
        let problems = parse("s.yaml", &text).expect_err(hooks);
        assert!(problems.iter().any(|problem| problem.message.contains(expected)), "{hooks}: {problems:#?}");
    };
    check("{ on: nothing, function: f }", "there is no collection \"nothing\"");
    check("{ on: posts }", "the hook has no function");
    check("{ function: f }", "the hook has no on");
    check("{ on: posts, function: f, actions: [] }", "must name at least one action");
    check("{ on: posts, function: f, actions: [create, create] }", "stands here twice");
    check("{ on: posts, function: f }, { on: posts, function: f }", "two hooks with the id \"f\"");
    check("{ on: posts, function: f, retry: { attempts: 0 } }", "from 1 to 100");
    check("{ on: posts, function: f, when: before, retry: { attempts: 2 } }", "only a job is tried again");
    check("{ on: posts, function: f, when: before, mode: async }", "waits for a hook before it");
    check("{ on: posts, function: f, name: x }", "the name of the hook itself is its id");
    check("{ on: posts, function: f, actions: [login] }", "unknown action \"login\"");
    check("{ on: auth, function: f, actions: [create] }", "unknown action \"create\"");
    check("{ on: auth, function: f, when: before }", "are for register and login");
    check("{ on: auth, function: f, mode: sync }", "told of before it, or by jobs");
    check("{ on: users, function: f, mode: sync }", "say on: auth");
    check("{ on: event, function: f }", "the hook has no name");
    check("{ on: event, name: order.sent, function: f }", "there is no event \"order.sent\"");
    check("{ on: event, name: order.paid, function: f, actions: [create] }", "an event has no actions");
    check("{ on: event, name: order.paid, function: f, when: before }", "told of by jobs only");
}

#[test]
fn names_of_events() {
    let check = |name: &str, good: bool| {
        assert_eq!(parse("s.yaml", &format!("version: 1\nevents: {{ {name}: }}\n")).is_ok(), good, "{name}");
    };
    check("paid", true);
    check("order.paid_2", true);
    check("Order", false);
    check("order..paid", false);
    check("order.", false);
    check("2fast", false);
    check("a-b", false);
    check(&"a".repeat(63), true);
    check(&"a".repeat(64), false);
}
