//! The store through its public API, on real files.
//!
//! `cfg(test)` is always true here; it tells clippy that all of this is test code.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod agreement;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod cascades;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod executions;
#[cfg(test)]
mod files;
#[cfg(test)]
mod group_commit;
#[cfg(test)]
mod inbound;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod support;
#[cfg(test)]
mod transactions;
