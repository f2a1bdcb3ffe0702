//! From YAML text to a tree in which every node knows its place. Plain scalars follow the YAML 1.2
//! core schema, so `no` and `on` are text. Tags, several documents and keys that are not scalars are
//! refused, aliases are expanded within a budget. No meaning is given to anything here.

use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle};

use super::Position;
use crate::limits::{SCHEMA_MAX_BYTES, YAML_DEPTH_MAX, YAML_NODES_MAX};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Yaml,
    pub(crate) position: Position,
    /// Where the text of a scalar starts: behind a quote, below a `|`.
    pub(crate) content: Position,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key as written and its place.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) position: Position,
}

/// A place and what is wrong there.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) position: Position,
    pub(crate) message: String,
}

/// A tree, with the second appearances of keys left out of it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Node,
    pub(crate) duplicate_keys: Vec<Key>,
}

impl Node {
    /// The tree of a JSON value. It has no places; numbers beyond ours become fractions.
    pub(crate) fn from_json(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        let key = |text: &String| Key { text: text.clone(), position: START };
        let value = match value {
            Value::Null => Yaml::Null,
            Value::Bool(value) => Yaml::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Yaml::Int(whole),
                None => Yaml::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Yaml::Text(text.clone()),
            Value::Array(items) => Yaml::List(items.iter().map(Self::from_json).collect()),
            Value::Object(members) => {
                Yaml::Map(members.iter().map(|(name, value)| (key(name), Self::from_json(value))).collect())
            }
        };
        Self { value, position: START, content: START }
    }
}

/// Parses one document. An empty text is null.
pub(crate) fn parse(text: &str) -> Result<Tree, Problem> {
    if text.len() > SCHEMA_MAX_BYTES {
        return Err(Problem::new(START, format!("the file is larger than {SCHEMA_MAX_BYTES} bytes")));
    }
    // One more than ours, so that ours is the one reported.
    let nesting = YAML_DEPTH_MAX + 1;
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: nesting,
        block_nesting_limit: nesting,
    };
    let mut builder = Builder::default();
    for item in Parser::new_from_str_with_options(text, options) {
        let (event, span) =
            item.map_err(|error| Problem::new(position(error.marker()), error.info().replace('\n', " ")))?;
        builder.event(event, position(&span.start))?;
    }
    let root = builder.root.unwrap_or(Node { value: Yaml::Null, position: START, content: START });
    Ok(Tree { root, duplicate_keys: builder.duplicate_keys })
}

/// What usually is behind a message of the parser, for people who write YAML now and then.
pub(crate) fn hint(message: &str) -> &'static str {
    const HINTS: [(&str, &str); 4] = [
        (
            "mapping values are not allowed",
            "put a text that holds \": \" into quotes, or check the indentation",
        ),
        ("tabs disallowed", "indent with spaces"),
        ("simple key expected", "write a colon and a space behind the key, as in key: value"),
        ("did not find expected key", "keys of one mapping begin in the same column"),
    ];
    HINTS.iter().find(|(part, _)| message.contains(part)).map_or("", |(_, hint)| hint)
}

const START: Position = Position { line: 1, column: 1 };

fn position(marker: &Marker) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
}

impl Problem {
    fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into() }
    }
}

/// A collection that is still being read.
struct Open {
    anchor: usize,
    position: Position,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    /// Finished nodes with their anchors. An anchor whose node is still open is not in here, which
    /// is how a node that contains itself is found.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    duplicate_keys: Vec<Key>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, position: Position) -> Result<(), Problem> {
        if event.tag().is_some() {
            return Err(Problem::new(position, "tags are not supported"));
        }
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Problem::new(position, "the file must hold one document only"))
            }
            Event::Scalar(text, style, anchor, _) => {
                let node =
                    Node { value: scalar(&text, style), position, content: content(&text, style, position) };
                self.remember(anchor, &node);
                self.place(node, Some(&text))
            }
            Event::SequenceStart(_, anchor, _) => self.start(anchor, position, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.start(
                anchor,
                position,
                Content::Map { entries: Vec::new(), seen: HashSet::new(), key: None },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node =
                    node.ok_or_else(|| Problem::new(position, "the alias refers to a node around it"))?;
                let (nodes, depth) = measure(&node);
                self.nodes = self.nodes.saturating_add(nodes);
                if self.open.len() + depth > YAML_DEPTH_MAX {
                    return Err(too_deep(position));
                }
                self.place(Node { position, ..node }, None)
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, anchor: usize, position: Position, content: Content) -> Result<(), Problem> {
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(Problem::new(position, "a key must be text"));
        }
        if self.open.len() >= YAML_DEPTH_MAX {
            return Err(too_deep(position));
        }
        self.open.push(Open { anchor, position, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(Open { anchor, position, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Yaml::List(items),
            Content::Map { entries, .. } => Yaml::Map(entries),
        };
        let node = Node { value, position, content: position };
        self.remember(anchor, &node);
        self.place(node, None)
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        // The parser numbers anchors from one.
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    /// Puts a finished node where the parser is. `text` is a scalar as written, for keys.
    fn place(&mut self, node: Node, text: Option<&str>) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > YAML_NODES_MAX {
            return Err(Problem::new(
                node.position,
                format!("the file has more than {YAML_NODES_MAX} nodes"),
            ));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, seen, key }) => match key.take() {
                None => {
                    let text = text.ok_or_else(|| Problem::new(node.position, "a key must be text"))?;
                    *key = Some(Key { text: text.to_owned(), position: node.position });
                }
                Some(key) if !seen.insert(key.text.clone()) => self.duplicate_keys.push(key),
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }
}

/// Where the text of a scalar starts. The parser places a block scalar at its first line that is not
/// empty, in the column to which it is indented.
fn content(text: &str, style: ScalarStyle, position: Position) -> Position {
    let Position { line, column } = position;
    match style {
        ScalarStyle::Plain => position,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Position { line, column: column + 1 },
        ScalarStyle::Literal | ScalarStyle::Folded => {
            let empty = text.bytes().take_while(|byte| *byte == b'\n').count();
            Position { line: line.saturating_sub(u32::try_from(empty).unwrap_or(u32::MAX)), column }
        }
    }
}

fn too_deep(position: Position) -> Problem {
    Problem::new(position, format!("collections are nested deeper than {YAML_DEPTH_MAX} levels"))
}

/// Nodes in a tree and its depth.
fn measure(node: &Node) -> (usize, usize) {
    let join = |(nodes, depth): (usize, usize), child: &Node| {
        let (child_nodes, child_depth) = measure(child);
        (nodes + child_nodes, depth.max(child_depth + 1))
    };
    match &node.value {
        Yaml::List(items) => items.iter().fold((1, 1), join),
        Yaml::Map(entries) => entries.iter().map(|(_, child)| child).fold((1, 1), join),
        _ => (1, 0),
    }
}

/// YAML 1.2.2 section 10.3.2. Only plain scalars are anything but text.
fn scalar(text: &str, style: ScalarStyle) -> Yaml {
    if style != ScalarStyle::Plain {
        return Yaml::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Yaml::Null,
        "true" | "True" | "TRUE" => return Yaml::Bool(true),
        "false" | "False" | "FALSE" => return Yaml::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_or_else(|_| Yaml::Float(text.parse().unwrap_or(f64::INFINITY)), Yaml::Int);
    }
    let radix = |prefix: &str, radix| {
        text.strip_prefix(prefix)
            .filter(|digits| !digits.starts_with('+'))
            .and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    if let Some(value) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Yaml::Int(value);
    }
    let float_like = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    match text.parse() {
        Ok(value) if float_like => Yaml::Float(value),
        _ => Yaml::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Yaml, parse};

    fn show(node: &Node) -> String {
        match &node.value {
            Yaml::Null => "null".to_owned(),
            Yaml::Bool(value) => value.to_string(),
            Yaml::Int(value) => value.to_string(),
            Yaml::Float(value) => format!("{value:?}f"),
            Yaml::Text(text) => format!("{text:?}"),
            Yaml::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(",")),
            Yaml::Map(entries) => {
                let entry = |(key, node): &(super::Key, Node)| format!("{}:{}", key.text, show(node));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
            }
        }
    }

    #[test]
    fn trees() {
        let check = |text: &str, expected: &str| {
            assert_eq!(show(&parse(text).expect(text).root), expected, "{text}");
        };
        check("", "null");
        check("# only a comment\n", "null");
        check("a: {b: [1, -2, 0x1f, 0o17, 1.5, .5, 1e3, 5.]}", "{a:{b:[1,-2,31,15,1.5f,0.5f,1000.0f,5.0f]}}");
        check(
            "[no, on, yes, off, y, true, True, ~, null]",
            r#"["no","on","yes","off","y",true,true,null,null]"#,
        );
        check(
            "['true', \"1\", 1_000, 2026-01-02, 1.2.3, +, e3, inf, nan]",
            r#"["true","1","1_000","2026-01-02","1.2.3","+","e3","inf","nan"]"#,
        );
        check("99999999999999999999", "1e20f");
        check("a: &x {b: 1}\nc: *x\n", "{a:{b:1},c:{b:1}}");
        check("1: a\ntrue: b\n", r#"{1:"a",true:"b"}"#);
        check("a: |\n  x\n  y\n", r#"{a:"x\ny\n"}"#);
        check("a: 1\na: 2\nb: 3\n", "{a:1,b:3}");
    }

    #[test]
    fn problems_have_a_place() {
        let check = |text: &str, expected: &str| {
            let problem = parse(text).expect_err(text);
            let found = format!("{}:{} {}", problem.position.line, problem.position.column, problem.message);
            assert!(found.starts_with(expected), "{text}: {found}");
        };
        check("a: [1, 2", "1:4 unclosed");
        check("a: 1\n b: 2\n", "2:");
        check("a:\n\t- x\n", "2:");
        check("a: !!str 1\n", "1:");
        check("a: 1\n---\nb: 2\n", "2:1 the file must hold one document only");
        check("{[a]: 1}", "1:2 a key must be text");
        check("a: *b\n", "1:4 ");
        check("a: &a [*a]\n", "1:8 the alias refers to a node around it");
        check(
            &format!("{}{}", "[".repeat(33), "]".repeat(33)),
            "1:33 collections are nested deeper than 32 levels",
        );
        check(&"[".repeat(100_000), "1:");
        check(&" ".repeat(crate::limits::SCHEMA_MAX_BYTES + 1), "1:1 the file is larger than");
    }

    #[test]
    fn alias_bombs_end_early() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let alias = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", "));
        }
        assert!(parse(&text).expect_err("bomb").message.contains("more than 100000 nodes"));
    }
}
