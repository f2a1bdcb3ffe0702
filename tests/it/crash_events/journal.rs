//! What was tried, what is committed and what came of it, and what of that must not be.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// How a write ended for whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Acknowledged,
    /// The server said no: it was taken back.
    Refused,
    /// There was no answer, or one that promises nothing.
    Unknown,
}

/// One run of a function, or one request to a receiver.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Who was told: a hook, a webhook or a schedule.
    pub of: String,
    /// Of what, as it stands among what is committed.
    pub key: String,
    /// The id that it came under.
    pub id: String,
    /// Which try it was, where that is told.
    pub attempt: Option<u64>,
    /// Whether it went well.
    pub good: bool,
    /// When. Microseconds since 1970.
    pub at: i64,
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Writes, as `create ID N`, `update ID N` and `EVENT KEY`.
    pub fates: BTreeMap<String, Fate>,
    /// What the database holds of them, and due moments of schedules, as `SCHEDULE MOMENT`.
    pub committed: Vec<String>,
    pub effects: Vec<Effect>,
    /// Jobs that are kept: whose, id, state.
    pub jobs: Vec<(String, String, String)>,
    /// From when to when the daemon was killed. Microseconds since 1970.
    pub kills: Vec<(i64, i64)>,
    /// Intervals of the schedules. Seconds.
    pub steps: BTreeMap<String, i64>,
}

/// Who is owed what.
pub fn owed(key: &str) -> &'static [&'static str] {
    match key.split(' ').next().unwrap_or_default() {
        "create" | "update" => &["items", "shop"],
        "thing.happened" => &["happened", "twice"],
        "thing.broken" => &["broken"],
        "tick" => &["tick"],
        "queue" => &["queue"],
        _ => &[],
    }
}

impl Journal {
    /// Everything that must not be.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.check_writes(&mut found);
        self.check_effects(&mut found);
        self.check_jobs(&mut found);
        self.check_order(&mut found);
        self.check_schedules(&mut found);
        found
    }

    /// What was acknowledged is there, what was refused is not, and nothing is twice.
    fn check_writes(&self, found: &mut Vec<String>) {
        let committed: BTreeSet<&String> = self.committed.iter().collect();
        if committed.len() != self.committed.len() {
            found.push("something is committed twice".to_owned());
        }
        for (key, fate) in &self.fates {
            match (fate, committed.contains(key)) {
                (Fate::Acknowledged, false) => found.push(format!("{key} was acknowledged and is not there")),
                (Fate::Refused, true) => found.push(format!("{key} was refused and is there")),
                _ => {}
            }
        }
    }

    /// What is committed was told to everybody who is owed it, under one id, and nothing else was told.
    fn check_effects(&self, found: &mut Vec<String>) {
        let committed: BTreeSet<&str> = self.committed.iter().map(String::as_str).collect();
        let mut ids: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut good: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
        let mut tries = BTreeSet::new();
        for effect in &self.effects {
            let (of, key, id) = (effect.of.as_str(), effect.key.as_str(), effect.id.as_str());
            if !committed.contains(key) {
                found.push(format!("{of} was told of {key}, which is not committed"));
            } else if !owed(key).contains(&of) {
                found.push(format!("{of} was told of {key}, which is not for it"));
            }
            ids.entry((of, key)).or_default().insert(id);
            keys.entry(id).or_default().insert(key);
            if effect.good {
                good.entry((of, key)).or_default().push(effect.at);
            }
            if effect.attempt.is_some_and(|attempt| !tries.insert((id, attempt))) {
                found.push(format!("{of} was told of {key} twice in one attempt"));
            }
        }
        for (key, of) in committed.iter().flat_map(|key| owed(key).iter().map(move |of| (*key, *of))) {
            if !good.contains_key(&(of, key)) {
                found.push(format!("{of} was never told of {key}"));
            }
        }
        for ((of, key), ids) in ids.iter().filter(|(_, ids)| ids.len() > 1) {
            found.push(format!("{of} was told of {key} under several ids: {ids:?}"));
        }
        for (id, keys) in keys.iter().filter(|(_, keys)| keys.len() > 1) {
            found.push(format!("the id {id} stands for {keys:?}"));
        }
        for ((of, key), mut times) in good {
            times.sort_unstable();
            let apart = |pair: &[i64]| {
                let [first, second] = *pair else { return true };
                self.kills.iter().any(|(from, to)| *to >= first && *from <= second)
            };
            if !times.windows(2).all(apart) {
                found.push(format!("{of} was told of {key} again though nothing was interrupted"));
            }
        }
    }

    /// Every job has come to its good end, and there is one for each that was told.
    fn check_jobs(&self, found: &mut Vec<String>) {
        let told: BTreeSet<(&str, &str)> =
            self.effects.iter().map(|effect| (effect.of.as_str(), effect.id.as_str())).collect();
        for (of, id, state) in &self.jobs {
            if state != "done" {
                found.push(format!("job {id} of {of} is {state}"));
            }
            if !told.contains(&(of, id)) {
                found.push(format!("job {id} of {of} told nothing"));
            }
        }
        if told.len() != self.jobs.len() {
            found.push(format!("{} were told something, by {} jobs", told.len(), self.jobs.len()));
        }
    }

    /// Hooks hear of the changes of one document in their order.
    fn check_order(&self, found: &mut Vec<String>) {
        let mut known: BTreeMap<&str, u64> = BTreeMap::new();
        let mut hooks: Vec<&Effect> = self.effects.iter().filter(|effect| effect.of == "items").collect();
        hooks.sort_by_key(|effect| effect.at);
        for effect in hooks {
            let mut words = effect.key.split(' ').skip(1);
            let (Some(id), Some(n)) = (words.next(), words.next().and_then(|n| n.parse::<u64>().ok())) else {
                continue;
            };
            let last = known.entry(id).or_default();
            if n > *last + 1 {
                found.push(format!("items was told of {} before {id} {}", effect.key, *last + 1));
            }
            *last = n.max(*last);
        }
    }

    /// No moment between the first and the last is missing.
    fn check_schedules(&self, found: &mut Vec<String>) {
        for (schedule, step) in &self.steps {
            let prefix = format!("{schedule} ");
            let mut moments: Vec<Timestamp> = self
                .committed
                .iter()
                .filter_map(|key| key.strip_prefix(&prefix))
                .map(|moment| moment.parse().expect("a moment"))
                .collect();
            moments.sort();
            for pair in moments.windows(2) {
                if pair[1].duration_since(pair[0]) != SignedDuration::from_secs(*step) {
                    found.push(format!("{schedule} left out what is between {} and {}", pair[0], pair[1]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Fate, Journal};

    const MOMENTS: [&str; 3] =
        ["2026-11-23T12:00:00.000000Z", "2026-11-23T12:00:01.000000Z", "2026-11-23T12:00:02.000000Z"];

    fn effect(of: &str, key: &str, id: &str, at: i64) -> Effect {
        let (of, key, id) = (of.to_owned(), key.to_owned(), id.to_owned());
        Effect { of, key, id, attempt: None, good: true, at }
    }

    /// Two changes, an event and two seconds, all told, one of them twice because of a kill.
    fn sound() -> Journal {
        let mut journal = Journal::default();
        let keys = ["create a 1", "update a 2", "thing.happened e"];
        for key in keys {
            journal.fates.insert(key.to_owned(), Fate::Acknowledged);
        }
        journal.fates.insert("create b 1".to_owned(), Fate::Refused);
        journal.fates.insert("create c 1".to_owned(), Fate::Unknown);
        journal.committed = keys.iter().map(|key| (*key).to_owned()).collect();
        journal.committed.extend(MOMENTS.iter().map(|moment| format!("tick {moment}")));
        for (at, key) in journal.committed.clone().iter().enumerate() {
            for of in super::owed(key) {
                let id = format!("{of}-{at}");
                let at = i64::try_from(at).unwrap() * 10;
                journal.effects.push(effect(of, key, &id, at));
                journal.jobs.push(((*of).to_owned(), id, "done".to_owned()));
            }
        }
        journal.effects.push(effect("items", "update a 2", "items-1", 60));
        journal.kills = vec![(20, 30)];
        journal.steps = [("tick".to_owned(), 1)].into();
        journal
    }

    #[test]
    fn m35_the_checker_finds_what_must_not_be() {
        assert_eq!(sound().violations(), [] as [String; 0]);
        let check = |change: &dyn Fn(&mut Journal), expected: &str| {
            let mut journal = sound();
            change(&mut journal);
            let found = journal.violations();
            assert!(found.iter().any(|one| one.contains(expected)), "{expected}: {found:#?}");
        };
        check(
            &|journal| journal.committed.retain(|key| key != "update a 2"),
            "acknowledged and is not there",
        );
        check(&|journal| journal.committed.push("create b 1".to_owned()), "was refused and is there");
        check(&|journal| journal.committed.push("create a 1".to_owned()), "committed twice");
        check(&|journal| journal.effects.retain(|one| one.of != "shop"), "shop was never told of create a 1");
        check(
            &|journal| journal.committed.push("create c 1".to_owned()),
            "items was never told of create c 1",
        );
        check(
            &|journal| journal.effects.push(effect("items", "create b 1", "x", 5)),
            "items was told of create b 1, which is not committed",
        );
        check(
            &|journal| journal.effects.push(effect("twice", "create a 1", "x", 5)),
            "create a 1, which is not for it",
        );
        check(
            &|journal| journal.effects.push(effect("shop", "create a 1", "x", 50)),
            "shop was told of create a 1 under several ids",
        );
        check(
            &|journal| journal.effects.push(effect("shop", "update a 2", "shop-0", 50)),
            "the id shop-0 stands for",
        );
        check(
            &|journal| journal.effects.push(effect("shop", "create a 1", "shop-0", 5)),
            "create a 1 again though nothing was interrupted",
        );
        check(&|journal| journal.kills.clear(), "update a 2 again though nothing was interrupted");
        check(
            &|journal| journal.effects.iter_mut().for_each(|one| one.attempt = Some(1)),
            "update a 2 twice in one attempt",
        );
        check(&|journal| journal.jobs[0].2 = "dead".to_owned(), "is dead");
        check(&|journal| drop(journal.jobs.pop()), "were told something, by");
        check(
            &|journal| journal.jobs.push(("items".to_owned(), "x".to_owned(), "done".to_owned())),
            "job x of items told nothing",
        );
        check(
            &|journal| {
                journal.effects.iter_mut().filter(|one| one.key == "create a 1").for_each(|one| one.at = 40)
            },
            "update a 2 before a 1",
        );
        check(
            &|journal| journal.committed.retain(|key| *key != format!("tick {}", MOMENTS[1])),
            "tick left out what is between",
        );
    }
}
