//! What rules mean: null, errors, ownership, and what is refused where. Each case is one line.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

#[path = "rules_semantics/world.rs"]
mod world;

use alyx_core::identity::Identity;
use alyx_core::rules::{Decision, Rule, RuleInput, Scope};
use alyx_core::schema::{self, Position, RuleSource};
use alyx_core::sql::SqlPredicate;

use self::Outcome::{Allow, Deny, Error};
use self::world::{Outcome, World, ada, bob};

#[test]
fn m05_an_anonymous_caller_is_denied_not_an_error() {
    let world = World::new();
    for (rule, expected) in [
        ("auth.id != null", Deny),
        ("auth.id == null", Allow),
        ("auth.id != null && doc.author == auth.id", Deny),
        ("auth.role == 'admin'", Deny),
        ("auth.verified == true", Deny),
        ("has(auth.id)", Deny),
        ("auth.verified", Error),
        ("auth.id.startsWith('a')", Error),
        ("auth.id != null && auth.id.startsWith('a')", Deny),
    ] {
        world.check_get(rule, &Identity::Anonymous, expected);
    }
}

#[test]
fn m04_errors_are_absorbed_in_both_orders_and_deny_otherwise() {
    let world = World::new();
    // `doc.rank` is null, so comparing it fails.
    for (rule, expected) in [
        ("doc.rank > 1", Error),
        ("!(doc.rank > 1)", Error),
        ("doc.rank > 1 || true", Allow),
        ("true || doc.rank > 1", Allow),
        ("doc.rank > 1 && false", Deny),
        ("false && doc.rank > 1", Deny),
        ("doc.rank > 1 || false", Error),
        ("false || doc.rank > 1", Error),
        ("doc.rank > 1 && true", Error),
        ("!(doc.rank > 1 && false)", Allow),
        ("doc.rank > 1 ? true : true", Error),
        ("true ? true : doc.rank > 1", Allow),
        ("doc.rank + 1 == 1", Error),
        ("size(doc.note) == 0", Error),
        ("doc.views / 0 == 1", Error),
        ("doc.views + 9223372036854775807 > 0", Error),
        ("[1, 2].exists(x, doc.rank > x)", Error),
        ("[doc.views, 0].exists(x, 7 / x == 1)", Allow),
        ("[0, doc.views].exists(x, 7 / x == 1)", Allow),
        ("[0, 1].all(x, 7 / x == 1)", Deny),
        ("[0, 7].exists_one(x, 7 / x == 1)", Error),
        ("request.query.absent == 'a'", Error),
        ("has(request.query.absent)", Deny),
        ("has(request.query.page) && request.query.page == '2'", Allow),
        ("int(request.query.page) < 3", Allow),
        ("int('x' + request.query.page) < 3", Error),
    ] {
        world.check_get(rule, &ada(), expected);
    }
}

#[test]
fn values_compare_as_in_cel() {
    let world = World::new();
    for (rule, expected) in [
        ("doc.rank == null", Allow),
        ("doc.rank != null", Deny),
        ("doc.rank == 1", Deny),
        ("doc.rank != 1", Allow),
        ("has(doc.rank)", Deny),
        ("has(doc.views)", Allow),
        ("null == null", Allow),
        ("doc.views == 7", Allow),
        ("doc.views == 7.0", Allow),
        ("doc.views < 7.5", Allow),
        ("doc.views + 1 == 8", Allow),
        ("doc.views % 4 == 3", Allow),
        ("doc.score * 2.0 == 3.0", Allow),
        ("doc.flag", Allow),
        ("doc.flag == true", Allow),
        ("doc.title == 'Größe 😀'", Allow),
        ("size(doc.title) == 7 && doc.title.size() == 7", Allow),
        ("doc.title.startsWith('Grö') && doc.title.endsWith('😀') && doc.title.contains('ß')", Allow),
        ("doc.title.contains('%')", Deny),
        ("doc.title.matches('^Gr.+e')", Allow),
        ("matches(doc.title, '^x')", Deny),
        ("'red' in doc.tags && !('green' in doc.tags)", Allow),
        ("doc.tags == ['red', 'blue'] && size(doc.tags) == 2 && doc.tags[1] == 'blue'", Allow),
        ("doc.tags.exists(tag, tag.startsWith('r'))", Allow),
        ("doc.tags.all(tag, tag in ['red', 'blue', 'x'])", Allow),
        ("doc.tags.exists_one(tag, tag == 'red')", Allow),
        ("doc.tags[2] == 'x'", Error),
        ("doc.tags[-1] == 'x'", Error),
        ("doc['created-at'] < request.time", Allow),
        ("doc.`created-at` + duration('24h') > request.time", Deny),
        ("request.time - doc['created-at'] > duration('30m')", Allow),
        ("doc['created-at'] == timestamp('2026-01-01T01:00:00+01:00')", Allow),
        ("doc.meta.owner == auth.id && doc.meta['owner'] == auth.id", Allow),
        ("doc.meta.level + 1 == 4 && doc.meta.level == 3", Allow),
        ("doc.meta.list.exists(x, x == 2) && doc.meta.list[0] == 1", Allow),
        ("has(doc.meta.owner) && !has(doc.meta.missing)", Allow),
        ("doc.meta.missing == 1", Error),
        ("doc.meta.owner.deep == 1", Error),
        ("doc.meta.owner", Error),
        ("doc.meta.public", Allow),
        ("'owner' in doc.meta && size(doc.meta) == 4", Allow),
        ("doc.meta.exists(key, key == 'owner')", Allow),
        ("doc.data == b'\\x00\\xff' && size(doc.data) == 2", Allow),
        ("string(doc.views) == '7' && int(doc.score) == 1 && double(doc.views) == 7.0", Allow),
        ("request.method == 'GET' && request.path.startsWith('/api') && request.ip == '127.0.0.1'", Allow),
        ("request.headers['x-tenant'] == 'acme'", Allow),
        ("auth.role in ['editor', 'user'] ? doc.flag : false", Allow),
        ("dyn(1) == 1.0 && dyn('1') != 1 && dyn(request.query.page) == '2'", Allow),
        ("bool(request.query.page)", Error),
        ("doc.tags + ['x'] == ['red', 'blue', 'x'] && doc.data + b'x' == b'\\x00\\xffx'", Allow),
        ("string(doc.score) == '1.5' && bytes(doc.author) == b'ada'", Allow),
        ("string(doc['created-at']) == '2026-01-01T00:00:00Z'", Allow),
        ("string(doc['created-at'] + duration('10.25s')) == '2026-01-01T00:00:10.25Z'", Allow),
        ("string(duration('-90.5s')) == '-90.5s' && string(duration('0')) == '0s'", Allow),
        ("string(doc.data) == 'x'", Error),
    ] {
        world.check_get(rule, &ada(), expected);
    }
}

#[test]
fn m06_ownership_rules_of_the_example_hold() {
    let world = World::new();
    let create = "auth.id != null && doc.author == auth.id";
    let update = "old.author == auth.id && doc.author == old.author";
    let delete = "old.author == auth.id || auth.role == 'admin'";
    world.check(create, Scope::Create(&world.collection), &ada(), None, Allow);
    world.check(create, Scope::Create(&world.collection), &bob(), None, Deny);
    world.check(create, Scope::Create(&world.collection), &Identity::Anonymous, None, Deny);
    for (who, old, expected) in
        [(ada(), "ada", Allow), (bob(), "ada", Deny), (ada(), "bob", Deny), (bob(), "bob", Deny)]
    {
        let old = world.document_of(old);
        world.check(update, Scope::Update(&world.collection), &who, Some(&old), expected);
    }
    let old = world.document_of("ada");
    world.check(delete, Scope::Delete(&world.collection), &ada(), Some(&old), Allow);
    world.check(delete, Scope::Delete(&world.collection), &bob(), Some(&old), Deny);
    // A function has exactly the rights of whoever invoked it.
    let function = Identity::Function { name: "f".to_owned(), on_behalf_of: Box::new(ada()) };
    world.check(delete, Scope::Delete(&world.collection), &function, Some(&old), Allow);
}

#[test]
fn a_document_that_is_not_given_denies() {
    let world = World::new();
    let source = world::source("doc.author == auth.id");
    let input = RuleInput { identity: &ada(), request: &world.request, doc: None, old: None };
    for scope in [
        Scope::Get(&world.collection),
        Scope::Update(&world.collection),
        Scope::Delete(&world.collection),
        Scope::List(&world.collection),
    ] {
        let rule = Rule::compile(&source, scope).unwrap();
        assert!(matches!(rule.check(&input), Decision::Error(_)), "{scope:?}");
    }
    // The old document never stands in for the new one, except where it is the same.
    let old = world.document_of("ada");
    let rule = Rule::compile(&source, Scope::Update(&world.collection)).unwrap();
    assert!(matches!(rule.check(&RuleInput { old: Some(world.doc(&old)), ..input }), Decision::Error(_)));
    let rule = Rule::compile(&source, Scope::Delete(&world.collection)).unwrap();
    assert_eq!(rule.check(&RuleInput { old: Some(world.doc(&old)), ..input }), Decision::Allow);
}

#[test]
fn predicates_fold_what_is_known() {
    let world = World::new();
    let sql = |rule: &str, identity: &Identity| {
        let rule = Rule::compile(&world::source(rule), Scope::List(&world.collection)).unwrap();
        match rule.predicate(identity, &world.request) {
            SqlPredicate::Always => "always".to_owned(),
            SqlPredicate::Never => "never".to_owned(),
            SqlPredicate::When(expr) => expr.text,
        }
    };
    let own_or_published = "doc.status == 'published' || doc.author == auth.id";
    for (rule, identity, expected) in [
        ("true", ada(), "always"),
        ("auth.id != null", ada(), "always"),
        ("auth.id != null", Identity::Anonymous, "never"),
        ("auth.verified", Identity::Anonymous, "never"),
        ("auth.id != null && doc.author == auth.id", Identity::Anonymous, "never"),
        ("auth.id != null && doc.author == auth.id", ada(), "d.\"author\" IS ?"),
        (own_or_published, ada(), "(d.\"status\" IS ? OR d.\"author\" IS ?)"),
        (own_or_published, Identity::Anonymous, "(d.\"status\" IS ? OR d.\"author\" IS NULL)"),
        ("doc.views > 3", ada(), "((d.\"views\" > ?) IS TRUE)"),
        ("doc.status in ['a', 'b']", ada(), "(d.\"status\" IS NOT NULL AND d.\"status\" IN (?, ?))"),
    ] {
        assert_eq!(sql(rule, &identity), expected, "{rule}");
    }
    let rule = Rule::compile(&world::source("true"), Scope::Get(&world.collection)).unwrap();
    assert_eq!(rule.predicate(&ada(), &world.request), SqlPredicate::Never);
}

#[test]
fn mistakes_are_refused_with_place_and_hint() {
    let world = World::new();
    let get = Scope::Get(&world.collection);
    let list = Scope::List(&world.collection);
    let create = Scope::Create(&world.collection);
    for (rule, scope, column, message, hint) in [
        ("doc.athor == auth.id", get, 4, "posts has no field \"athor\"", "did you mean \"author\"?"),
        ("auth.name == 'a'", get, 5, "auth has no field \"name\"", "known here: id, email, role, verified"),
        ("docs.title == 'a'", get, 1, "unknown variable \"docs\"", "did you mean \"doc\"?"),
        (
            "old.title == 'a'",
            create,
            1,
            "\"old\" does not exist for this operation",
            "known here: auth, request, doc",
        ),
        (
            "doc.title == 'a'",
            Scope::Invoke,
            1,
            "\"doc\" does not exist for this operation",
            "known here: auth, request",
        ),
        ("doc.title", get, 4, "the rule gives string, not bool", ""),
        ("auth", get, 1, "\"auth\" cannot be used as a value", "auth.id"),
        ("doc.title == 1", get, 11, "== cannot be used between string and int", "never equal"),
        ("'é' == 'é' && doc.title == 1", get, 25, "== cannot be used between string and int", ""),
        ("doc.title > 1", get, 11, "> cannot be used between string and int", ""),
        ("doc.views == null || doc.views < null", get, 32, "< cannot be used between int and null", ""),
        ("!doc.title", get, 5, "! takes bool, not string", ""),
        ("doc.flag && doc.views", get, 16, "&& takes bool, not int", ""),
        ("doc.views + doc.score > 1.0", get, 11, "+ cannot be used between int and double", "double()"),
        ("doc.views == 1u", get, 14, "unsigned integers are not available in rules", "without `u`"),
        ("doc.tags.map(x, x) == []", get, 13, "map() is not available in rules", "exists"),
        ("doc.title.lower() == 'a'", get, 16, "lower() is not available in rules", ""),
        ("now() > doc.views", get, 4, "now() is not available in rules", "request.time"),
        ("doc.title.matches(doc.status)", get, 22, "must be written out", ""),
        ("doc.title.matches('(')", get, 19, "the pattern is not valid", ""),
        ("doc.title.matches('(a{1000}){1000}')", get, 19, "not valid or too large", ""),
        ("timestamp('yesterday') < request.time", get, 10, "is not a valid RFC 3339 timestamp", ""),
        ("doc.flag &&", get, 12, "syntax error", ""),
        ("'éé' == 'é' &&", get, 15, "syntax error", ""),
        ("'éé' == #", get, 9, "syntax error", ""),
        ("", get, 1, "the rule is empty", ""),
        ("doc.title.matches('^a')", list, 18, "has no SQL form", "split `read`"),
        ("doc.meta.owner == auth.id", list, 9, "has no SQL form", ""),
        ("doc.meta == 1", list, 4, "has no SQL form", "json field"),
        ("doc.tags.exists(t, t == 'a')", list, 16, "has no SQL form", ""),
        ("doc.views / 2 == 1", list, 11, "has no SQL form", "+ - *"),
        ("true || doc.title.matches('^a')", list, 26, "has no SQL form", ""),
        ("(doc.flag ? doc.title : doc.status) == 'a'", list, 11, "has no SQL form", "each branch"),
        ("dyn(doc.views) == 1", get, 4, "dyn() does not take what comes from a document", "leave"),
        ("bytes(doc.title) == b'a'", list, 6, "has no SQL form", ""),
        ("doc.tags + ['a'] == ['a']", list, 10, "has no SQL form", "+ - *"),
        ("[1].exists(x, [1].exists(y, [1].exists(z, x == y)))", get, 39, "loops are nested", ""),
        ("[1].exists(doc, true)", get, 12, "has a meaning already", ""),
    ] {
        let source = world::source(rule);
        let Err(diagnostic) = Rule::compile(&source, scope) else { panic!("accepted: {rule}") };
        assert!(diagnostic.message.contains(message), "{rule}: {}", diagnostic.message);
        assert!(diagnostic.hint.clone().unwrap_or_default().contains(hint), "{rule}: {:?}", diagnostic.hint);
        assert_eq!(
            diagnostic.position,
            Position { line: 10, column: 20 + column - 1 },
            "{rule}: {diagnostic}"
        );
        assert_eq!(diagnostic.path, "collections.posts.rules.x");
    }
}

#[test]
fn places_in_texts_of_several_lines_are_exact() {
    let world = World::new();
    let text = "// own ones\nauth.id != null &&\n  doc.athor == auth.id".to_owned();
    let source = RuleSource {
        text,
        position: Position { line: 5, column: 9 },
        path: String::new(),
        post_filter: false,
    };
    let diagnostic = Rule::compile(&source, Scope::Get(&world.collection)).unwrap_err();
    assert_eq!(diagnostic.position, Position { line: 7, column: 9 + 5 });
}

#[test]
fn places_are_those_of_the_schema_file() {
    let text = "\
version: 1
collections:
  posts:
    fields:
      id: { type: id, primary: true, default: auto }
    rules:
      get: \"doc.athor == 1\"
      list: |
        true &&
          doc.athor == 1
      create: doc.athor == 1
      update: 'doc.athor == 1'
      delete: >-
        doc.athor == 1
";
    let schema = schema::parse("schema.yaml", text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let posts = &schema.collections["posts"];
    let rules = &posts.rules;
    for (rule, line, column) in [
        (&rules.get, 7, 16),
        (&rules.list, 10, 14),
        (&rules.create, 11, 18),
        (&rules.update, 12, 19),
        (&rules.delete, 14, 12),
    ] {
        let source = rule.as_ref().unwrap();
        let diagnostic = Rule::compile(source, Scope::Get(posts)).unwrap_err();
        assert_eq!(diagnostic.position, Position { line, column }, "{diagnostic}");
    }
}

/// Runs on the small stack of a test's thread, in a debug build: the worst case.
#[test]
fn no_text_can_exhaust_the_stack_or_the_clock() {
    let world = World::new();
    let many = |piece: &str, count: usize| piece.repeat(count);
    let texts = [
        format!("{}true{}", many("(", 2000), many(")", 2000)),
        format!("{}true", many("!", 4000)),
        format!("{}true", many("!(", 1300)),
        format!("{}1 == 1", many("-", 4000)),
        format!("{}1 == 1", many("- ", 2000)),
        format!("1{} == 1", many("+1", 2000)),
        format!("doc{} == 1", many(".a", 2000)),
        format!("doc.meta{} == 1", many("[0]", 1300)),
        format!("doc.meta{} == 1", many(".a()", 1000)),
        format!("true{}", many("==true", 680)),
        format!("true{}", many("||true", 680)),
        format!("true{}", many("&&true", 680)),
        format!("{}true", many("true?true:", 400)),
        format!("{}true{}", many("true?", 600), many(":true", 600)),
        format!("{}1{} == 1", many("[", 2000), many("]", 2000)),
        format!("{}1{} == 1", many("size(", 800), many(")", 800)),
        format!("{}true{}", many("[1].all(x,", 300), many(")", 300)),
        many("(", 4000),
        many("{", 4000),
        many("\"", 4001),
        many("a ", 2000),
        many("a.", 2000),
        many("true ? ", 580),
        many("/*", 2000),
        format!("{}true", many("x", 4092)),
        many("😀", 1000),
        many("true || ", 500),
        format!("{}1{} == 1", many("(", 20), many(&format!("{})", many("+1", 49)), 20)),
        format!("{}doc.meta{} == 1", many("(", 20), many(&format!("{})", many(".a", 49)), 20)),
        format!("{}true{}", many("(", 20), many(&format!("{})", many("==1", 49)), 20)),
        format!("{}{}1{} == 1", many("!", 48), many(&format!("({}", many("-", 49)), 19), many(")", 19)),
        many(&format!("{}true?true:", many("!", 40)), 20) + "true",
        format!("{}true{}", many("(true || ", 19), many(")", 19)),
    ];
    for text in texts {
        let rule = Rule::compile(&world::source(&text), Scope::Get(&world.collection));
        if let Ok(rule) = rule {
            let document = world.document_of("ada");
            let doc = Some(world.doc(&document));
            let input = RuleInput { identity: &ada(), request: &world.request, doc, old: None };
            assert!(matches!(rule.check(&input), Decision::Allow | Decision::Deny | Decision::Error(_)));
        }
    }
    let loops = "doc.meta.big.all(x, doc.meta.big.all(y, x != y || x == y))";
    world.check_get(loops, &ada(), Error);
}
