//! Deliveries of others: each is owed once, and known until its time is over.

use std::time::Duration;

use alyx_store::{NewJob, Receipt, Received, Store};
use jiff::Timestamp;

use crate::support::{NOW, TestStore};

fn later(seconds: u64) -> Timestamp {
    NOW.parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

fn job(id: &str) -> NewJob {
    NewJob {
        id: id.to_owned(),
        kind: "inbound",
        target: "shop".to_owned(),
        key: None,
        payload: "{}".to_owned(),
        run_at: None,
    }
}

fn receive(store: &Store, path: &str, keys: &[u8], job: Option<NewJob>) -> Received {
    let keys = keys.iter().map(|key| [*key; 32]).collect();
    store.receive(Receipt { path: path.to_owned(), keys, until: later(60), job }).wait().unwrap()
}

fn jobs(store: &Store) -> Vec<String> {
    let taken = store.take_jobs("inbound", later(1), later(60), 100).wait().unwrap();
    taken.into_iter().map(|job| job.id).collect()
}

#[test]
fn m36_a_delivery_is_owed_once_by_any_of_its_keys() {
    let project = TestStore::new("collections: {}\n");
    let store = &project.store;
    assert_eq!(receive(store, "shop", &[1, 2], Some(job("a"))), Received::New);
    for keys in [&[1, 2][..], &[1], &[2], &[3, 1], &[2, 3]] {
        assert_eq!(receive(store, "shop", keys, Some(job("b"))), Received::Done, "{keys:?}");
    }
    // One that is refused notes nothing, and other paths are others.
    assert_eq!(receive(store, "shop", &[3], Some(job("c"))), Received::New);
    assert_eq!(receive(store, "other", &[1, 2], Some(job("d"))), Received::New);
    let project = project.reopen();
    assert_eq!(receive(&project.store, "shop", &[1], Some(job("e"))), Received::Done);
    assert_eq!(jobs(&project.store), ["a", "c", "d"]);
}

#[test]
fn one_that_somebody_waits_for_is_open_until_it_is_settled_or_nobody_waits() {
    let project = TestStore::new("collections: {}\n");
    let store = &project.store;
    let settle = |key: u8, until| {
        store.settle_receipt("shop".to_owned(), vec![[key; 32]], until).wait().unwrap();
    };
    for key in [1, 2, 3] {
        assert_eq!(receive(store, "shop", &[key], None), Received::New);
        assert_eq!(receive(store, "shop", &[key], None), Received::Open);
    }
    settle(1, Some(later(60)));
    settle(2, None);
    assert_eq!(receive(store, "shop", &[1], None), Received::Done);
    assert_eq!(receive(store, "shop", &[2], None), Received::New);
    // What is done stays done.
    settle(1, None);
    assert_eq!(store.forget_open_receipts().wait().unwrap(), 2);
    assert_eq!(receive(store, "shop", &[1], None), Received::Done);
    assert_eq!(receive(store, "shop", &[3], None), Received::New);
}

#[test]
fn what_is_over_is_not_known_and_removed() {
    let project = TestStore::new("collections: {}\n");
    let store = &project.store;
    let at = |key: u8, until| Receipt {
        path: "shop".to_owned(),
        keys: vec![[key; 32]],
        until,
        job: Some(job(&format!("{key}-{until}"))),
    };
    let receive = |key, until| store.receive(at(key, until)).wait().unwrap();
    assert_eq!(receive(1, later(0)), Received::New);
    assert_eq!(receive(1, later(1)), Received::New, "until that moment, and not longer");
    assert_eq!(receive(1, later(9)), Received::Done);
    assert_eq!(receive(2, later(2)), Received::New);
    assert_eq!(store.trim_receipts(later(2)).wait().unwrap(), 1);
    assert_eq!(store.trim_receipts(later(2)).wait().unwrap(), 0);
    assert_eq!(receive(1, later(9)), Received::New);
    assert_eq!(receive(2, later(9)), Received::Done);
}
