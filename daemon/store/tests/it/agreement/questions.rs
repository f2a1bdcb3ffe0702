//! Random questions: their meaning, and the two spellings of their filters.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::documents::{CHOICES, DATES, EMAILS, FLOATS, INSIDE, INTS, Random, TEXTS, TIMES, WORDS, World};
use super::memory::{Condition, Found, Operand, Row, find, matches, sorted};

/// A list to be asked for.
pub struct Question {
    pub params: Vec<(String, String)>,
    /// Whether the order is left to how well documents match.
    pub by_rank: bool,
    conditions: Vec<Condition>,
    search: Option<Vec<(String, bool)>>,
    /// Path, and whether it is descending.
    sort: Vec<(String, bool)>,
}

/// Paths that have an order, for `sort`.
const SORTED: [&str; 13] =
    ["s", "t", "n", "f", "b", "at", "d", "sel", "who", "e", "who.name", "who.boss.age", "id"];

impl Question {
    fn holds(&self, world: &World, row: &Row) -> bool {
        (world.shown)(row)
            && self.conditions.iter().all(|condition| condition.holds(world, row))
            && self.search.as_ref().is_none_or(|terms| matches(row, terms))
    }

    /// The ids, in order.
    pub fn answer(&self, world: &World) -> Vec<String> {
        let mut rows: Vec<(&String, &Row)> =
            world.items.iter().filter(|(_, row)| self.holds(world, row)).collect();
        let value = |row: &Row, path: &str| match find(world, row, path) {
            Found::Field(value) => value,
            Found::Inside(_) => unreachable!("it has no order"),
        };
        rows.sort_by(|a, b| {
            let by = |path: &str, descending: bool| {
                let order = sorted(&value(a.1, path), &value(b.1, path));
                if descending { order.reverse() } else { order }
            };
            let last = self.sort.last().is_some_and(|(_, descending)| *descending);
            self.sort
                .iter()
                .fold(Ordering::Equal, |order, (path, descending)| order.then_with(|| by(path, *descending)))
                .then_with(|| by("id", last))
        });
        rows.into_iter().map(|(id, _)| id.clone()).collect()
    }
}

pub fn question(random: &mut Random) -> Question {
    let mut params = Vec::new();
    let conditions = conditions(random, &mut params);
    let search = random.one_in(6).then(|| search(random, &mut params));
    let mut sort: Vec<(String, bool)> = Vec::new();
    for _ in 0..random.below(4) {
        let path = random.pick(&SORTED);
        if sort.iter().all(|(other, _)| other != path) {
            sort.push((path.to_owned(), random.one_in(2)));
        }
    }
    if !sort.is_empty() {
        let keys: Vec<String> =
            sort.iter().map(|(path, down)| format!("{}{path}", if *down { "-" } else { "" })).collect();
        params.push(("sort".to_owned(), keys.join(",")));
    }
    let by_rank = search.is_some() && sort.is_empty();
    Question { params, by_rank, conditions, search, sort }
}

/// Up to two filters and a `where`.
fn conditions(random: &mut Random, params: &mut Vec<(String, String)>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for _ in 0..[0, 0, 1, 1, 2][random.below(5)] {
        let condition = test(random);
        params.push(("filter".to_owned(), spelled(&condition)));
        conditions.push(condition);
    }
    if random.one_in(2) {
        let depth = random.below(4);
        let condition = condition(random, depth);
        params.push(("where".to_owned(), written(&condition, random)));
        conditions.push(condition);
    }
    conditions
}

fn condition(random: &mut Random, depth: usize) -> Condition {
    if depth == 0 {
        return test(random);
    }
    let several = |random: &mut Random| (0..random.below(4)).map(|_| condition(random, depth - 1)).collect();
    match random.below(4) {
        0 => Condition::All(several(random)),
        1 => Condition::Any(several(random)),
        2 => Condition::Not(Box::new(condition(random, depth - 1))),
        _ => test(random),
    }
}

fn test(random: &mut Random) -> Condition {
    const EQUAL: &[&str] = &["eq", "ne", "in", "nin"];
    const ORDER: &[&str] = &["gt", "gte", "lt", "lte"];
    const PARTS: &[&str] = &["like", "contains", "starts"];
    const NULL: &[&str] = &["is_null", "not_null"];
    let path = random.pick(&[
        "id",
        "s",
        "t",
        "n",
        "n",
        "f",
        "b",
        "at",
        "d",
        "j",
        "j.",
        "j.",
        "j.",
        "sel",
        "many",
        "who",
        "e",
        "who.name",
        "who.age",
        "who.boss.name",
        "who.boss.boss.age",
        "who.info.",
        "who.boss",
    ]);
    let groups: &[&[&str]] = match path {
        "b" => &[EQUAL, NULL],
        "n" | "f" | "who.age" | "who.boss.boss.age" => &[EQUAL, ORDER, ORDER, NULL],
        "j" | "many" => &[&["contains"], &["contains"], NULL],
        _ => &[EQUAL, ORDER, PARTS, NULL],
    };
    let group = random.pick(groups);
    let operator = random.pick(group);
    let count = match operator {
        "is_null" | "not_null" => 0,
        "in" | "nin" => random.below(5),
        _ => 1,
    };
    let part = group.as_ptr() == PARTS.as_ptr();
    let order = group.as_ptr() == ORDER.as_ptr();
    let operands = (0..count).map(|_| operand(random, path, operator, part, order)).collect();
    let inside = if path.ends_with('.') { random.pick(&INSIDE) } else { "" };
    Condition::Test { path: format!("{path}{inside}"), operator, operands }
}

fn operand(random: &mut Random, path: &str, operator: &str, part: bool, order: bool) -> Operand {
    let text = |text: &str| Operand::Text(text.to_owned());
    match path {
        "b" => Operand::Bool(random.one_in(2)),
        "n" | "who.age" | "who.boss.boss.age" => {
            let number = random.pick(&INTS);
            // Other spellings of the same number.
            let spelling = if random.one_in(5) { format!("{number}.0") } else { number.to_string() };
            Operand::Number(if number == 10 && random.one_in(2) { "1e1".to_owned() } else { spelling })
        }
        "f" => Operand::Number(serde_json::to_string(&random.pick(&FLOATS)).unwrap()),
        "many" => text(random.pick(&CHOICES)),
        "sel" if !part => text(random.pick(&CHOICES)),
        "at" if !part => text(random.pick(&TIMES)),
        "d" if !part => text(random.pick(&DATES)),
        "e" if !part => text(random.pick(&EMAILS)),
        "id" => text(random.pick(&["i00", "i07", "i15", "i3", "I07", "0"])),
        "who" | "who.boss" => text(random.pick(&["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "P7"])),
        "j" | "j." | "who.info." if !part || operator == "contains" => match random.below(4) {
            0 if !order => Operand::Bool(random.one_in(2)),
            1 => Operand::Number(random.pick(&INTS).to_string()),
            2 => Operand::Number(serde_json::to_string(&random.pick(&FLOATS)).unwrap()),
            _ => text(random.pick(&["a", "A", "1", "true", "tea", "x", "key", "é", "A%", "%", "deep", ""])),
        },
        "at" | "d" => text(random.pick(&["2026%", "%-01-01%", "2026-01-01", "-", "_026"])),
        "sel" | "e" => text(random.pick(&["a", "DRAFT", "%e%", "@", "_x%", ",", "é"])),
        _ if operator == "like" && random.one_in(2) => {
            let (a, b) = (random.pick(&TEXTS), random.pick(&TEXTS));
            Operand::Text(format!("{a}{}{b}", random.pick(&["%", "_", "\\%", "%%", "\\"])))
        }
        _ => text(random.pick(&TEXTS)),
    }
}

/// `field:op:value`.
fn spelled(condition: &Condition) -> String {
    let Condition::Test { path, operator, operands } = condition else { unreachable!("a test") };
    // Behind a json field a bare text might be a number.
    let json = path.starts_with('j') || path.contains("info");
    let one = |operand: &Operand, quote: bool| match operand {
        Operand::Text(text) if quote => Json::from(text.as_str()).to_string(),
        Operand::Text(text) => text.clone(),
        Operand::Number(number) => number.clone(),
        Operand::Bool(value) => value.to_string(),
    };
    let plain = |operator: &str| matches!(operator, "like" | "starts");
    match *operator {
        "is_null" | "not_null" => format!("{path}:{operator}"),
        "in" | "nin" => {
            let items: Vec<String> = operands.iter().map(|operand| one(operand, true)).collect();
            format!("{path}:{operator}:[{}]", items.join(","))
        }
        _ => format!("{path}:{operator}:{}", one(&operands[0], json && !plain(operator))),
    }
}

/// As a member of an object for `where`.
fn written(condition: &Condition, random: &mut Random) -> String {
    let mut list = |all: &[Condition]| {
        let all: Vec<String> = all.iter().map(|one| written(one, random)).collect();
        format!("[{}]", all.join(","))
    };
    match condition {
        Condition::All(all) => format!("{{\"$and\":{}}}", list(all)),
        Condition::Any(any) => format!("{{\"$or\":{}}}", list(any)),
        Condition::Not(one) => format!("{{\"$not\":{}}}", written(one, random)),
        Condition::Test { path, operator, operands } => {
            let path = Json::from(path.as_str());
            let value = |operand: &Operand| match operand {
                Operand::Text(text) => Json::from(text.as_str()).to_string(),
                Operand::Number(number) => number.clone(),
                Operand::Bool(value) => value.to_string(),
            };
            match (*operator, random.below(3)) {
                ("is_null", 0) => format!("{{{path}:null}}"),
                ("is_null", _) => format!("{{{path}:{{\"$null\":true}}}}"),
                ("not_null", 0) => format!("{{{path}:{{\"$ne\":null}}}}"),
                ("not_null", _) => format!("{{{path}:{{\"$null\":false}}}}"),
                ("eq", 0) => format!("{{{path}:{}}}", value(&operands[0])),
                ("in" | "nin", _) => {
                    let items: Vec<String> = operands.iter().map(value).collect();
                    format!("{{{path}:{{\"${operator}\":[{}]}}}}", items.join(","))
                }
                _ => format!("{{{path}:{{\"${operator}\":{}}}}}", value(&operands[0])),
            }
        }
    }
}

/// Words, phrases and beginnings of words.
fn search(random: &mut Random, params: &mut Vec<(String, String)>) -> Vec<(String, bool)> {
    let mut terms = Vec::new();
    let mut text = Vec::new();
    for _ in 0..=random.below(2) {
        let word = random.pick(&WORDS);
        match random.below(4) {
            0 => {
                let phrase = format!("{word} {}", random.pick(&WORDS));
                text.push(format!("\"{phrase}\""));
                terms.push((phrase, false));
            }
            1 => {
                let start: String = word.chars().take(1 + random.below(3)).collect();
                text.push(format!("{start}*"));
                terms.push((start, true));
            }
            _ => {
                text.push(word.to_owned());
                terms.push((word.to_owned(), false));
            }
        }
    }
    params.push(("search".to_owned(), text.join(" ")));
    terms
}

/// A calculation to be asked for.
pub struct Calculation {
    pub params: Vec<(String, String)>,
    asked: Question,
    group: Vec<&'static str>,
    values: Vec<(&'static str, &'static str)>,
}

pub fn calculation(random: &mut Random) -> Calculation {
    let mut asked = question(random);
    asked.params.retain(|(name, _)| name != "sort");
    let mut params = asked.params.clone();
    let mut group: Vec<&str> = Vec::new();
    for _ in 0..random.below(3) {
        let field = random.pick(&["b", "sel", "n", "s", "who", "d", "f"]);
        if !group.contains(&field) {
            group.push(field);
        }
    }
    if !group.is_empty() {
        params.push(("group".to_owned(), group.join(",")));
    }
    let mut values = Vec::new();
    for function in ["sum", "avg", "min", "max"] {
        let fields: &[&str] = match function {
            "sum" | "avg" => &["n", "f"],
            _ => &["n", "f", "s", "at", "b", "d", "who", "id"],
        };
        let wanted: Vec<&str> = fields.iter().copied().filter(|_| random.one_in(4)).collect();
        if !wanted.is_empty() {
            params.push((function.to_owned(), wanted.join(",")));
            values.extend(wanted.into_iter().map(|field| (function, field)));
        }
    }
    params.push(("count".to_owned(), "true".to_owned()));
    params.push(("limit".to_owned(), "1000".to_owned()));
    Calculation { params, asked, group, values }
}

type Members = BTreeMap<String, Box<RawValue>>;

impl Calculation {
    /// Holds the answer, a JSON array, against memory.
    pub fn compare(&self, world: &World, answer: &str) {
        let answer: Vec<Members> = serde_json::from_str(answer).unwrap();
        let rows: Vec<&Row> = world.items.values().filter(|row| self.asked.holds(world, row)).collect();
        let key =
            |row: &Row| -> Vec<Json> { self.group.iter().map(|name| row.body[*name].clone()).collect() };
        let order = |a: &[Json], b: &[Json]| {
            a.iter().zip(b).fold(Ordering::Equal, |order, (a, b)| order.then_with(|| sorted(a, b)))
        };
        let mut groups: Vec<(Vec<Json>, Vec<&Row>)> = Vec::new();
        for row in rows {
            match groups.iter_mut().find(|(known, _)| order(known, &key(row)).is_eq()) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((key(row), vec![row])),
            }
        }
        if groups.is_empty() && self.group.is_empty() {
            groups.push((Vec::new(), Vec::new()));
        }
        groups.sort_by(|a, b| order(&a.0, &b.0));
        assert_eq!(answer.len(), groups.len(), "{:?}", self.params);
        for (found, (key, rows)) in answer.iter().zip(&groups) {
            let names: Members = serde_json::from_str(found["group"].get()).unwrap();
            for (name, value) in self.group.iter().zip(key) {
                let found: Json = serde_json::from_str(names[*name].get()).unwrap();
                assert!(sorted(&found, value).is_eq(), "{found} {value} {:?}", self.params);
            }
            assert_eq!(found["count"].get(), rows.len().to_string(), "{:?}", self.params);
            for (function, field) in &self.values {
                let values: Members = serde_json::from_str(found[*function].get()).unwrap();
                self.value(function, field, rows, values[*field].get());
            }
        }
    }

    fn value(&self, function: &str, field: &str, rows: &[&Row], found: &str) {
        let values: Vec<&Json> = rows.iter().map(|row| &row.body[field]).filter(|v| !v.is_null()).collect();
        let told = || format!("{function} of {field}: {found} {:?} of {values:?}", self.params);
        if matches!(function, "min" | "max") {
            let found: Json = serde_json::from_str(found).unwrap();
            let by = |a: &&&Json, b: &&&Json| sorted(a, b);
            let best = if function == "min" { values.iter().min_by(by) } else { values.iter().max_by(by) };
            assert!(sorted(&found, best.copied().unwrap_or(&Json::Null)).is_eq(), "{}", told());
        } else if function == "sum" && field == "n" {
            let sum: i128 = values.iter().map(|value| i128::from(value.as_i64().unwrap())).sum();
            assert_eq!(found, sum.to_string(), "{}", told());
        } else {
            let doubles: Vec<f64> = values.iter().map(|value| value.as_f64().unwrap()).collect();
            let largest = doubles.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            let sum: f64 = doubles.iter().sum();
            let wanted = match (function, doubles.len()) {
                ("sum", _) => Some(sum),
                (_, 0) => None,
                (_, count) => Some(sum / count as f64),
            };
            let found: Option<f64> = serde_json::from_str(found).unwrap();
            let close = |a: f64, b: f64| (a - b).abs() <= largest * doubles.len() as f64 * 1e-13;
            match (found, wanted) {
                (Some(found), Some(wanted)) => assert!(close(found, wanted), "{} {wanted}", told()),
                (found, wanted) => assert_eq!(found, wanted, "{}", told()),
            }
        }
    }
}
