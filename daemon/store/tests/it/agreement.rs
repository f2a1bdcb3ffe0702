//! The query builder against memory: for random documents and random questions, what SQLite answers is
//! what plain code over the same documents says by the words of `docs/queries.md`.
//!
//! Filters in both spellings, relations with a list rule on the way, paths inside JSON, search, sort,
//! cursors, offsets, counts and calculations. `ALYX_LONG=1` asks a hundred thousand questions instead
//! of a few thousand.

mod documents;
mod memory;
mod questions;

use alyx_core::catalog::Catalog;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::{QueryError, Reading, encode_cursor, parse_aggregate, parse_list};
use alyx_store::ListPage;

use self::documents::{RULES, Random, World, item};
use self::memory::Row;
use self::questions::{Question, calculation, question};
use crate::support::{ACTOR, TestStore, draft_text, pluck};

/// Questions about each set of documents.
const QUESTIONS: usize = 100;

fn rounds() -> u64 {
    if std::env::var_os("ALYX_LONG").is_some() { 1_000 } else { 30 }
}

/// A store with the documents of a world, as an anonymous caller reads it.
struct Asked {
    world: World,
    store: TestStore,
    catalog: Catalog,
}

impl Asked {
    fn new(random: &mut Random) -> Self {
        let rule = random.below(RULES.len());
        let store = TestStore::new(&documents::schema(RULES[rule].0));
        let catalog = Catalog::build("schema.yaml", store.schema.clone()).unwrap();
        let world = World::random(random, rule);
        // Nobody's superior comes after them, so each can be made when the other is there.
        for (name, bodies) in [("people", &world.people), ("items", &world.items)] {
            let collection = store.collection(name);
            let write = |row: &Row| {
                store.store.create(collection.clone(), draft_text(&collection, &row.text), ACTOR.to_owned())
            };
            let answers: Vec<_> = bodies.values().map(write).collect();
            answers.into_iter().for_each(|answer| drop(answer.wait().unwrap()));
        }
        Self { world, store, catalog }
    }

    fn create(&self, row: &Row) {
        let collection = self.store.collection("items");
        let draft = draft_text(&collection, &row.text);
        self.store.store.create(collection, draft, ACTOR.to_owned()).wait().unwrap();
    }

    fn list(&self, params: &[(String, String)]) -> Result<(ListPage, Option<String>), QueryError> {
        let facts = RequestFacts::default();
        let reading = Reading::new(&self.catalog, "items", &Identity::Anonymous, &facts).unwrap();
        let query = parse_list(reading, params)?;
        let page = self.store.store.list(self.store.collection("items"), query.clone()).wait().unwrap();
        let cursor = page.last.as_ref().map(|last| encode_cursor(&query, last));
        Ok((page, cursor))
    }

    /// All pages of a list, with something done between them.
    fn walk(&self, question: &Question, limit: usize, mut between: impl FnMut(&Self)) -> Vec<String> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut params = question.params.clone();
            params.push(("limit".to_owned(), limit.to_string()));
            params.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let (page, next) = self.list(&params).unwrap_or_else(|error| panic!("{error}\n{params:?}"));
            assert!(page.count <= limit && (next.is_none() || page.count == limit), "{params:?}");
            found.extend(ids(&page));
            let Some(next) = next else { return found };
            cursor = Some(next);
            between(self);
        }
    }

    fn check(&self, question: &Question, random: &mut Random) {
        let expected = question.answer(&self.world);
        let limit = random.pick(&[1, 2, 3, 7, 100]);
        let mut found = self.walk(question, limit, |_| {});
        let mut wanted = expected.clone();
        if question.by_rank {
            found.sort();
            wanted.sort();
        }
        assert_eq!(found, wanted, "{:?}", question.params);

        let offset = random.below(8);
        let mut params = question.params.clone();
        params.push(("offset".to_owned(), offset.to_string()));
        params.push(("limit".to_owned(), "5".to_owned()));
        params.push(("count".to_owned(), "true".to_owned()));
        let (page, _) = self.list(&params).unwrap();
        assert_eq!(page.total, Some(expected.len() as u64), "{params:?}");
        let wanted: Vec<_> = expected.into_iter().skip(offset).take(5).collect();
        match question.by_rank {
            true => assert_eq!(page.count, wanted.len(), "{params:?}"),
            false => assert_eq!(ids(&page), wanted, "{params:?}"),
        }
    }

    fn check_calculation(&self, random: &mut Random) {
        let asked = calculation(random);
        let facts = RequestFacts::default();
        let reading = Reading::new(&self.catalog, "items", &Identity::Anonymous, &facts).unwrap();
        let query = parse_aggregate(reading, &asked.params).unwrap();
        let page = self.store.store.aggregate(self.store.collection("items"), query).wait().unwrap();
        assert!(!page.more);
        asked.compare(&self.world, std::str::from_utf8(&page.groups_json).unwrap());
    }
}

fn ids(page: &ListPage) -> Vec<String> {
    pluck(page, "id").iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn sql_and_memory_answer_the_same() {
    for round in 0..rounds() {
        let mut random = Random::new(round);
        let asked = Asked::new(&mut random);
        for _ in 0..QUESTIONS {
            if random.one_in(6) {
                asked.check_calculation(&mut random);
            } else {
                let question = question(&mut random);
                asked.check(&question, &mut random);
            }
        }
    }
}

#[test]
fn the_questions_are_neither_all_nor_nothing() {
    let (mut none, mut some, mut all) = (0, 0, 0);
    for round in 0..5 {
        let mut random = Random::new(round);
        let world = World::random(&mut random, 0);
        for _ in 0..400 {
            let count = question(&mut random).answer(&world).len();
            match count {
                0 => none += 1,
                _ if count == world.items.len() => all += 1,
                _ => some += 1,
            }
        }
    }
    assert!(some > 600 && none < 1_000 && all < 1_000, "{none} none, {some} some, {all} all");
}

#[test]
fn pages_are_whole_while_documents_come_and_go() {
    for round in 0..rounds().div_ceil(3) {
        let mut random = Random::new(round + 100_000);
        let asked = Asked::new(&mut random);
        for walk in 0..5 {
            let mut question = question(&mut random);
            while question.by_rank {
                question = questions::question(&mut random);
            }
            let before = question.answer(&asked.world);
            let mut gone = Vec::new();
            let mut number = 0;
            let limit = random.pick(&[1, 2, 5]);
            let found = asked.walk(&question, limit, |asked| {
                number += 1;
                let id = format!("n{walk}-{number}");
                let new = item(&mut random, &id);
                asked.create(&new);
                if random.one_in(3) {
                    let old = random.pick(&asked.world.items.keys().collect::<Vec<_>>()).clone();
                    if asked.store.get("items", &old).is_some() {
                        asked.store.delete("items", &old).unwrap();
                        gone.push(old);
                    }
                }
            });
            let mut once = found.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), found.len(), "one is told twice: {:?}", question.params);
            let stayed = |id: &&String| before.contains(id) && !gone.contains(id);
            let seen: Vec<_> = found.iter().filter(stayed).collect();
            let wanted: Vec<_> = before.iter().filter(stayed).collect();
            assert_eq!(seen, wanted, "{:?}", question.params);
            restore(&asked, &gone, number, walk);
        }
    }
}

/// Brings back what a walk took away, and takes away what it brought.
fn restore(asked: &Asked, gone: &[String], number: usize, walk: usize) {
    for id in gone {
        asked.create(&asked.world.items[id]);
    }
    for number in 1..=number {
        asked.store.delete("items", &format!("n{walk}-{number}")).unwrap();
    }
}
