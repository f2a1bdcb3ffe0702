//! One reading of the metrics: the text format of Prometheus, as far as the daemon writes it.

use std::collections::BTreeSet;

/// What was read.
#[derive(Debug, Default)]
pub struct Reading(Vec<Sample>);

#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Reading {
    /// Reads what it understands; a line that it does not is left out.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum of all that has these labels.
    pub fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        self.of(name, wanted).map(|sample| sample.value).sum()
    }

    /// The values that a label has.
    pub fn values(&self, name: &str, label: &str) -> BTreeSet<String> {
        self.of(name, &[]).filter_map(|sample| sample.label(label)).map(str::to_owned).collect()
    }

    /// The time that a part of what came since `before` did not exceed, in seconds: the upper bound of its
    /// bucket. None if nothing came, or if it is beyond all bounds.
    pub fn quantile(&self, before: &Self, name: &str, wanted: &[(&str, &str)], part: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let bounds = self.values(&bucket, "le");
        let mut counted: Vec<(f64, f64)> = bounds
            .iter()
            .filter_map(|bound| {
                let with_bound = [wanted, &[("le", bound)]].concat();
                let count = self.sum(&bucket, &with_bound) - before.sum(&bucket, &with_bound);
                Some((number(bound)?, count))
            })
            .collect();
        counted.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all = counted.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let (bound, _) = counted.into_iter().find(|(_, count)| *count >= all * part)?;
        bound.is_finite().then_some(bound)
    }

    fn of<'a>(&'a self, name: &'a str, wanted: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name && wanted.iter().all(|(label, value)| sample.label(label) == Some(*value))
        })
    }
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"")?;
            let (value, after) = quoted(value)?;
            labels.push((label.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = number(rest.split_whitespace().next()?)?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        other => other.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::Reading;

    const BEFORE: &str =
        "t_bucket{f=\"a\",le=\"0.1\"} 5\nt_bucket{f=\"a\",le=\"0.5\"} 5\nt_bucket{f=\"a\",le=\"+Inf\"} 5\n";
    const AFTER: &str = "# HELP t Time\n# TYPE t histogram\n\
        t_bucket{f=\"a\",le=\"0.1\"} 5\nt_bucket{f=\"a\",le=\"0.5\"} 14\nt_bucket{f=\"a\",le=\"+Inf\"} 15\n\
        calls{f=\"a \\\"b\\\" {c}\",outcome=\"ok\"} 3\ncalls{f=\"z\",outcome=\"ok\"} 4 1700000000\nplain 1.5e3\n";

    #[test]
    fn labels_and_numbers_are_read() {
        let reading = Reading::parse(AFTER);
        assert_eq!(reading.sum("calls", &[]), 7.0);
        assert_eq!(reading.sum("calls", &[("f", "a \"b\" {c}")]), 3.0);
        assert_eq!(reading.sum("plain", &[]), 1_500.0);
        assert_eq!(reading.sum("missing", &[]), 0.0);
        assert_eq!(reading.values("calls", "outcome").into_iter().collect::<Vec<_>>(), ["ok"]);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        for text in ["", "{", "a{", "a{b=\"", "a{b=\"c\"", "a{b=\"c\"} ", "a{b=\"c\\", "a x", "a{b=c} 1"] {
            assert!(Reading::parse(text).0.is_empty(), "{text}");
        }
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let (before, after) = (Reading::parse(BEFORE), Reading::parse(AFTER));
        assert_eq!(after.quantile(&before, "t", &[("f", "a")], 0.5), Some(0.5));
        assert_eq!(after.quantile(&before, "t", &[], 0.99), None);
        assert_eq!(after.quantile(&after, "t", &[], 0.5), None);
        assert_eq!(after.quantile(&Reading::default(), "t", &[], 0.3), Some(0.1));
    }
}
