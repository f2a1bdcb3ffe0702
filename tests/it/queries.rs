//! Reading documents: conditions, order, pages, related documents, calculations, and that none of them
//! shows what rules and fields keep.

use std::collections::BTreeSet;

use alyx_tests::{Client, Project, TestServer};
use serde_json::{Value, json};

const SCHEMA: &str = r#"version: 1
collections:
  users:
    fields:
      nick: { type: string, nullable: true }
    rules:
      read: "true"
  teams:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      name: { type: string }
      budget: { type: int, nullable: true, internal: true }
    rules: { read: "true", create: "true" }
  people:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      name: { type: string }
      team: { type: relation, relation: { collection: teams }, nullable: true }
      open: { type: bool, default: true }
      secret: { type: string, nullable: true, hidden: true }
      pay: { type: int, nullable: true, rules: { read: "doc.name == 'Ada'" } }
    rules: { read: "doc.open == true", create: "true" }
  posts:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      title: { type: string }
      views: { type: int, default: 0 }
      score: { type: float, nullable: true }
      author: { type: relation, relation: { collection: people }, nullable: true }
      meta: { type: json, nullable: true }
      status: { type: select, select: { values: [draft, published] }, default: published }
      order: { type: int, nullable: true }
      my-field: { type: string, nullable: true }
      note: { type: string, nullable: true, internal: true }
      pin: { type: string, nullable: true, hidden: true }
    rules: { read: "doc.status == 'published'", create: "true" }
  comments:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      post: { type: relation, relation: { collection: posts, onDelete: cascade } }
      author: { type: relation, relation: { collection: people }, nullable: true }
      text: { type: string }
      open: { type: bool, default: true }
    rules: { read: "doc.open == true", create: "true" }
  sealed:
    fields:
      id: { type: id, primary: true, default: auto }
      post: { type: relation, relation: { collection: posts }, nullable: true }
"#;

async fn start() -> (TestServer, Client) {
    let server = TestServer::start(Project::schema(SCHEMA)).await;
    let admin = server.admin().await;
    let fill = [
        ("teams", json!({ "id": "red", "name": "Red", "budget": 7 })),
        ("teams", json!({ "id": "blue", "name": "Blue" })),
        ("people", json!({ "id": "ada", "name": "Ada", "team": "red", "secret": "s1", "pay": 10 })),
        ("people", json!({ "id": "bob", "name": "Bob", "team": "blue", "secret": "s2", "pay": 20 })),
        ("people", json!({ "id": "eve", "name": "Eve", "team": "red", "open": false })),
        (
            "posts",
            json!({ "id": "p1", "title": "One", "views": 1, "score": 0.5, "author": "ada", "note": "n", "pin": "1", "meta": { "tags": ["x", "y"], "n": 1, "on": true, "deep": { "a": [10, { "b": null }] } } }),
        ),
        (
            "posts",
            json!({ "id": "p2", "title": "Two", "views": 2, "score": 1.5, "author": "bob", "pin": "2", "meta": { "tags": [], "n": 2.5, "on": false } }),
        ),
        (
            "posts",
            json!({ "id": "p3", "title": "Three", "views": 3, "author": "eve", "meta": { "tags": ["y"], "n": "1" } }),
        ),
        ("posts", json!({ "id": "p4", "title": "Four 100%", "views": 4, "order": 1, "my-field": "h" })),
        ("posts", json!({ "id": "p5", "title": "Draft", "views": 1000, "author": "ada", "status": "draft" })),
        ("comments", json!({ "id": "c1", "post": "p1", "author": "bob", "text": "first" })),
        ("comments", json!({ "id": "c2", "post": "p1", "author": "eve", "text": "second" })),
        ("comments", json!({ "id": "c3", "post": "p1", "author": "ada", "text": "hidden", "open": false })),
        ("comments", json!({ "id": "c4", "post": "p5", "text": "on a draft" })),
        ("sealed", json!({ "post": "p1" })),
    ];
    for (collection, document) in fill {
        admin.create(collection, document).await.expect_created();
    }
    (server, admin)
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn ids(docs: &[Value]) -> String {
    docs.iter().map(|doc| doc["id"].as_str().unwrap_or("?")).collect::<Vec<_>>().join(" ")
}

async fn found(who: &Client, condition: &Value) -> String {
    let answer = who.list("posts", &format!("where={}", encode(&condition.to_string()))).await;
    ids(&answer.expect_docs())
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_as_an_object() {
    let (server, _) = start().await;
    let anon = server.anon();
    for (condition, expected) in [
        (json!({}), "p1 p2 p3 p4"),
        (json!({ "title": "One" }), "p1"),
        (json!({ "views": { "$gt": 1, "$lte": 3 } }), "p2 p3"),
        (json!({ "$or": [{ "views": 1 }, { "author.name": { "$starts": "B" } }] }), "p1 p2"),
        (json!({ "$and": [{ "views": { "$gte": 2 } }, { "$not": { "title": "Two" } }] }), "p3 p4"),
        (json!({ "$not": { "$or": [{ "views": 1 }, { "views": 2 }] } }), "p3 p4"),
        (json!({ "$or": [] }), ""),
        (json!({ "$and": [] }), "p1 p2 p3 p4"),
        (json!({ "title": { "$in": ["One", "Three"] } }), "p1 p3"),
        (json!({ "title": { "$nin": ["One", "Three"] } }), "p2 p4"),
        (json!({ "title": { "$contains": "100%" } }), "p4"),
        (json!({ "title": { "$like": "T%" } }), "p2 p3"),
        (json!({ "score": null }), "p3 p4"),
        (json!({ "score": { "$ne": null } }), "p1 p2"),
        (json!({ "score": { "$null": true } }), "p3 p4"),
        (json!({ "$not": { "score": { "$gt": 1 } } }), "p1 p3 p4"),
        (json!({ "order": 1, "my-field": "h" }), "p4"),
        // Behind relations: whoever is not shown is as if he were not there.
        (json!({ "author.name": "Ada" }), "p1"),
        (json!({ "author.name": "Eve" }), ""),
        (json!({ "author.name": { "$ne": "Ada" } }), "p2 p3 p4"),
        (json!({ "author.name": null }), "p3 p4"),
        (json!({ "author.name": { "$nin": ["Ada", "Bob"] } }), "p3 p4"),
        (json!({ "author.team.name": "Red" }), "p1"),
        (json!({ "author.id": { "$ne": null } }), "p1 p2"),
        // Inside JSON.
        (json!({ "meta.tags.0": "x" }), "p1"),
        (json!({ "meta.tags": { "$contains": "y" } }), "p1 p3"),
        (json!({ "meta.n": 1 }), "p1"),
        (json!({ "meta.n": "1" }), "p3"),
        (json!({ "meta.n": { "$gt": 1 } }), "p2"),
        (json!({ "meta.n": { "$in": [2.5, "1"] } }), "p2 p3"),
        (json!({ "meta.on": true }), "p1"),
        (json!({ "meta.on": { "$ne": true } }), "p2 p3 p4"),
        (json!({ "meta.deep.a.0": 10 }), "p1"),
        (json!({ "meta.deep.a.1.b": null }), "p1 p2 p3 p4"),
        (json!({ "meta.deep": { "$null": false } }), "p1"),
    ] {
        assert_eq!(found(&anon, &condition).await, expected, "{condition}");
    }
    // The other spelling, and both together.
    for (query, expected) in [
        ("filter=meta.tags.0:eq:x", "p1"),
        ("filter=author.name:starts:b", "p2"),
        ("filter=meta.n:gt:1", "p2"),
        ("filter=meta.n:eq:%221%22", "p3"),
        ("filter=views:gt:1&filter=views:lt:4&where=%7B%22title%22:%22Two%22%7D", "p2"),
    ] {
        assert_eq!(ids(&anon.list("posts", query).await.expect_docs()), expected, "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m01_no_reading_shows_what_the_rule_denies() {
    let (server, admin) = start().await;
    let anon = server.anon();
    // Lists, counts and pages.
    let page = anon.list("posts", "count=true&sort=-views&limit=2").await.expect_ok();
    assert_eq!((ids(page["docs"].as_array().unwrap()), &page["total"]), ("p4 p3".to_owned(), &json!(4)));
    let next = page["next_cursor"].as_str().unwrap();
    let rest = anon.list("posts", &format!("sort=-views&cursor={next}")).await.expect_docs();
    assert_eq!(ids(&rest), "p2 p1");
    assert_eq!(anon.list("posts", "page=2&limit=3&sort=id").await.expect_docs()[0]["id"], "p4");
    // Calculations.
    let all =
        anon.get_path("/api/collections/posts/aggregate?count=true&sum=views&max=views").await.expect_ok();
    assert_eq!(
        all,
        json!({ "groups": [{ "group": {}, "count": 4, "sum": { "views": 10 }, "max": { "views": 4 } }], "limit": 30, "more": false })
    );
    let of_admin = admin.get_path("/api/collections/posts/aggregate?max=views").await.expect_ok();
    assert_eq!(of_admin["groups"][0]["max"]["views"], 1000);
    let by = anon.get_path("/api/collections/posts/aggregate?group=status").await.expect_ok();
    assert_eq!(by["groups"], json!([{ "group": { "status": "published" }, "count": 4 }]));
    // Related documents, both ways and further.
    let expand = "expand=author.team,comments(by%20post).author";
    let shown = anon.list("posts", &format!("sort=id&fields=id&limit=3&{expand}")).await.expect_docs();
    let (ada, bob) =
        (&shown[0]["expand"]["author"], &shown[0]["expand"]["comments"]["docs"][0]["expand"]["author"]);
    assert_eq!((&ada["name"], &ada["expand"]["team"]["name"]), (&json!("Ada"), &json!("Red")));
    assert_eq!(bob["name"], "Bob");
    assert_eq!(ids(shown[0]["expand"]["comments"]["docs"].as_array().unwrap()), "c1 c2");
    assert_eq!(
        shown[0]["expand"]["comments"]["docs"][1]["expand"]["author"],
        Value::Null,
        "Eve is not shown"
    );
    assert_eq!(shown[2]["expand"]["author"], Value::Null, "Eve is not shown");
    assert_eq!(shown[2]["expand"]["comments"], json!({ "docs": [], "more": false }));
    let one = anon.get_path(&format!("/api/collections/posts/p1?fields=id,title&{expand}")).await.expect_ok();
    assert_eq!(one["expand"], shown[0]["expand"]);
    assert_eq!((one["title"].as_str(), one.get("views")), (Some("One"), None));
    anon.get_path("/api/collections/posts/p5?expand=author").await.expect_error(404, "document_not_found");
    // A collection without a rule shows nothing, also where it refers to what is shown.
    let sealed = anon.list("posts", "expand=sealed(by%20post)").await.expect_docs();
    assert_eq!(sealed[0]["expand"]["sealed"], json!({ "docs": [], "more": false }));
    let sealed = admin.list("posts", "sort=id&expand=sealed(by%20post)").await.expect_docs();
    assert_eq!(sealed[0]["expand"]["sealed"]["docs"].as_array().unwrap().len(), 1);
    anon.get_path("/api/collections/sealed/aggregate").await.expect_error(401, "unauthenticated");
    // A filter through a relation is no way round: nothing tells that Eve is in the red team.
    assert_eq!(found(&anon, &json!({ "author.team.name": "Red", "id": "p3" })).await, "");
    assert_eq!(found(&admin, &json!({ "author.team.name": "Red", "id": "p3" })).await, "p3");
    // Nor does an order: those who are not shown come with those who have no author.
    let sorted = ids(&anon.list("posts", "sort=author.name,-id").await.expect_docs());
    assert_eq!(sorted, "p4 p3 p1 p2");
    assert_eq!(ids(&admin.list("posts", "sort=-author.name,id").await.expect_docs()), "p3 p2 p1 p5 p4");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m02_names_reach_sql_only_from_the_schema() {
    let (server, _) = start().await;
    let anon = server.anon();
    let names = [
        "nope",
        "",
        ".",
        "author.",
        ".author",
        "author..name",
        "author.nope",
        "title.x",
        "rowid",
        "_rowid_",
        "_alyx_rev",
        "d.title",
        "\"title\"",
        "title\"--",
        "1=1",
        "title) OR (1=1",
        "title' OR '1'='1",
        "TITLE",
        "*",
        "posts.title",
        "author.name; DROP TABLE posts",
        "😀",
        "comments(by post).text",
        "author.team.name.x",
    ];
    for name in names {
        let name = encode(name);
        for query in [
            format!("filter={name}:eq:1"),
            format!("sort={name}"),
            format!("sort=-{name}"),
            format!("fields={name}"),
            format!("where={}", encode(&json!({ name.clone(): 1 }).to_string())),
        ] {
            let problem = anon.list("posts", &query).await.expect_error(400, "invalid_parameter");
            assert_eq!(problem.errors[0].code, "unknown_field", "{query}");
        }
        for param in ["group", "sum", "avg", "min", "max"] {
            let answer = anon.get_path(&format!("/api/collections/posts/aggregate?{param}={name}")).await;
            assert_eq!(
                answer.expect_error(400, "invalid_parameter").errors[0].code,
                "unknown_field",
                "{name}"
            );
        }
        if !name.starts_with("comments") {
            let problem = anon.list("posts", &format!("expand={name}")).await;
            assert_eq!(
                problem.expect_error(400, "invalid_parameter").errors[0].code,
                "unknown_field",
                "{name}"
            );
        }
    }
    for expand in [
        "comments",
        "comments(by text)",
        "comments(by nope)",
        "nope(by post)",
        "comments(by post",
        "teams(by name)",
    ] {
        let problem = anon.list("posts", &format!("expand={}", encode(expand))).await;
        assert_eq!(
            problem.expect_error(400, "invalid_parameter").errors[0].code,
            "unknown_field",
            "{expand}"
        );
    }
    for key in ["a\"b", "a\\b", "\u{1}"] {
        let query = format!("filter={}:eq:1", encode(&format!("meta.{key}")));
        anon.list("posts", &query).await.expect_error(400, "invalid_parameter");
    }
    for key in ["'", "$", "a[0]", "#-1", "*", "a b", "é", "--", ");"] {
        let query = format!("filter={}:eq:1", encode(&format!("meta.{key}")));
        assert!(anon.list("posts", &query).await.expect_docs().is_empty(), "{key}");
    }
    assert_eq!(anon.list("posts", "").await.expect_docs().len(), 4, "nothing was changed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m03_what_is_hidden_cannot_be_asked_about() {
    let (server, admin) = start().await;
    let anon = server.anon();
    // The same words for a field that is not there and for one that is not shown.
    let text = async |path: String, name: &str| {
        let answer = anon.get_path(&path).await.expect_error(400, "invalid_parameter");
        format!("{} {:?}", answer.detail, answer.errors).replace(name, "NAME")
    };
    let (list, aggregate) = ("/api/collections/posts?", "/api/collections/posts/aggregate?");
    for (hidden, unknown) in [
        ("note", "nope"),
        ("pin", "nope"),
        ("author.secret", "author.nope"),
        ("author.pay", "author.nope"),
        ("author.team.budget", "author.team.nope"),
    ] {
        for shape in [
            "filter=NAME:eq:1",
            "filter=NAME:starts:s",
            "filter=NAME:bogus:1",
            "filter=NAME:is_null",
            "filter=NAME:is_null:x",
            "filter=NAME:in:[",
            "sort=NAME",
            "sort=-NAME",
            "where={\"NAME\":{\"$null\":true}}",
            "where={\"NAME\":{\"$bogus\":1}}",
            "where={\"NAME\":{}}",
            "where={\"$not\":{\"NAME\":1}}",
            "expand=NAME",
        ] {
            let ask = |name: &str| {
                format!(
                    "{list}{}",
                    shape.replace("NAME", name).replace('"', "%22").replace('{', "%7B").replace('}', "%7D")
                )
            };
            assert_eq!(
                text(ask(hidden), hidden).await,
                text(ask(unknown), unknown).await,
                "{shape} {hidden}"
            );
        }
        if hidden.contains('.') {
            continue;
        }
        for shape in ["sum=NAME", "min=NAME", "group=NAME", "filter=NAME:eq:1"] {
            let ask = |name: &str| format!("{aggregate}{}", shape.replace("NAME", name));
            assert_eq!(
                text(ask(hidden), hidden).await,
                text(ask(unknown), unknown).await,
                "{shape} {hidden}"
            );
        }
        let ask = |name: &str| format!("{list}fields={name}");
        assert_eq!(text(ask(hidden), hidden).await, text(ask(unknown), unknown).await);
    }
    // Neither does a related document show it.
    let shown = anon.list("posts", "sort=id&expand=author.team").await.expect_docs();
    let (ada, bob) = (&shown[0]["expand"]["author"], &shown[1]["expand"]["author"]);
    assert_eq!((ada.get("secret"), ada["pay"].as_i64()), (None, Some(10)));
    assert_eq!((bob.get("secret"), bob.get("pay")), (None, None), "the field's rule holds here as well");
    assert_eq!(ada["expand"]["team"], json!({ "id": "red", "name": "Red" }));
    // Administrators may ask.
    assert_eq!(ids(&admin.list("posts", "filter=author.secret:eq:s2").await.expect_docs()), "p2");
    assert_eq!(ids(&admin.list("posts", "filter=pin:eq:1&sort=note").await.expect_docs()), "p1");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m21_odd_parameters_are_answered_clearly() {
    let (server, _) = start().await;
    let anon = server.anon();
    let long = "x".repeat(20_000);
    let deep = format!("{}{{}}{}", "{\"$not\":".repeat(9), "}".repeat(9));
    let many = json!({ "views": { "$in": (0..201).collect::<Vec<i32>>() } }).to_string();
    let terms = json!({ "$or": (0..101).map(|n| json!({ "views": n })).collect::<Vec<_>>() }).to_string();
    let with_where = |text: &str| format!("where={}", encode(text));
    for query in [
        "limit=0".to_owned(),
        "limit=-1".to_owned(),
        "limit=1001".to_owned(),
        "limit=x".to_owned(),
        "limit=".to_owned(),
        "limit=1e2".to_owned(),
        "limit=99999999999999999999".to_owned(),
        "offset=-1".to_owned(),
        "offset=1000001".to_owned(),
        "page=0".to_owned(),
        "page=-1".to_owned(),
        "page=99999999999".to_owned(),
        "page=1&offset=1".to_owned(),
        "cursor=%00".to_owned(),
        "cursor=AAAA".to_owned(),
        "cursor=".to_owned(),
        "count=maybe".to_owned(),
        "sort=".to_owned(),
        "fields=".to_owned(),
        "expand=".to_owned(),
        "search=x".to_owned(),
        "nope=1".to_owned(),
        "limit=1&limit=2".to_owned(),
        "sort=meta".to_owned(),
        "sort=meta.n".to_owned(),
        "sort=title,title".to_owned(),
        "where=".to_owned(),
        "where=x".to_owned(),
        "where=[]".to_owned(),
        "where=null".to_owned(),
        with_where(r#"{"views":{"$gt":"ten"}}"#),
        with_where(r#"{"views":{"$gt":null}}"#),
        with_where(r#"{"title":1}"#),
        with_where(r#"{"title":["a"]}"#),
        with_where(r#"{"title":{}}"#),
        with_where(r#"{"title":{"$is":1}}"#),
        with_where(r#"{"title":{"$in":"a"}}"#),
        with_where(r#"{"title":{"$in":[null]}}"#),
        with_where(r#"{"$or":{}}"#),
        with_where(r#"{"$nor":[]}"#),
        with_where(r#"{"views":1,"views":2}"#),
        with_where(r#"{"views":9223372036854775808}"#),
        with_where(r#"{"views":9007199254740993.5}"#),
        with_where(r#"{"title":"\ud800"}"#),
        with_where(&deep),
        with_where(&many),
        with_where(&terms),
        format!("filter=title:eq:{long}"),
        format!("sort={}", ["views"; 9].join(",")),
        format!("filter=meta.{}:eq:1", ["a"; 17].join(".")),
        "expand=author.team.x".to_owned(),
        "expand=author.team.x.y".to_owned(),
        "expand=comments(by%20post).author.team.x".to_owned(),
    ] {
        let answer = anon.list("posts", &query).await;
        assert_eq!(answer.status.as_u16(), 400, "{query:.200}: {answer}");
        let problem: Value = answer.json();
        assert!(
            ["invalid_parameter", "invalid_cursor"].contains(&problem["code"].as_str().unwrap()),
            "{answer}"
        );
    }
    for query in [
        "group=meta",
        "sum=title",
        "avg=status",
        "max=meta",
        "count=false",
        "group=title,title",
        "limit=0",
        "expand=author",
        "sort=title",
    ] {
        anon.get_path(&format!("/api/collections/posts/aggregate?{query}"))
            .await
            .expect_error(400, "invalid_parameter");
    }
    for (query, expected) in [
        ("limit=1000", 4),
        ("page=1", 4),
        ("page=2", 0),
        ("offset=1000000", 0),
        ("filter=order:gte:1", 1),
        ("filter=my-field:eq:h", 1),
        ("filter=title:eq:%F0%9F%98%80", 0),
        ("filter=views:in:", 0),
        ("sort=order,my-field", 4),
    ] {
        assert_eq!(anon.list("posts", query).await.expect_docs().len(), expected, "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m22_empty_answers_are_empty_lists_and_names_are_the_schemas() {
    let (server, admin) = start().await;
    let anon = server.anon();
    let none = anon
        .list("posts", "filter=title:eq:none&count=true&expand=author,comments(by%20post)")
        .await
        .expect_ok();
    assert_eq!(none, json!({ "docs": [], "limit": 30, "total": 0 }));
    let groups =
        anon.get_path("/api/collections/posts/aggregate?group=title&filter=title:eq:none").await.expect_ok();
    assert_eq!(groups, json!({ "groups": [], "limit": 30, "more": false }));
    let empty = anon.get_path("/api/collections/posts/aggregate?sum=views,score&avg=views&min=title&count=true&filter=title:eq:none").await.expect_ok();
    assert_eq!(
        empty["groups"],
        json!([{ "group": {}, "count": 0, "sum": { "views": 0, "score": 0.0 }, "avg": { "views": null }, "min": { "title": null } }])
    );
    let declared: BTreeSet<&str> = [
        "id", "title", "views", "score", "author", "meta", "status", "order", "my-field", "note", "pin",
        "expand",
    ]
    .into();
    for who in [&anon, &admin] {
        for doc in who.list("posts", "expand=author").await.expect_docs() {
            let names: BTreeSet<&str> = doc.as_object().unwrap().keys().map(String::as_str).collect();
            assert!(names.is_subset(&declared), "{names:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calculations_are_exact_and_grouped() {
    let (server, admin) = start().await;
    for views in [i64::MAX, i64::MAX, i64::MIN] {
        admin.create("posts", json!({ "title": "big", "views": views })).await.expect_created();
    }
    let ask = async |query: &str| {
        admin.get_path(&format!("/api/collections/posts/aggregate?{query}")).await.expect_ok()
    };
    let text = admin
        .get_path("/api/collections/posts/aggregate?sum=views&filter=title:eq:big&filter=views:gt:0")
        .await;
    assert!(text.text().contains("\"sum\":{\"views\":18446744073709551614}"), "{text}");
    assert_eq!(ask("sum=views&filter=title:eq:big").await["groups"][0]["sum"]["views"], i64::MAX - 1);
    let groups =
        ask("group=status,author&count=true&avg=score&limit=2&filter=views:lt:2000&filter=views:gt:0").await;
    assert_eq!(
        groups["groups"][0],
        json!({ "group": { "status": "draft", "author": "ada" }, "count": 1, "avg": { "score": null } })
    );
    assert_eq!((groups["groups"].as_array().unwrap().len(), &groups["more"]), (2, &json!(true)));
    let rest =
        ask("group=status,author&count=true&limit=2&page=2&filter=views:lt:2000&filter=views:gt:0").await;
    assert_eq!(
        (rest["groups"][0]["group"]["author"].as_str(), &rest["more"]),
        (Some("ada"), &json!(true)),
        "{rest}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_related_documents_are_bounded() {
    let (server, admin) = start().await;
    for number in 0..101 {
        let comment = json!({ "id": format!("n{number:03}"), "post": "p2", "text": "x" });
        admin.create("comments", comment).await.expect_created();
    }
    let shown = admin.get_path("/api/collections/posts/p2?expand=comments(by%20post)").await.expect_ok();
    let comments = &shown["expand"]["comments"];
    assert_eq!((comments["docs"].as_array().unwrap().len(), &comments["more"]), (100, &json!(true)));
    admin.delete("comments", "n100").await.expect_status(204);
    let shown = admin.get_path("/api/collections/posts/p2?expand=comments(by%20post)").await.expect_ok();
    assert_eq!(
        (shown["expand"]["comments"]["docs"].as_array().unwrap().len(), &shown["expand"]["comments"]["more"]),
        (100, &json!(false))
    );
    server.stop().await;
}
