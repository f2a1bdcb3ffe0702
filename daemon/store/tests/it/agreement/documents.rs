//! Documents with the values at which queries go wrong.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::memory::Row;

/// The letters that `LIKE`, SQL, JSON and the spelling of a filter give a meaning; texts that differ only
/// by what some systems take for equal.
pub const TEXTS: [&str; 28] = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "b",
    "é",
    "É",
    "e\u{301}",
    "😀",
    "a%",
    "_",
    "%",
    "\\",
    "a\\b",
    "a_b",
    "1",
    "10",
    "01",
    "true",
    "null",
    "o'x",
    "\"q\"",
    "\u{212a}",
    "k",
    ":a,b",
    "\u{e000}",
    "\u{10ffff}",
];
pub const WORDS: [&str; 16] = [
    "tea",
    "Tea",
    "TEA",
    "teapot",
    "café",
    "cafe\u{301}",
    "CAFE",
    "green-tea",
    "x1",
    "42",
    "naïve",
    "中文",
    "AND",
    "o'clock",
    "re\u{301}sume\u{301}",
    "हिन्दी",
];
pub const INTS: [i64; 11] =
    [0, 1, -1, 2, 3, 10, 42, i64::MAX, i64::MIN, 9_007_199_254_740_993, 9_007_199_254_740_992];
pub const FLOATS: [f64; 11] = [
    0.0,
    -0.0,
    1.0,
    1.5,
    -2.5,
    10.0,
    9_007_199_254_740_992.0,
    1e300,
    -1e300,
    5e-324,
    9_223_372_036_854_775_807.0,
];
pub const TIMES: [&str; 6] = [
    "0001-01-01T00:00:00.000000Z",
    "1969-12-31T23:59:59.999999Z",
    "2026-01-01T00:00:00.000000Z",
    "2026-01-01T00:00:00.000001Z",
    "2026-01-01T02:00:00.000000Z",
    "9999-12-31T23:59:59.999999Z",
];
pub const DATES: [&str; 4] = ["0001-01-01", "2024-02-29", "2026-01-01", "9999-12-31"];
pub const CHOICES: [&str; 4] = ["draft", "published", "a,b", "é"];
pub const EMAILS: [&str; 3] = ["ada@example.org", "bob@example.org", "o_x%@example.org"];
pub const JSONS: [&str; 36] = [
    "true",
    "false",
    "0",
    "1",
    "1.0",
    "1.5",
    "\"1\"",
    "\"a\"",
    "\"A%\"",
    "\"\\u00e9\"",
    "[]",
    "{}",
    "[1,\"a\",true,null,[1]]",
    "[\"tea\",\"Tea\"]",
    "[1.0,9007199254740993]",
    "{\"k\":1}",
    "{\"k\":\"1\",\"l\":[\"1\",\"a\",\"true\"]}",
    "{\"k\":\"true\",\"l\":[\"a\"]}",
    "{\"k\":\"a\",\"l\":[1,2,{\"m\":\"x\"}]}",
    "{\"k\":null}",
    "{\"0\":\"key\"}",
    "{\"k\":{\"l\":9223372036854775807}}",
    "{\"k\":9223372036854775808}",
    "{\"é\":\"x\"}",
    "{\"\\u00e9\":\"y\"}",
    "{\"a b\":1.0}",
    "{\"k\":-0.0}",
    "{\"k\":1e2}",
    "{\"k\":9007199254740993}",
    "{\"k\":9007199254740992.0}",
    "{\"$\":1}",
    "{\"k\":true,\"l\":\"true\"}",
    "{\"a/b\":1,\"[0]\":2}",
    "{\"a\\/b\":\"1\"}",
    "{\"k\":[\"ab\",\"%\"]}",
    "{\"k\":\"10\",\"l\":[[\"deep\"]]}",
];
/// Paths into those.
pub const INSIDE: [&str; 17] = [
    "k", "l", "l.0", "l.2.m", "0", "1", "é", "a b", "$", "a/b", "[0]", "4.0", "nope", "k.l", "k.0", "l.0.0",
    "3",
];

pub type Holds = fn(&Row) -> bool;

/// List rules of the items, and what they say.
pub const RULES: [(&str, Holds); 3] = [
    ("true", |_| true),
    ("doc.b == true || doc.n == null", |row| row.body["b"] == true || row.body["n"].is_null()),
    ("doc.n != 1 && doc.id != 'i03'", |row| row.body["n"] != 1 && row.body["id"] != "i03"),
];

/// xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Clone>(&mut self, pool: &[T]) -> T {
        pool[self.below(pool.len())].clone()
    }
}

pub fn schema(rule: &str) -> String {
    format!(
        "collections:
  people:
    fields:
      id: {{ type: string, primary: true }}
      name: {{ type: string, nullable: true }}
      age: {{ type: int, nullable: true }}
      shown: {{ type: bool }}
      boss: {{ type: relation, relation: {{ collection: people, onDelete: set_null }}, nullable: true }}
      info: {{ type: json, nullable: true }}
    rules: {{ read: \"doc.shown\" }}
  items:
    fields:
      id: {{ type: string, primary: true }}
      s: {{ type: string, nullable: true, index: true, search: true }}
      t: {{ type: text, nullable: true, search: true }}
      n: {{ type: int, nullable: true, index: true }}
      f: {{ type: float, nullable: true }}
      b: {{ type: bool, nullable: true }}
      at: {{ type: timestamp, nullable: true }}
      d: {{ type: date, nullable: true }}
      j: {{ type: json, nullable: true }}
      sel: {{ type: select, nullable: true, select: {{ values: [draft, published, \"a,b\", é] }} }}
      many: {{ type: select, nullable: true, select: {{ values: [draft, published, \"a,b\", é], maxSelect: 4 }} }}
      who: {{ type: relation, relation: {{ collection: people, onDelete: set_null }}, nullable: true }}
      e: {{ type: email, nullable: true }}
    indexes:
      - {{ name: by_d_n, fields: [d, n], order: desc }}
    rules: {{ read: \"{rule}\" }}
"
    )
}

/// The documents of both collections, by id.
pub struct World {
    pub people: BTreeMap<String, Row>,
    pub items: BTreeMap<String, Row>,
    /// What the list rule of the items says.
    pub shown: Holds,
}

impl World {
    pub fn random(random: &mut Random, rule: usize) -> Self {
        let people = (0..8).map(|number| {
            let id = format!("p{number}");
            let mut body = Map::new();
            body.insert("id".to_owned(), json!(id));
            body.insert("shown".to_owned(), json!(!random.one_in(4)));
            body.insert("name".to_owned(), text(random));
            body.insert("age".to_owned(), int(random));
            let boss = (number > 0 && !random.one_in(4)).then(|| format!("p{}", random.below(number)));
            body.insert("boss".to_owned(), json!(boss));
            (id, Row::new(Json::Object(body), "info", anything(random)))
        });
        let people = people.collect();
        let items = (0..30).map(|number| {
            let id = format!("i{number:02}");
            let row = item(random, &id);
            (id, row)
        });
        Self { people, items: items.collect(), shown: RULES[rule].1 }
    }
}

/// One document of `items`.
pub fn item(random: &mut Random, id: &str) -> Row {
    let or_null = |random: &mut Random, value: Json| if random.one_in(5) { Json::Null } else { value };
    let many: Vec<&str> = CHOICES.into_iter().filter(|_| random.one_in(2)).collect();
    let words: Vec<&str> = (0..random.below(5)).map(|_| random.pick(&WORDS)).collect();
    let who = format!("p{}", random.below(8));
    let float = random.pick(&FLOATS);
    let flag = random.one_in(2);
    let (at, day, choice, email) =
        (random.pick(&TIMES), random.pick(&DATES), random.pick(&CHOICES), random.pick(&EMAILS));
    let body = json!({
        "id": id,
        "s": text(random),
        "t": or_null(random, json!(words.join(" "))),
        "n": int(random),
        "f": or_null(random, json!(float)),
        "b": or_null(random, json!(flag)),
        "at": or_null(random, json!(at)),
        "d": or_null(random, json!(day)),
        "sel": or_null(random, json!(choice)),
        "many": or_null(random, json!(many)),
        "who": or_null(random, json!(who)),
        "e": or_null(random, json!(email)),
    });
    Row::new(body, "j", anything(random))
}

fn text(random: &mut Random) -> Json {
    if random.one_in(5) { Json::Null } else { json!(random.pick(&TEXTS)) }
}

fn int(random: &mut Random) -> Json {
    if random.one_in(5) { Json::Null } else { json!(random.pick(&INTS)) }
}

fn anything(random: &mut Random) -> &'static str {
    if random.one_in(6) { "null" } else { random.pick(&JSONS) }
}
