//! Schedules and when they are due. The job of a run is added in the transaction that moves the schedule on:
//! one that was added is not added again after a crash, and one that was not is still due.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::jobs::{self, NewJob};
use crate::limits::PAGE_MAX;
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// A schedule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// Who declared it.
    pub source: Declared,
    /// As it was declared, with every default; JSON.
    pub definition_json: String,
    /// An administrator has stopped it for now.
    pub paused: bool,
    /// Where intervals are counted from.
    pub anchor: Timestamp,
    /// When it is due; `None` for one that is over or switched off.
    pub next_at: Option<Timestamp>,
    /// When its last run was due.
    pub last_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its definition was changed.
    pub updated_at: Timestamp,
}

/// Who declared something that a schema may declare as well as administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    /// The project's schema.
    Schema,
    /// An administrator.
    Api,
}

/// A schedule as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchedule {
    /// Its name.
    pub name: String,
    /// As it was declared, with every default; JSON.
    pub definition_json: String,
    /// Where intervals are counted from.
    pub anchor: Timestamp,
    /// When it is due first.
    pub next_at: Option<Timestamp>,
}

/// Runs of a schedule that are due, and how it goes on.
#[derive(Clone, Debug)]
pub struct Firing {
    /// Name of the schedule.
    pub name: String,
    /// When it was due, as whoever fires it has read. If it is no longer, nothing is done.
    pub due_at: Timestamp,
    /// When it is due next.
    pub next_at: Option<Timestamp>,
    /// When the last of these runs was due.
    pub last_at: Option<Timestamp>,
    /// The jobs of its runs, in order, all of one kind and for this schedule.
    pub runs: Vec<NewJob>,
    /// Leaves runs out while so many of earlier firings wait or go on.
    pub open_max: u32,
}

/// What became of a firing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    /// Runs that were added.
    pub added: u32,
    /// Runs that were left out, because others are not over.
    pub skipped: u32,
}

/// Input of [`pause`].
pub(crate) struct Pause {
    name: String,
    paused: bool,
    next_at: Option<Timestamp>,
}

/// Input of [`trigger`].
pub(crate) struct Trigger {
    name: String,
    run: NewJob,
    open_max: u32,
}

const COLUMNS: &str =
    "name, source, definition_json, paused, anchor, next_at, last_at, created_at, updated_at";

impl Store {
    /// All schedules, by name.
    pub fn schedules(&self) -> Pending<Vec<ScheduleRow>> {
        self.read(Lane::Point, |connection| {
            let sql = format!("SELECT {COLUMNS} FROM _alyx_schedules ORDER BY name LIMIT ?");
            read_all(connection, &sql, params![PAGE_MAX])
        })
    }

    /// One schedule; `None` if there is none of this name.
    pub fn schedule(&self, name: &str) -> Pending<Option<ScheduleRow>> {
        let name = name.to_owned();
        self.read(Lane::Point, move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM _alyx_schedules WHERE name = ?");
            Ok(read_all(connection, &sql, params![name])?.pop())
        })
    }

    /// Schedules that are due at `now`, the longest due first, at most `limit`.
    pub fn due_schedules(&self, now: Timestamp, limit: u32) -> Pending<Vec<ScheduleRow>> {
        self.read(Lane::Point, move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM _alyx_schedules
                 WHERE next_at IS NOT NULL AND paused = 0 AND next_at <= ? ORDER BY next_at, name LIMIT ?"
            );
            read_all(connection, &sql, params![time::to_text(now), limit.min(PAGE_MAX)])
        })
    }

    /// When the next schedule is due; `None` if none will be.
    pub fn next_schedule_due(&self) -> Pending<Option<Timestamp>> {
        self.read(Lane::Point, |connection| {
            let due: Option<String> = connection
                .prepare_cached(
                    "SELECT min(next_at) FROM _alyx_schedules WHERE next_at IS NOT NULL AND paused = 0",
                )?
                .query_row([], |row| row.get(0))?;
            due.as_deref().map(time::from_text).transpose()
        })
    }

    /// Makes the schedules of the schema what it says. One that is as it was keeps its state; one of the
    /// same name that an administrator made becomes the schema's. Answers whether anything is different.
    pub fn declare_schedules(&self, schedules: Vec<NewSchedule>) -> Pending<bool> {
        self.write(Command::DeclareSchedules, schedules)
    }

    /// Makes a schedule for an administrator. Fails with [`Error::UniqueViolation`] if the name is taken.
    pub fn create_schedule(&self, schedule: NewSchedule) -> Pending<()> {
        self.write(Command::CreateSchedule, schedule)
    }

    /// Removes a schedule that an administrator made. Fails with [`Error::NotFound`] if there is none.
    pub fn delete_schedule(&self, name: &str) -> Pending<()> {
        self.write(Command::DeleteSchedule, name.to_owned())
    }

    /// Stops a schedule for now, or lets it go on; it is due next at `next_at` then. Fails with
    /// [`Error::NotFound`] if there is none.
    pub fn pause_schedule(&self, name: &str, paused: bool, next_at: Option<Timestamp>) -> Pending<()> {
        self.write(Command::PauseSchedule, Pause { name: name.to_owned(), paused, next_at })
    }

    /// Adds the runs that are due and moves the schedule on. Does nothing if it is no longer due then.
    pub fn fire_schedule(&self, firing: Firing) -> Pending<Fired> {
        self.write(Command::FireSchedule, firing)
    }

    /// Adds a run that somebody asked for. Fails with [`Error::NotFound`] if there is no such schedule,
    /// and with [`Error::Stale`] if `open_max` others are not over.
    pub fn trigger_schedule(&self, name: &str, run: NewJob, open_max: u32) -> Pending<()> {
        self.write(Command::TriggerSchedule, Trigger { name: name.to_owned(), run, open_max })
    }
}

fn read_all(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<ScheduleRow>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<ScheduleRow, Error> {
    let moment = |place: usize| -> Result<Option<Timestamp>, Error> {
        row.get::<_, Option<String>>(place)?.as_deref().map(time::from_text).transpose()
    };
    let always = |place: usize| Ok::<_, Error>(moment(place)?.unwrap_or_default());
    Ok(ScheduleRow {
        name: row.get(0)?,
        source: Declared::read(&row.get::<_, String>(1)?),
        definition_json: row.get(2)?,
        paused: row.get(3)?,
        anchor: always(4)?,
        next_at: moment(5)?,
        last_at: moment(6)?,
        created_at: always(7)?,
        updated_at: always(8)?,
    })
}

impl Declared {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Api => "api",
        }
    }

    pub(crate) fn read(text: &str) -> Self {
        if text == "schema" { Self::Schema } else { Self::Api }
    }
}

pub(crate) fn declare(session: &mut Session<'_>, wanted: Vec<NewSchedule>) -> Result<bool, Error> {
    let connection = session.connection;
    let sql = format!("SELECT {COLUMNS} FROM _alyx_schedules");
    let kept = read_all(connection, &sql, [])?;
    let mut changed = false;
    for gone in kept.iter().filter(|row| row.source == Declared::Schema) {
        if !wanted.iter().any(|schedule| schedule.name == gone.name) {
            remove(connection, &gone.name)?;
            changed = true;
        }
    }
    for schedule in wanted {
        let old = kept.iter().find(|row| row.name == schedule.name);
        if old.is_some_and(|row| {
            row.source == Declared::Schema && row.definition_json == schedule.definition_json
        }) {
            continue;
        }
        if old.is_some() {
            remove(connection, &schedule.name)?;
        }
        insert(session, &schedule, Declared::Schema)?;
        changed = true;
    }
    Ok(changed)
}

pub(crate) fn create(session: &mut Session<'_>, schedule: NewSchedule) -> Result<(), Error> {
    let taken: Option<i64> = session
        .connection
        .prepare_cached("SELECT 1 FROM _alyx_schedules WHERE name = ?")?
        .query_row([&schedule.name], |row| row.get(0))
        .optional()?;
    if taken.is_some() {
        return Err(Error::UniqueViolation { fields: vec!["name".to_owned()] });
    }
    insert(session, &schedule, Declared::Api)
}

pub(crate) fn delete(session: &mut Session<'_>, name: String) -> Result<(), Error> {
    let removed = session
        .connection
        .prepare_cached("DELETE FROM _alyx_schedules WHERE name = ? AND source = 'api'")?
        .execute([name])?;
    if removed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

pub(crate) fn pause(session: &mut Session<'_>, pause: Pause) -> Result<(), Error> {
    let next_at = pause.next_at.map(time::to_text);
    let found = session
        .connection
        .prepare_cached("UPDATE _alyx_schedules SET paused = ?, next_at = ? WHERE name = ?")?
        .execute(params![pause.paused, next_at, pause.name])?;
    if found == 0 { Err(Error::NotFound) } else { Ok(()) }
}

pub(crate) fn fire(session: &mut Session<'_>, firing: Firing) -> Result<Fired, Error> {
    let moved = session
        .connection
        .prepare_cached(
            "UPDATE _alyx_schedules SET next_at = ?1, last_at = coalesce(?2, last_at)
             WHERE name = ?3 AND next_at = ?4 AND paused = 0",
        )?
        .execute(params![
            firing.next_at.map(time::to_text),
            firing.last_at.map(time::to_text),
            firing.name,
            time::to_text(firing.due_at),
        ])?;
    let mut fired = Fired::default();
    if moved == 0 {
        return Ok(fired);
    }
    let Some(first) = firing.runs.first() else { return Ok(fired) };
    if jobs::count_open(session, first.kind, &firing.name)? >= firing.open_max {
        fired.skipped = u32::try_from(firing.runs.len()).unwrap_or(u32::MAX);
        return Ok(fired);
    }
    for run in &firing.runs {
        fired.added += u32::from(jobs::add(session, run)?);
    }
    Ok(fired)
}

pub(crate) fn trigger(session: &mut Session<'_>, trigger: Trigger) -> Result<(), Error> {
    let known: Option<i64> = session
        .connection
        .prepare_cached("SELECT 1 FROM _alyx_schedules WHERE name = ?")?
        .query_row([&trigger.name], |row| row.get(0))
        .optional()?;
    known.ok_or(Error::NotFound)?;
    if jobs::count_open(session, trigger.run.kind, &trigger.name)? >= trigger.open_max {
        return Err(Error::Stale);
    }
    jobs::add(session, &trigger.run).map(drop)
}

fn insert(session: &Session<'_>, schedule: &NewSchedule, source: Declared) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_schedules (name, source, definition_json, anchor, next_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        )?
        .execute(params![
            schedule.name,
            source.as_str(),
            schedule.definition_json,
            time::to_text(schedule.anchor),
            schedule.next_at.map(time::to_text),
            session.now,
        ])?;
    Ok(())
}

fn remove(connection: &Connection, name: &str) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM _alyx_schedules WHERE name = ?")?.execute([name])?;
    Ok(())
}
