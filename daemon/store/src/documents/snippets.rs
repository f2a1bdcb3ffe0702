//! Where documents match a search: a few words around it, for each field in which there is a match.

use std::collections::HashMap;

use alyx_core::query::Search;
use alyx_core::schema::Collection;
use alyx_core::sql::{quote, search_table};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::sql;
use crate::Error;
use crate::limits::SNIPPET_WORDS;

/// Stand around a match. Texts may hold these characters as well; then a mark too many is shown.
const MARKS: (char, char) = ('\u{2}', '\u{3}');

/// A JSON array with an object for each document, in the same order. Texts are HTML: what they hold is
/// escaped, and the matches stand in `<mark>`.
pub(super) fn snippets(
    connection: &Connection,
    collection: &Collection,
    search: &Search,
    rowids: &[i64],
) -> Result<Vec<u8>, Error> {
    let mut found: HashMap<i64, String> = HashMap::new();
    if let Some(last) = rowids.last() {
        let table = quote(&search_table(&collection.name));
        let (marks, count) = sql::marks(rowids.len());
        let (open, close) = (u32::from(MARKS.0), u32::from(MARKS.1));
        let columns = search.fields.iter().map(|(_, column)| {
            format!(", snippet({table}, {column}, char({open}), char({close}), '…', {SNIPPET_WORDS})")
        });
        let text = format!(
            "SELECT rowid{} FROM {table} WHERE {table} MATCH ? AND rowid IN {marks}",
            columns.collect::<String>()
        );
        let rowids = (0..count).map(|place| Value::Integer(*rowids.get(place).unwrap_or(last)));
        let params = [Value::Text(search.expression.clone())].into_iter().chain(rowids);
        let mut statement = connection.prepare_cached(&text)?;
        let mut rows = statement.query(params_from_iter(params))?;
        while let Some(row) = rows.next()? {
            let mut texts = serde_json::Map::new();
            for (place, (field, _)) in search.fields.iter().enumerate() {
                let snippet: Option<String> = row.get(place + 1)?;
                if let Some(snippet) = snippet.filter(|snippet| snippet.contains(MARKS.0)) {
                    texts.insert(collection.fields[*field].name.clone(), html(&snippet).into());
                }
            }
            found.insert(row.get(0)?, serde_json::Value::Object(texts).to_string());
        }
    }
    let texts: Vec<&str> = rowids.iter().map(|rowid| found.get(rowid).map_or("{}", String::as_str)).collect();
    Ok(format!("[{}]", texts.join(",")).into_bytes())
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut open = false;
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter == MARKS.0 || letter == MARKS.1 => {
                // Never two of a kind in a row, so the tags are balanced whatever the text held.
                if open != (letter == MARKS.0) {
                    open = !open;
                    out.push_str(if open { "<mark>" } else { "</mark>" });
                }
            }
            letter => out.push(letter),
        }
    }
    if open {
        out.push_str("</mark>");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn snippets_are_html() {
        assert_eq!(html("a \u{2}b\u{3} <i>&\"'"), "a <mark>b</mark> &lt;i&gt;&amp;&quot;&#39;");
        assert_eq!(html("\u{3}\u{2}\u{2}x"), "<mark>x</mark>");
    }
}
