//! Several reads and writes as one: programs in the writer's thread, and the writer lent.

use std::time::Duration;

use alyx_core::query::ListQuery;
use alyx_store::{Abort, Error, NewAccount, OnAccounts, PasswordCounts, Since, Store, StoredAnswer, Touched};
use serde_json::json;

use crate::support::{ACTOR, NOW, TestStore, at, to_json, wait};

const NOTES: &str = "collections:
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      slug: { type: string, unique: true, nullable: true }
      count: { type: int, default: 0 }
";

/// Long enough for the slowest machine.
const LONG: Duration = Duration::from_secs(60);

fn notes() -> TestStore {
    TestStore::new(NOTES)
}

#[test]
fn a_program_is_done_whole_or_not_at_all() {
    let notes = notes();
    let collection = notes.collection("notes");
    for fails in [true, false] {
        let (first, second) = (notes.draft("notes", &json!({})), notes.draft("notes", &json!({})));
        let declared = collection.clone();
        let answer = wait(notes.store.transact(move |tx| {
            tx.create(&declared, first, ACTOR)?;
            tx.create(&declared, second, ACTOR)?;
            if fails { Err(Abort::Refused("no")) } else { Ok(7) }
        }));
        match (fails, answer) {
            (true, Err(Abort::Refused("no"))) => assert_eq!(notes.changes().len(), 0),
            (false, Ok(7)) => assert_eq!(notes.changes().len(), 2),
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn programs_at_once_lose_no_increment() {
    let notes = notes();
    let id = notes.id("notes", &notes.create("notes", &json!({})).unwrap());
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (store, collection, id) = (notes.store.clone(), notes.collection("notes"), id.clone());
        tasks.push(std::thread::spawn(move || {
            for _ in 0..50 {
                let (collection, id) = (collection.clone(), id.clone());
                let program = move |tx: &mut alyx_store::Transaction<'_, '_>| {
                    let before = tx.get(&collection, &id)?.ok_or(Error::NotFound)?;
                    let mut after = before.clone();
                    let (count, _) = collection.field("count").unwrap();
                    let alyx_core::value::Value::Integer(found) = before.values[count] else { panic!() };
                    after.values[count] = alyx_core::value::Value::Integer(found + 1);
                    tx.replace(&collection, &before, after, ACTOR)?;
                    Ok::<_, Abort<()>>(())
                };
                wait(store.transact(program)).unwrap();
            }
        }));
    }
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(notes.json("notes", &id).unwrap()["count"], 200);
}

#[test]
fn a_loan_sees_its_own_writes_and_nobody_else_does() {
    let notes = notes();
    let collection = notes.collection("notes");
    let lent = wait(notes.store.begin(LONG)).unwrap();
    let draft = notes.draft("notes", &json!({ "slug": "a" }));
    let made = lent.store().create(collection.clone(), draft, ACTOR.to_owned()).wait().unwrap();
    let id = notes.id("notes", &made);
    let seen = lent.store().get(collection.clone(), id.clone()).wait().unwrap().unwrap();
    assert_eq!(to_json(&collection, &seen)["slug"], "a");
    let query = notes.query("notes", &[("count", "true")]);
    let always = alyx_core::sql::SqlPredicate::Always;
    let page =
        lent.store().list(collection.clone(), ListQuery { rule: always.into(), ..query }).wait().unwrap();
    assert_eq!((page.count, page.total), (1, Some(1)));
    assert!(notes.store.get(collection.clone(), id.clone()).wait().unwrap().is_none());

    // A failing step leaves the others alone.
    let draft = notes.draft("notes", &json!({ "slug": "a" }));
    let twice = lent.store().create(collection.clone(), draft, ACTOR.to_owned()).wait();
    assert!(matches!(twice, Err(Error::UniqueViolation { .. })), "{twice:?}");

    // Others wait for it.
    let waiting = notes.store.create(
        collection.clone(),
        notes.draft("notes", &json!({ "slug": "b" })),
        "other".to_owned(),
    );
    lent.commit().wait().unwrap();
    waiting.wait().unwrap();
    let words: Vec<_> = notes.changes().into_iter().map(|change| change.identity).collect();
    assert_eq!(words, [ACTOR, "other"]);
    assert!(notes.store.get(collection.clone(), id.clone()).wait().unwrap().is_some());

    let late = lent.store().get(collection, id).wait();
    assert!(matches!(late, Err(Error::TransactionEnded)), "{late:?}");
    let again = lent.commit().wait();
    assert!(matches!(again, Err(Error::TransactionEnded)), "{again:?}");
}

#[test]
fn a_loan_that_is_dropped_or_too_long_leaves_nothing() {
    let notes = notes();
    let collection = notes.collection("notes");
    let create = |slug: &str| {
        let draft = notes.draft("notes", &json!({ "slug": slug }));
        (collection.clone(), draft, ACTOR.to_owned())
    };
    let lent = wait(notes.store.begin(LONG)).unwrap();
    let (a, b, c) = create("dropped");
    lent.store().create(a, b, c).wait().unwrap();
    drop(lent);
    let (a, b, c) = create("between");
    notes.store.create(a, b, c).wait().unwrap();

    let lent = wait(notes.store.begin(Duration::from_millis(300))).unwrap();
    let (a, b, c) = create("late");
    let begun = lent.store().create(a, b, c).wait();
    // Only the end of the other's time lets this through.
    let (a, b, c) = create("after");
    notes.store.create(a, b, c).wait().unwrap();
    let ended = lent.commit().wait();
    assert!(matches!(ended, Err(Error::TransactionEnded)), "{begun:?} {ended:?}");
    let slugs: Vec<_> =
        notes.changes().into_iter().map(|change| change.after.unwrap()["slug"].clone()).collect();
    assert_eq!(slugs, ["between", "after"]);
}

#[test]
fn a_slow_statement_in_a_loan_ends_with_it() {
    let notes = notes();
    for _ in 0..300 {
        notes.create("notes", &json!({})).unwrap();
    }
    let lent = wait(notes.store.begin(Duration::from_millis(200))).unwrap();
    // 300³ rows are far more than the time allows.
    let slow = alyx_core::sql::SqlPredicate::When(alyx_core::sql::SqlExpr {
        text: "(SELECT count(*) FROM notes a, notes b, notes c, notes e) < 0".to_owned(),
        params: Vec::new(),
    });
    let query = notes.query("notes", &[]);
    let answer =
        lent.store().list(notes.collection("notes"), ListQuery { rule: slow.into(), ..query }).wait();
    assert!(matches!(answer, Err(Error::Interrupted | Error::TransactionEnded)), "{answer:?}");
    notes.create("notes", &json!({})).unwrap();
}

#[test]
fn answers_are_kept_with_what_they_answer() {
    let notes = notes();
    let collection = notes.collection("notes");
    let answer = StoredAnswer { request: vec![1, 2], status: 201, body: b"{}".to_vec() };
    let (draft, kept) = (notes.draft("notes", &json!({})), answer.clone());
    wait(notes.store.transact(move |tx| {
        assert_eq!(tx.answer("ada", "k")?, None);
        tx.create(&collection, draft, ACTOR)?;
        tx.keep_answer("ada", "k", &kept)?;
        Ok::<_, Abort<()>>(())
    }))
    .unwrap();
    let notes = notes.reopen();
    let read = |identity: &'static str| {
        wait(notes.store.transact(move |tx| Ok::<_, Abort<()>>(tx.answer(identity, "k")?))).unwrap()
    };
    assert_eq!(read("ada"), Some(answer));
    assert_eq!(read("bob"), None);
    assert_eq!(notes.store.trim_answers(at(NOW)).wait().unwrap(), 0);
    assert_eq!(notes.store.trim_answers(at("2027-01-01T00:00:00Z")).wait().unwrap(), 1);
    assert_eq!(read("ada"), None);
}

const ACCOUNTS: &str = "collections:
  users: {}
  teams:
    fields: { id: { type: id, primary: true, default: auto } }
";

/// A store whose commits tell which accounts they touched.
fn told() -> (TestStore, std::sync::mpsc::Receiver<Option<Vec<String>>>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let store = TestStore::with(ACCOUNTS, |options| {
        options.on_accounts = OnAccounts(std::sync::Arc::new(move |touched| {
            let ids = match touched {
                Touched::Some(ids) => Some(ids.to_vec()),
                Touched::All => None,
            };
            sender.send(ids).unwrap();
        }));
    });
    (store, receiver)
}

#[test]
fn accounts_are_told_of_by_the_commit_whoever_waits_for_it() {
    let (store, told) = told();
    assert_eq!(told.recv_timeout(LONG).unwrap(), None, "a schema may change any");
    let users = store.collection("users");
    let make = |email: &str| {
        let document = store.draft("users", &json!({ "email": email, "role": "user" }));
        store.store.create_account(
            NewAccount { document, password_hash: None },
            PasswordCounts::AtOnce,
            ACTOR.to_owned(),
        )
    };
    let id = store.id("users", &make("ada@example.org").wait().unwrap().document);
    assert_eq!(told.recv_timeout(LONG).unwrap(), Some(vec![id.clone()]));

    // Nobody waits for the end of this one: it is polled once and dropped.
    let (declared, found) = (users.clone(), id.clone());
    let program = move |tx: &mut alyx_store::Transaction<'_, '_>| {
        let before = tx.get(&declared, &found)?.ok_or(Error::NotFound)?;
        let mut after = before.clone();
        let (role, _) = declared.field("role").unwrap();
        after.values[role] = alyx_core::value::Value::Text("admin".to_owned());
        tx.replace(&declared, &before, after, ACTOR)?;
        Ok::<_, Abort<()>>(())
    };
    {
        let mut running = std::pin::pin!(store.store.transact(program.clone()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _gone = running.as_mut().poll(&mut context);
    }
    assert_eq!(told.recv_timeout(LONG).unwrap(), Some(vec![id.clone()]));
    drop(store.store.end_user_sessions(&id));
    assert_eq!(told.recv_timeout(LONG).unwrap(), Some(vec![id.clone()]));

    // What is undone is not told of, nor what touches no account.
    let refused = wait(store.store.transact(move |tx| {
        program(tx).map_err(|_| Abort::Refused("failed"))?;
        Err::<(), _>(Abort::Refused("no"))
    }));
    assert!(matches!(refused, Err(Abort::Refused("no"))), "{refused:?}");
    store.create("teams", &json!({})).unwrap();
    assert!(told.try_recv().is_err());

    // A loan tells once it is committed, and of nothing if it is not.
    for commits in [false, true] {
        let lent = wait(store.store.begin(LONG)).unwrap();
        lent.store().end_user_sessions(&id).wait().unwrap();
        assert!(told.try_recv().is_err(), "before the commit");
        if commits {
            lent.commit().wait().unwrap();
            assert_eq!(told.try_recv().unwrap(), Some(vec![id.clone()]), "before the answer");
        } else {
            drop(lent);
            store.create("teams", &json!({})).unwrap();
            assert!(told.try_recv().is_err(), "after a rollback");
        }
    }
}

#[test]
fn the_changes_of_a_loan_are_one_transaction_in_order() {
    let notes = notes();
    let collection = notes.collection("notes");
    let create = |store: &Store, slug: &str| {
        let draft = notes.draft("notes", &json!({ "slug": slug }));
        store.create(collection.clone(), draft, ACTOR.to_owned()).wait()
    };
    create(&notes.store, "before").unwrap();
    let lent = wait(notes.store.begin(LONG)).unwrap();
    // Its first step is undone after it had written, with the change it recorded.
    let (declared, draft) = (collection.clone(), notes.draft("notes", &json!({ "slug": "undone" })));
    let refused = wait(lent.store().transact(move |tx| {
        tx.create(&declared, draft, ACTOR)?;
        Err::<(), _>(Abort::Refused(()))
    }));
    assert!(matches!(refused, Err(Abort::Refused(()))), "{refused:?}");
    for slug in ["a", "b"] {
        create(lent.store(), slug).unwrap();
    }
    assert!(create(lent.store(), "a").is_err(), "a refused step in between");
    create(lent.store(), "c").unwrap();
    let seen = notes.store.changes(Since::Start, Vec::new(), 100).wait().unwrap();
    assert_eq!(seen.rows.len(), 1, "nothing before the commit");
    lent.commit().wait().unwrap();
    create(&notes.store, "after").unwrap();

    let page = notes.store.changes(Since::Start, Vec::new(), 100).wait().unwrap();
    let found: Vec<_> = page
        .rows
        .iter()
        .map(|row| {
            let after: serde_json::Value = serde_json::from_str(row.after.as_deref().unwrap()).unwrap();
            (after["slug"].as_str().unwrap().to_owned(), row.seq, row.first_seq)
        })
        .collect();
    let slugs: Vec<_> = found.iter().map(|(slug, ..)| slug.as_str()).collect();
    assert_eq!(slugs, ["before", "a", "b", "c", "after"]);
    let first = found[1].1;
    assert!(found[1..4].iter().all(|(_, _, first_seq)| *first_seq == first), "one transaction: {found:?}");
    assert!(found[0].1 < first && found[4].1 == found[4].2 && found[4].2 > first, "{found:?}");
    // A page holds it whole or not at all.
    let page = notes.store.changes(Since::Start, Vec::new(), 2).wait().unwrap();
    assert_eq!((page.rows.len(), page.at_end), (4, false));
    assert_eq!(page.next.seq, found[3].1);
}
