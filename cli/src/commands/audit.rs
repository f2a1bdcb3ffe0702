//! `alyx audit list|export`.

use serde_json::Value;

use super::{cell, rows};
use crate::args::{Audit, AuditCommand, AuditFilter, AuditFormat, Target};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

const PATH: &str = "/api/admin/audit";

/// Rows asked for at once when all are wanted; the most that the daemon gives.
const PAGE: u32 = 1_000;

/// Members of a row, in the order of the columns of CSV.
const COLUMNS: [&str; 9] =
    ["seq", "at", "identity", "address", "action", "target", "outcome", "request_id", "details"];

pub async fn run(args: Audit, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        AuditCommand::List { filter, limit } => list(&client, filter, limit, output).await?,
        AuditCommand::Export { filter, format } => export(&client, filter, format).await?,
    }
    Ok(Exit::Ok)
}

async fn list(client: &Client, filter: AuditFilter, limit: u32, output: Output) -> Result<(), Failure> {
    let mut query = filters(filter);
    query.push(("limit", limit.to_string()));
    let answer = client.get_with(PATH, &query).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let columns = ["at", "identity", "address", "action", "target", "outcome", "request_id"];
    let row = |row| columns.iter().map(|column| cell(row, column)).collect();
    let table: Vec<Vec<String>> = rows(&answer).iter().map(row).collect();
    if table.is_empty() {
        print::note("no rows");
        return Ok(());
    }
    print::table(&["AT", "IDENTITY", "ADDRESS", "ACTION", "TARGET", "OUTCOME", "REQUEST"], &table)
}

/// Page by page, so that a log of any length can be written.
async fn export(client: &Client, filter: AuditFilter, format: AuditFormat) -> Result<(), Failure> {
    let filters = filters(filter);
    if format == AuditFormat::Csv {
        print::raw(format!("{}\r\n", COLUMNS.join(",")).as_bytes())?;
    }
    let mut after = 0;
    loop {
        let mut query = filters.clone();
        query.extend([("after", after.to_string()), ("limit", PAGE.to_string())]);
        let answer = client.get_with(PATH, &query).await?;
        let lines: String = rows(&answer)
            .iter()
            .map(|row| match format {
                AuditFormat::Jsonl => format!("{row}\n"),
                AuditFormat::Csv => csv_line(row),
            })
            .collect();
        print::raw(lines.as_bytes())?;
        match answer.get("next_after").and_then(Value::as_i64) {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

fn filters(filter: AuditFilter) -> Vec<(&'static str, String)> {
    let given = [
        ("identity", filter.identity),
        ("action", filter.action),
        ("target", filter.target),
        ("outcome", filter.outcome),
        ("address", filter.address),
        ("request_id", filter.request_id),
        ("since", filter.since.map(|time| time.to_string())),
        ("until", filter.until.map(|time| time.to_string())),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A row as RFC 4180 has it.
fn csv_line(row: &Value) -> String {
    let cells: Vec<String> = COLUMNS.iter().map(|column| csv_cell(&cell(row, column))).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell that a spreadsheet would take for a formula is made text: some of what is logged was chosen by
/// strangers.
fn csv_cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        let check = |text: &str, expected: &str| assert_eq!(csv_cell(text), expected);
        check("", "");
        check("user:1", "user:1");
        check("a,b", "\"a,b\"");
        check("{\"a\":1}", "\"{\"\"a\"\":1}\"");
        check("=1+1", "'=1+1");
        check("@a,b", "\"'@a,b\"");
        check("a\nb", "\"a\nb\"");
    }
}
