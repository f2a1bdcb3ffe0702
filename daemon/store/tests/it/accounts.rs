//! Accounts, sessions, refresh tokens, keys.

use std::time::Duration;

use alyx_core::document::Document;
use alyx_store::{
    Account, Error, Lifetimes, NewAccount, NewSession, PasswordCounts, Rotation, SigningKey, limits,
};
use serde_json::json;

use crate::support::{ACTOR, TestStore, at};

const PROJECT: &str = "
collections:
  users:
    fields:
      nick: { type: string, nullable: true }
      mentor: { type: relation, nullable: true, relation: { collection: users, onDelete: cascade } }
";

const START: &str = "2026-01-02T03:00:00Z";
const END: &str = "2026-02-02T03:00:00Z";
const LIFETIMES: Lifetimes =
    Lifetimes { idle: Duration::from_secs(30 * 86_400), most: Duration::from_secs(90 * 86_400) };

fn create(project: &TestStore, email: &str) -> Result<Account, Error> {
    let document = project.draft("users", &json!({"email": email}));
    let account = NewAccount { document, password_hash: Some("$argon2id$…".to_owned()) };
    project.store.create_account(account, PasswordCounts::AtOnce, ACTOR.to_owned()).wait()
}

fn id(project: &TestStore, document: &Document) -> String {
    project.id("users", document)
}

fn start(project: &TestStore, session: &str, user: &str, token: u8) {
    let session = NewSession {
        id: session.to_owned(),
        user_id: user.to_owned(),
        refresh_hash: [token; 32],
        created_at: at(START),
        expires_at: at(END),
        ip: "192.0.2.1".to_owned(),
        user_agent: "test".to_owned(),
        method: "password".to_owned(),
    };
    project.store.start_session(session).wait().unwrap();
}

#[test]
fn an_address_is_one_account_in_any_spelling() {
    let project = TestStore::new(PROJECT);
    let ada = create(&project, "Ada@Example.org").unwrap();
    let again = create(&project, "ada@example.ORG");
    assert!(matches!(&again, Err(Error::UniqueViolation { fields }) if fields == &["email"]), "{again:?}");
    for spelling in ["Ada@Example.org", " ada@example.org\t".trim_end(), "ADA@EXAMPLE.ORG "] {
        let found = project.store.account_by_email(spelling).wait().unwrap().unwrap();
        assert_eq!(found.document, ada.document, "{spelling}");
        assert_eq!(found.password_hash.as_deref(), Some("$argon2id$…"));
    }
    assert!(project.store.account_by_email("bob@example.org").wait().unwrap().is_none());

    // The documents API cannot get around it either.
    let bob = project.create("users", &json!({"email": "bob@example.org"})).unwrap();
    let renamed = project.update("users", &bob, &json!({"email": "ADA@example.org"}));
    assert!(matches!(renamed, Err(Error::UniqueViolation { .. })), "{renamed:?}");
    let found = project.store.account_by_id(&id(&project, &bob)).wait().unwrap().unwrap();
    assert_eq!(found.password_hash, None);
}

#[test]
fn the_password_is_in_no_document_and_no_change() {
    let project = TestStore::new(PROJECT);
    let ada = create(&project, "ada@example.org").unwrap();
    let ada = id(&project, &ada.document);
    project.store.set_password_hash(&ada, Some("$other$".to_owned())).wait().unwrap();
    let found = project.store.account_by_id(&ada).wait().unwrap().unwrap();
    assert_eq!(found.password_hash.as_deref(), Some("$other$"));
    let rehash = |before: &str, after: &str| {
        project.store.rehash_password(&ada, before.to_owned(), after.to_owned()).wait().unwrap();
        project.store.account_by_id(&ada).wait().unwrap().unwrap().password_hash
    };
    assert_eq!(rehash("$older$", "$newer$").as_deref(), Some("$other$"), "changed in the meantime");
    assert_eq!(rehash("$other$", "$newer$").as_deref(), Some("$newer$"));
    let nobody = project.store.set_password_hash("nobody", None).wait();
    assert!(matches!(nobody, Err(Error::NotFound)), "{nobody:?}");
    assert!(!format!("{:?} {found:?}", project.changes()).contains('$'));
    let page = project.list("users", &[]);
    assert!(!String::from_utf8(page.docs_json).unwrap().contains('$'));
}

#[test]
fn disabling_and_new_passwords_end_the_sessions() {
    let project = TestStore::new(PROJECT);
    let ada = create(&project, "ada@example.org").unwrap().document;
    let ada_id = id(&project, &ada);
    start(&project, "s1", &ada_id, 1);
    start(&project, "s2", &ada_id, 2);
    let running = project.store.sessions_of(&ada_id).wait().unwrap();
    assert_eq!(running.iter().map(|session| session.id.as_str()).collect::<Vec<_>>(), ["s1", "s2"]);
    assert_eq!(project.store.end_session_of("bob", "s1").wait().unwrap(), None);
    assert!(project.store.session_live("s1").wait().unwrap());
    project.update("users", &ada, &json!({"disabled": true})).unwrap();
    assert!(!project.store.session_live("s1").wait().unwrap());
    assert!(project.store.sessions_of(&ada_id).wait().unwrap().is_empty());
    assert_eq!(project.store.end_user_sessions(&ada_id).wait().unwrap(), 0);
    start(&project, "s3", &ada_id, 3);
    project.store.set_password_hash(&ada_id, Some("$other$".to_owned())).wait().unwrap();
    assert!(!project.store.session_live("s3").wait().unwrap());
}

#[test]
fn a_deleted_user_is_gone_with_all_that_hangs_on_it() {
    let project = TestStore::new(PROJECT);
    let ada = id(&project, &create(&project, "ada@example.org").unwrap().document);
    let bob = create(&project, "bob@example.org").unwrap().document;
    let bob_id = id(&project, &bob);
    project.update("users", &bob, &json!({"mentor": ada})).unwrap();
    start(&project, "s1", &ada, 1);
    start(&project, "s2", &bob_id, 2);
    project.delete("users", &ada).unwrap();
    for user in [&ada, &bob_id] {
        assert!(project.store.account_by_id(user).wait().unwrap().is_none());
    }
    assert!(!project.store.session_live("s1").wait().unwrap());
    assert!(!project.store.session_live("s2").wait().unwrap());
    assert_eq!(project.store.list_accounts("", 10, 0).wait().unwrap().len(), 0);
    create(&project, "ada@example.org").unwrap();
}

#[test]
fn accounts_are_listed_in_pages_and_admins_counted() {
    let project = TestStore::new(PROJECT);
    for number in 0..5 {
        create(&project, &format!("u{number}@example.org")).unwrap();
    }
    let pages: Vec<_> = [0, 2, 4, 6]
        .map(|offset| project.store.list_accounts("", 2, offset).wait().unwrap())
        .into_iter()
        .map(|page| page.len())
        .collect();
    assert_eq!(pages, [2, 2, 1, 0]);
    assert_eq!(project.store.admin_count().wait().unwrap(), 0);
    let root = project.draft("users", &json!({"email": "root@example.org", "role": "admin"}));
    let root = NewAccount { document: root, password_hash: None };
    let root = project.store.create_account(root, PasswordCounts::AtOnce, ACTOR.to_owned()).wait().unwrap();
    assert_eq!(project.store.admin_count().wait().unwrap(), 1);
    let plan: String = project
        .sqlite()
        .query_row(
            "EXPLAIN QUERY PLAN SELECT count(*) FROM \"users\" WHERE \"role\" = 'admin' AND NOT \"disabled\"",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("_alyx_users_admins"), "{plan}");
    project.update("users", &root.document, &json!({"disabled": true})).unwrap();
    assert_eq!(project.store.admin_count().wait().unwrap(), 0);
}

#[test]
fn a_refresh_token_is_good_once() {
    let project = TestStore::new(PROJECT);
    start(&project, "s1", "ada", 1);
    start(&project, "s2", "ada", 101);
    let rotate = |presented: u8, next: u8, now: &str| {
        project.store.rotate_refresh([presented; 32], [next; 32], at(now), LIFETIMES).wait().unwrap()
    };
    let of = |session: &str| (session.to_owned(), "ada".to_owned());
    let rotated = |(session_id, user_id)| Rotation::Rotated { session_id, user_id };
    let reused = |(session_id, user_id)| Rotation::Reused { session_id, user_id };

    assert_eq!(rotate(9, 10, "2026-01-02T03:00:01Z"), Rotation::Unknown);
    assert_eq!(rotate(1, 2, "2026-01-02T03:10:00Z"), rotated(of("s1")));
    assert_eq!(rotate(2, 3, "2026-01-02T03:20:00Z"), rotated(of("s1")));
    // Two parallel refreshes: both are served, to the last moment of the grace.
    assert_eq!(rotate(2, 4, "2026-01-02T03:20:10Z"), rotated(of("s1")));
    assert_eq!(rotate(3, 5, "2026-01-02T03:30:00Z"), rotated(of("s1")));
    assert_eq!(rotate(4, 6, "2026-01-02T03:30:00Z"), rotated(of("s1")));
    assert_eq!(limits::REFRESH_GRACE.as_secs(), 10);
    // The grace runs from the first use, and beyond it the family ends.
    assert_eq!(rotate(2, 7, "2026-01-02T03:20:10.000001Z"), reused(of("s1")));
    for token in [1, 2, 3, 4, 5, 6, 7] {
        assert_eq!(rotate(token, 8, "2026-01-02T03:30:01Z"), Rotation::Unknown, "{token}");
    }
    assert!(!project.store.session_live("s1").wait().unwrap());
    assert!(project.store.session_live("s2").wait().unwrap(), "another session is none of it");
    assert_eq!(rotate(101, 102, "2026-01-02T03:30:00Z"), rotated(of("s2")));
}

#[test]
fn a_session_ends_however_often_it_is_refreshed() {
    let project = TestStore::new(PROJECT);
    start(&project, "s1", "ada", 1);
    let lifetimes = Lifetimes { idle: Duration::from_secs(3_600), most: Duration::from_secs(5_400) };
    let rotate = |presented: u8, now: &str| {
        let next = [presented + 1; 32];
        project.store.rotate_refresh([presented; 32], next, at(now), lifetimes).wait().unwrap()
    };
    let begin = at(START);
    let after = |minutes: i64| (begin + jiff::SignedDuration::from_mins(minutes)).to_string();
    assert!(matches!(rotate(1, &after(50)), Rotation::Rotated { .. }));
    assert!(matches!(rotate(2, &after(89)), Rotation::Rotated { .. }));
    assert_eq!(rotate(3, &after(90)), Rotation::Unknown);
}

#[test]
fn tokens_and_sessions_expire_and_are_trimmed() {
    let project = TestStore::new(PROJECT);
    start(&project, "s1", "ada", 1);
    start(&project, "s2", "ada", 2);
    let late = project.store.rotate_refresh([1; 32], [3; 32], at(END), LIFETIMES).wait();
    assert_eq!(late.unwrap(), Rotation::Unknown);
    assert_eq!(project.store.session_of_refresh([2; 32]).wait().unwrap().as_deref(), Some("s2"));
    assert_eq!(project.store.end_session("s2").wait().unwrap().as_deref(), Some("ada"));
    assert_eq!(project.store.end_session("s2").wait().unwrap(), None);
    assert_eq!(project.store.session_of_refresh([2; 32]).wait().unwrap(), None);
    let project = project.reopen();
    assert!(!project.store.session_live("s2").wait().unwrap());
    assert_eq!(project.store.trim_sessions(at(START)).wait().unwrap(), 0);
    assert_eq!(project.store.trim_sessions(at("2026-02-02T03:00:01Z")).wait().unwrap(), 2);
}

#[test]
fn keys_are_kept_newest_first() {
    let project = TestStore::new(PROJECT);
    let key = |kid: &str, created_at: &str| SigningKey {
        kid: kid.to_owned(),
        alg: "EdDSA".to_owned(),
        pkcs8: vec![1, 2, 3],
        created_at: at(created_at),
    };
    let (old, new) = (key("a", START), key("b", END));
    project.store.add_signing_key(old.clone()).wait().unwrap();
    project.store.add_signing_key(new.clone()).wait().unwrap();
    let again = project.store.add_signing_key(old.clone()).wait();
    assert!(matches!(again, Err(Error::UniqueViolation { .. })), "{again:?}");
    let project = project.reopen();
    assert_eq!(project.store.signing_keys().wait().unwrap(), [new, old.clone()]);
    assert!(!format!("{old:?}").contains("pkcs8"));
}
