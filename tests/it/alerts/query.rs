//! Which metrics and labels a query of Prometheus asks for. Whether it is a query at all, promtool says.

use std::collections::BTreeSet;

use audit_shipper::metrics;

/// What is asked for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query {
    metrics: Vec<Metric>,
    /// Labels by which series are grouped or matched.
    by: BTreeSet<String>,
}

#[derive(Debug, PartialEq)]
struct Metric {
    name: String,
    labels: Vec<String>,
    is_range: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
    /// A string, a number or a duration.
    Value,
}

/// Before a list of labels.
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OTHER_WORDS: [&str; 8] = ["and", "or", "unless", "offset", "bool", "atan2", "inf", "nan"];
/// What every scrape has, and what the library tells of the process.
const FOREIGN: [&str; 7] = [
    "up",
    "ALERTS",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
];
const OF_THE_TARGET: [&str; 2] = ["instance", "job"];
const OF_ALERTS: [&str; 2] = ["alertname", "alertstate"];

impl Query {
    pub(super) fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut query = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let Token::Word(word) = &tokens[at] else {
                at += 1;
                continue;
            };
            at += 1;
            let is_next = |sign| tokens.get(at) == Some(&Token::Sign(sign));
            if GROUPING.contains(&&**word) {
                if is_next('(') {
                    query.by.extend(words_until(&tokens, &mut at, ')'));
                }
            } else if is_next('(')
                || is_aggregation(&tokens, at)
                || OTHER_WORDS.contains(&&*word.to_lowercase())
            {
                // A function, or a word of the language.
            } else {
                let labels = if is_next('{') { words_until(&tokens, &mut at, '}') } else { Vec::new() };
                let is_range = tokens.get(at) == Some(&Token::Sign('['));
                query.metrics.push(Metric { name: word.clone(), labels, is_range });
            }
        }
        query
    }

    /// What there is not.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut known: BTreeSet<&str> = OF_THE_TARGET.into();
        if self.metrics.is_empty() {
            mistakes.push("no metric".to_owned());
        }
        for metric in &self.metrics {
            match labels_of(&metric.name) {
                None => mistakes.push(format!("{} is no metric", metric.name)),
                Some(labels) => {
                    known.extend(&labels);
                    let is_foreign =
                        |label: &&String| !labels.contains(&&***label) && !OF_THE_TARGET.contains(&&***label);
                    let foreign = metric.labels.iter().filter(is_foreign);
                    mistakes.extend(foreign.map(|label| format!("{} has no {label}", metric.name)));
                }
            }
        }
        let unknown = self.by.iter().filter(|label| !known.contains(&***label));
        mistakes.extend(unknown.map(|label| format!("nothing has {label}")));
        mistakes
    }

    /// Counters of which the value is asked for, which says nothing: only how it grows does.
    pub(super) fn bare_counters(&self) -> Vec<&str> {
        let is_counter =
            |name: &str| ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end));
        let is_bare = |metric: &&Metric| is_counter(&metric.name) && !metric.is_range;
        self.metrics.iter().filter(is_bare).map(|metric| &*metric.name).collect()
    }

    /// Names of all metrics that are asked for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|metric| &*metric.name)
    }
}

/// `sum by (x) (...)`: its list of labels may stand before what is summed up.
fn is_aggregation(tokens: &[Token], at: usize) -> bool {
    matches!(tokens.get(at), Some(Token::Word(next)) if ["by", "without"].contains(&&**next))
}

fn words_until(tokens: &[Token], at: &mut usize, end: char) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(token) = tokens.get(*at).filter(|token| **token != Token::Sign(end)) {
        if let Token::Word(word) = token {
            words.push(word.clone());
        }
        *at += 1;
    }
    *at += 1;
    words
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_in_word = |c: char| c.is_ascii_alphanumeric() || ['_', ':'].contains(&c);
        let (token, length) = match first {
            '"' | '\'' | '`' => (Token::Value, string_length(rest, first)),
            '0'..='9' | '.' => (Token::Value, run_length(rest, |c| is_in_word(c) || c == '.')),
            c if is_in_word(c) => {
                let length = run_length(rest, is_in_word);
                (Token::Word(rest[..length].to_owned()), length)
            }
            sign => (Token::Sign(sign), sign.len_utf8()),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

fn run_length(text: &str, is_in: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_in(c)).unwrap_or(text.len())
}

fn string_length(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped && quote != '`';
    }
    text.len()
}

/// The labels of a metric of ours, or of those that every target has; `None` if there is no such metric. A histogram is
/// three metrics, and none of its own name.
fn labels_of(name: &str) -> Option<Vec<&'static str>> {
    if FOREIGN.contains(&name) {
        return Some(if name == "ALERTS" { OF_ALERTS.into() } else { Vec::new() });
    }
    metrics::TABLE.iter().find_map(|(of_table, kind, labels, _)| {
        let rest = name.strip_prefix(of_table)?;
        match (*kind, rest) {
            ("histogram", "_bucket") => Some([labels, &["le"][..]].concat()),
            ("histogram", "_sum" | "_count") | ("counter" | "gauge", "") => Some(labels.to_vec()),
            _ => None,
        }
    })
}

#[test]
fn metrics_and_labels_of_a_query_are_found() {
    let query = "histogram_quantile(0.9, sum by (le, output) (rate(a_bucket{x=~\"y{z}\", w!='\\''}[5m]))) \
                 > on (instance) group_left 2 * b offset 1h and not_a_function_2 unless max(c) without (d) == Inf";
    let metric = |name: &str, labels: &[&str], is_range| Metric {
        name: name.to_owned(),
        labels: labels.iter().map(ToString::to_string).collect(),
        is_range,
    };
    let expect = Query {
        metrics: vec![
            metric("a_bucket", &["x", "w"], true),
            metric("b", &[], false),
            metric("not_a_function_2", &[], false),
            metric("c", &[], false),
        ],
        by: ["le", "output", "instance", "d"].map(str::to_owned).into(),
    };
    assert_eq!(Query::read(query), expect);
}

#[test]
fn what_there_is_not_is_a_mistake() {
    let good = [
        "audit_shipper_lag_seconds{output=\"siem\", instance=~\"a\"} > 1",
        "sum by (le) (rate(audit_shipper_batch_events_bucket{le=\"1\"}[5m]))",
        "rate(audit_shipper_batch_events_sum[5m]) / rate(audit_shipper_batch_events_count[5m])",
        "up == 0 and on (job) error_total{reason=\"lost\"}",
    ];
    for query in good {
        assert_eq!(Query::read(query).mistakes(), Vec::<String>::new(), "{query}");
    }
    for (query, mistake) in [
        ("audit_shipper_lag", "audit_shipper_lag is no metric"),
        ("audit_shipper_lag_seconds_sum", "audit_shipper_lag_seconds_sum is no metric"),
        ("rate(audit_shipper_batch_events[5m])", "audit_shipper_batch_events is no metric"),
        ("audit_shipper_pinned_bytes{output=\"siem\"}", "audit_shipper_pinned_bytes has no output"),
        ("audit_shipper_batch_events_sum{le=\"1\"}", "audit_shipper_batch_events_sum has no le"),
        ("sum by (reason) (audit_shipper_lag_seconds)", "nothing has reason"),
        ("1 + 1", "no metric"),
    ] {
        assert_eq!(Query::read(query).mistakes(), [mistake], "{query}");
    }
    assert_eq!(Query::read("error_total > rate(error_total[5m])").bare_counters(), ["error_total"]);
}
