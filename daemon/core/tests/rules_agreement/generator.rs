//! Random rules that are well typed and have an SQL form, as text. Deterministic in its seed.

use alyx_core::identity::RequestFacts;

pub const TEXTS: [&str; 14] =
    ["", "a", "A", "ab", "é", "e\u{301}", "😀", "a%", "_", "a\0b", "1", "10", "user", "2026-01-01"];
pub const INTS: [i64; 10] =
    [0, 1, -1, 2, 3, 10, i64::MAX, i64::MIN, 9_007_199_254_740_993, 9_007_199_254_740_992];
pub const FLOATS: [f64; 9] =
    [0.0, -0.0, 1.0, 1.5, -2.5, 10.0, 9_007_199_254_740_992.0, 1e300, 9_223_372_036_854_775_807.0];
pub const TIMES: [&str; 5] = [
    "1969-12-31T23:59:59.999999Z",
    "2026-01-01T00:00:00.000000Z",
    "2026-01-01T00:00:00.000001Z",
    "2026-01-31T12:00:00.500000Z",
    "9999-12-31T23:59:59.999999Z",
];

pub struct Generator {
    state: u64,
    /// Lookups around the current place.
    lookups: usize,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1, lookups: 0 }
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Copy>(&mut self, pool: &[T]) -> T {
        pool[self.below(pool.len())]
    }

    pub fn request(&mut self) -> RequestFacts {
        let mut request = RequestFacts {
            method: "GET".to_owned(),
            path: "/api".to_owned(),
            ip: "127.0.0.1".to_owned(),
            time: self.pick(&TIMES).to_owned(),
            ..RequestFacts::default()
        };
        if self.one_in(2) {
            request.query.insert("page".to_owned(), self.pick(&TEXTS).to_owned());
        }
        request
    }

    pub fn rule(&mut self) -> String {
        let depth = 1 + self.below(5);
        self.bool(depth)
    }

    fn bool(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.pick(&["true", "false", "doc.flag", "doc.done", "auth.verified"]).to_owned();
        }
        let depth = depth - 1;
        match self.below(19) {
            0..3 => format!("({} && {})", self.bool(depth), self.bool(depth)),
            3..6 => format!("({} || {})", self.bool(depth), self.bool(depth)),
            6 => format!("!({})", self.bool(depth)),
            7 => format!("({} ? {} : {})", self.bool(depth), self.bool(depth), self.bool(depth)),
            8..10 => self.equality(depth),
            10..12 => self.order(depth),
            12 => self.text_test(),
            13 | 14 => self.membership(depth),
            15 => self.null_test(),
            16 => self.exists(depth),
            17 => format!("has({})", self.found("title")),
            _ => {
                let field = self.pick(&["title", "tags", "views", "meta", "data", "flag", "seen"]);
                format!("has(doc.{field})")
            }
        }
    }

    /// Whether there is another document with a property, in which some of what was about `doc` is about
    /// that document instead.
    fn exists(&mut self, depth: usize) -> String {
        if self.lookups == 2 {
            return self.bool(depth);
        }
        let row = ["row", "inner"][self.lookups];
        self.lookups += 1;
        let body = self.bool(depth);
        self.lookups -= 1;
        let mut parts = body.split("doc");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // The name of the collection begins with the same letters.
            let keep = part.starts_with("uments") || self.one_in(2);
            text.push_str(if keep { "doc" } else { row });
            text.push_str(part);
        }
        format!("collection(\"documents\").exists({row}, {text})")
    }

    /// A field of another document.
    fn found(&mut self, field: &str) -> String {
        let id = self.pick(&[
            "doc.author",
            "doc.id",
            "auth.id",
            "doc[\"order\"]",
            "\"a\"",
            "null",
            "request.query.page",
        ]);
        format!("collection(\"documents\").get({id}).{field}")
    }

    fn null_test(&mut self) -> String {
        let values = [
            "doc.title",
            "doc.tags",
            "doc.rank",
            "doc.meta",
            "doc.data",
            "doc[\"created-at\"]",
            "auth.id",
            "auth.verified",
            "size(doc.title)",
            "doc.done",
            "request.query.page",
        ];
        let (value, sign) = (self.pick(&values), self.pick(&["==", "!="]));
        if self.one_in(2) { format!("{value} {sign} null") } else { format!("null {sign} {value}") }
    }

    fn equality(&mut self, depth: usize) -> String {
        let sign = self.pick(&["==", "!="]);
        let (left, right) = self.pair(depth);
        format!("({left} {sign} {right})")
    }

    fn order(&mut self, depth: usize) -> String {
        let sign = self.pick(&["<", "<=", ">", ">="]);
        let (left, right) = self.pair(depth);
        format!("({left} {sign} {right})")
    }

    /// Two values that may be compared.
    fn pair(&mut self, depth: usize) -> (String, String) {
        match self.below(9) {
            0..3 => (self.text(), self.text()),
            3..5 => (self.int(depth), self.int(depth)),
            5 => (self.number(depth), self.number(depth)),
            6 => (self.bool_value(depth), self.bool_value(depth)),
            7 => (self.time(), self.time()),
            _ => (self.bytes(), self.bytes()),
        }
    }

    /// A bool to compare with: a choice between two has no SQL form there.
    fn bool_value(&mut self, depth: usize) -> String {
        loop {
            let text = self.bool(depth);
            if !text.contains('?') {
                return format!("({text})");
            }
        }
    }

    fn text(&mut self) -> String {
        match self.below(13) {
            12 => self.found("title"),
            0..3 => text_literal(self.pick(&TEXTS)),
            3..8 => {
                self.pick(&["doc.title", "doc[\"order\"]", "doc.author", "doc.status", "doc.`id`"]).to_owned()
            }
            8 => self.pick(&["auth.id", "auth.role", "auth.email"]).to_owned(),
            9 => self.pick(&["request.query.page", "request.query[\"page\"]", "request.method"]).to_owned(),
            10 => "(auth.verified ? auth.id : \"ab\")".to_owned(),
            _ => self.pick(&["(\"a\" + auth.role)", "string(10)", "(true ? 1 : \"1\")"]).to_owned(),
        }
    }

    fn int(&mut self, depth: usize) -> String {
        if depth > 0 && self.one_in(3) {
            let sign = self.pick(&["+", "-", "*"]);
            return format!("({} {sign} {})", self.int(depth - 1), self.int(depth - 1));
        }
        match self.below(12) {
            11 => self.found("views"),
            0..3 => int_literal(self.pick(&INTS)),
            3..7 => self.pick(&["doc.views", "doc.rank"]).to_owned(),
            7 => self.pick(&["size(doc.title)", "doc.tags.size()", "size(doc.data)"]).to_owned(),
            8 => self.pick(&["size(auth.id)", "int(auth.role)", "int(2.9)"]).to_owned(),
            9 => self.pick(&["(7 / 2)", "(7 % 0)", "(-7 % 2)", "[1, 2, 10][1]", "[1][3]"]).to_owned(),
            _ => format!("(-{})", self.pick(&["doc.views", "doc.rank", "(-5)"])),
        }
    }

    fn number(&mut self, depth: usize) -> String {
        match self.below(5) {
            0 | 1 => "doc.score".to_owned(),
            2 | 3 => float_literal(self.pick(&FLOATS)),
            _ => self.int(depth),
        }
    }

    fn time(&mut self) -> String {
        match self.below(7) {
            6 => self.found("seen"),
            0 => format!("timestamp(\"{}\")", self.pick(&TIMES)),
            1 | 2 => "doc.`created-at`".to_owned(),
            3 => "doc.seen".to_owned(),
            4 => "request.time".to_owned(),
            _ => {
                let length = self.pick(&["1us", "1h", "-720h", "0.5s"]);
                format!("(request.time {} duration(\"{length}\"))", self.pick(&["+", "-"]))
            }
        }
    }

    fn bytes(&mut self) -> String {
        if self.one_in(2) { "doc.data".to_owned() } else { format!("b{}", text_literal(self.pick(&TEXTS))) }
    }

    fn text_test(&mut self) -> String {
        let test = self.pick(&["startsWith", "endsWith", "contains"]);
        let field = self.pick(&["doc.title", "doc[\"order\"]", "doc.author", "doc.status"]);
        let other = if self.one_in(4) { field.to_owned() } else { self.text_operand() };
        if self.one_in(4) { format!("{other}.{test}({field})") } else { format!("{field}.{test}({other})") }
    }

    fn text_operand(&mut self) -> String {
        if self.one_in(3) {
            return self.pick(&["auth.id", "doc.title", "request.query.page"]).to_owned();
        }
        text_literal(self.pick(&TEXTS))
    }

    fn membership(&mut self, depth: usize) -> String {
        match self.below(8) {
            7 => {
                let item = self.pick(&["auth.id", "auth.role", "request.query.page", "string(10)"]);
                let literal = text_literal(self.pick(&TEXTS));
                format!("({} in doc.meta)", if self.one_in(2) { item } else { &literal })
            }
            0 => format!("({} in doc.tags)", self.text()),
            1 | 2 => {
                let items: Vec<String> =
                    (0..self.below(4)).map(|_| text_literal(self.pick(&TEXTS))).collect();
                format!("({} in [{}])", self.text(), items.join(", "))
            }
            3 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| int_literal(self.pick(&INTS))).collect();
                format!("({} in [{}])", self.int(depth), items.join(", "))
            }
            4 => {
                let items = ["1, 1.0, null", "null, 1.5", "9007199254740993, 1.0", "null", "0, -2.5"];
                format!("({} in [{}])", self.number(depth), self.pick(&items))
            }
            5 => format!("({} in [{}, {}, doc.title])", self.text(), self.text(), self.text()),
            _ => self.pick(&["(\"page\" in request.query)", "(doc.title in request.query)"]).to_owned(),
        }
    }
}

fn text_literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\0', "\\x00"))
}

fn int_literal(value: i64) -> String {
    if value < 0 { format!("({value})") } else { value.to_string() }
}

fn float_literal(value: f64) -> String {
    if value.is_sign_negative() { format!("({value:?})") } else { format!("{value:?}") }
}
