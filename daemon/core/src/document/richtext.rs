//! Cleans the HTML of a `richtext` field when it is written, so that whoever shows it need not. Only
//! what a preset lists stays; text between removed tags stays, scripts and styles go with theirs.
//!
//! The work is that of the crate `ammonia`, which parses as browsers do; see
//! `docs/decisions/0007-richtext.md`. Cleaning what was cleaned changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;

use crate::schema::RichText;

/// Tags of the preset `basic`.
const BASIC: [&str; 24] = [
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "code",
    "del",
    "div",
    "em",
    "i",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "q",
    "s",
    "span",
    "strong",
    "sub",
    "sup",
    "u",
    "ul",
];

/// Tags that the preset `standard` adds.
const STANDARD: [&str; 24] = [
    "caption",
    "cite",
    "col",
    "colgroup",
    "dd",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "img",
    "pre",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
];

/// Tags that the preset `full` adds.
const FULL: [&str; 6] = ["bdi", "bdo", "details", "summary", "time", "wbr"];

static CLEANERS: LazyLock<[Builder<'static>; 3]> =
    LazyLock::new(|| [RichText::Basic, RichText::Standard, RichText::Full].map(cleaner));

/// The HTML that a preset keeps of a text.
pub(super) fn clean(preset: RichText, html: &str) -> String {
    let place = match preset {
        RichText::Basic => 0,
        RichText::Standard => 1,
        RichText::Full => 2,
    };
    CLEANERS[place].clean(html).to_string()
}

fn cleaner(preset: RichText) -> Builder<'static> {
    let mut tags = HashSet::from(BASIC);
    let mut attributes =
        HashMap::from([("a", HashSet::from(["href", "title"])), ("q", HashSet::from(["cite"]))]);
    let mut everywhere = HashSet::from(["lang"]);
    if preset != RichText::Basic {
        tags.extend(STANDARD);
        tags.insert("tr");
        attributes.insert("img", HashSet::from(["src", "alt", "title", "width", "height"]));
        attributes.insert("ol", HashSet::from(["start"]));
        for cell in ["td", "th"] {
            attributes.insert(cell, HashSet::from(["colspan", "rowspan"]));
        }
    }
    if preset == RichText::Full {
        tags.extend(FULL);
        everywhere.extend(["class", "dir"]);
        attributes.insert("details", HashSet::from(["open"]));
        attributes.insert("time", HashSet::from(["datetime"]));
    }
    let mut builder = Builder::empty();
    builder
        .tags(tags)
        .tag_attributes(attributes)
        .generic_attributes(everywhere)
        .clean_content_tags(HashSet::from(["script", "style"]))
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel"]))
        .link_rel(Some("noopener noreferrer nofollow"));
    builder
}

#[cfg(test)]
mod tests {
    use super::clean;
    use crate::schema::RichText;

    #[test]
    fn presets_keep_what_they_list() {
        let check = |preset: RichText, html: &str, expected: &str| assert_eq!(clean(preset, html), expected);
        let (basic, standard, full) = (RichText::Basic, RichText::Standard, RichText::Full);
        check(basic, "<p>a <b>b</b></p>", "<p>a <b>b</b></p>");
        check(basic, "<h1>title</h1>", "title");
        check(standard, "<h1 class=x>title</h1>", "<h1>title</h1>");
        check(full, "<h1 class=x>title</h1>", "<h1 class=\"x\">title</h1>");
        check(
            standard,
            "<table><tr><td colspan=2>x</td></tr></table>",
            "<table><tbody><tr><td colspan=\"2\">x</td></tr></tbody></table>",
        );
        check(standard, "1 < 2 & 3", "1 &lt; 2 &amp; 3");
        check(
            full,
            "<details open><summary>s</summary>t</details>",
            "<details open=\"\"><summary>s</summary>t</details>",
        );
    }

    #[test]
    fn nothing_that_runs_stays() {
        for html in [
            "<script>alert(1)</script>x",
            "<img src=x onerror=alert(1)>x",
            "<a href='javascript:alert(1)'>x</a>",
            "<a href=' jav&#x09;ascript:alert(1)'>x</a>",
            "<iframe src=https://evil.example></iframe>x",
            "<svg><style><img src=x onerror=alert(1)></style></svg>x",
            "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">x",
            "<p style='background:url(javascript:alert(1))'>x",
            "<form action=//evil.example><input name=password>x</form>",
            "<base href=//evil.example>x",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">x",
            "<img src='data:text/html,<script>alert(1)</script>'>x",
        ] {
            for preset in [RichText::Basic, RichText::Standard, RichText::Full] {
                let cleaned = clean(preset, html);
                let lower = cleaned.to_lowercase();
                for word in ["<script", "<iframe", "<svg", "<style", "<form", "<base", "javascript:", "data:"]
                {
                    assert!(!lower.contains(word), "{html} → {cleaned}");
                }
                let runs = lower.split('<').any(|tag| {
                    tag.split('>').next().is_some_and(|tag| {
                        tag.split_whitespace()
                            .any(|word| word.starts_with("on") || word.starts_with("style="))
                    })
                });
                assert!(!runs, "{html} → {cleaned}");
                assert_eq!(clean(preset, &cleaned), cleaned, "cleaning again changes nothing");
            }
        }
    }
}
