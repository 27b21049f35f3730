//! What is to be masked in a body, and in any other value of an event.
//!
//! A finding is a place. Places may lie within each other; the outermost count.

use std::ops::Range;

use super::class::{Class, Coding, Rule};
use super::embedded::is_key;
use super::key::QUOTED_MARK_BYTES;
use super::names::is_credential;
use crate::json::{self, Step, members, steps};

/// An event may grow by what it has in bytes, times this, and by so many bytes more. Real events stay far below; one of
/// many tiny values was made to grow, and is masked as a whole.
const MOST_GROWTH: usize = 2;
const ALWAYS_BYTES: usize = 64 << 10;

/// What becomes of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Every string, number and boolean in it is masked; keys, nulls and structure stay.
    Within(Coding),
    /// It is masked as one value.
    Whole,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// What the value is about.
    pub(super) class: Class,
    /// Whether environment variables are looked for too.
    pub(super) env: bool,
    /// Whether a server says there what is wrong with a body, and may repeat it.
    pub(super) messages: bool,
}

impl Scope {
    fn rule(self, key: &[u8]) -> Option<Rule> {
        let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
        self.class.rule(key).or_else(|| match () {
            () if self.env && is("env") => Some(Rule::Env),
            () if self.messages && is("message") => Some(Rule::Mask(Coding::Text)),
            () => None,
        })
    }

    /// The same of a key with its quotes.
    fn rule_of_key(self, quoted: &[u8]) -> Option<Rule> {
        match json::inside(quoted) {
            Some(inside) if !inside.contains(&b'\\') => self.rule(inside),
            _ => self.rule(json::unescaped(quoted)?.as_bytes()),
        }
    }
}

/// Places of a text.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    text: &'a [u8],
    found: Vec<(Range<usize>, How)>,
}

impl<'a> Findings<'a> {
    pub(super) fn in_text(text: &'a [u8]) -> Self {
        Self { text, found: Vec::new() }
    }

    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    pub(super) fn add(&mut self, place: Range<usize>, how: How) {
        if !place.is_empty() {
            self.found.push((place, how));
        }
    }

    /// A body: an object, or the operations of a JSON patch. Another value of what is sensitive is not understood, and
    /// masked whole.
    pub(super) fn body(&mut self, place: Range<usize>, scope: Scope) {
        match self.text.get(place.start) {
            Some(b'{') => self.value(place, scope),
            Some(b'[') => {
                for item in json::items(self.text, place.start) {
                    if self.text[item.start] == b'{' {
                        self.operation(item, scope);
                    } else {
                        self.not_understood(item, scope);
                    }
                }
            }
            _ => self.not_understood(place, scope),
        }
    }

    fn not_understood(&mut self, place: Range<usize>, scope: Scope) {
        if scope.class.is_sensitive() {
            self.add(place, How::Whole);
        }
    }

    /// Any value, by its keys.
    pub(super) fn value(&mut self, place: Range<usize>, scope: Scope) {
        let mut steps = steps(self.text, place);
        while let Some(step) = steps.next() {
            if let Step::Key(key) = step
                && let Some(rule) = scope.rule_of_key(&self.text[key])
            {
                self.by_rule(rule, steps.pass_value());
            }
        }
    }

    fn by_rule(&mut self, rule: Rule, value: Range<usize>) {
        match rule {
            Rule::Mask(coding) => self.add(value, How::Within(coding)),
            Rule::Extra => self.extra(value),
            Rule::Env => self.env(value),
        }
    }

    /// What an authenticator says of a user, by names.
    pub(super) fn extra(&mut self, place: Range<usize>) {
        for member in members(self.text, place.start) {
            let name = json::unescaped(&self.text[member.key]);
            if name.is_some_and(|name| is_credential(name.as_bytes())) {
                self.add(member.value, How::Within(Coding::Text));
            }
        }
    }

    /// Environment variables: `value` of each in a list. Custom resources also have them as an object of names and
    /// values, and use the word for something else.
    fn env(&mut self, place: Range<usize>) {
        if self.text.get(place.start) == Some(&b'{') {
            return self.variable(place);
        }
        for item in json::items(self.text, place.start) {
            self.variable(item);
        }
    }

    /// One variable as `{"name":...,"value":...}` or `{NAME:VALUE}`, or what a list has in its place.
    fn variable(&mut self, place: Range<usize>) {
        if self.text.get(place.start) != Some(&b'{') {
            return self.add(place, How::Within(Coding::Text));
        }
        for member in members(self.text, place.start) {
            let key = &self.text[member.key];
            if !is_key(key, "name") && !is_key(key, "valueFrom") {
                self.add(member.value, How::Within(Coding::Text));
            }
        }
    }

    /// An operation of a JSON patch (RFC 6902): what its path leads through counts as keys do. Or any other object that
    /// stands in a list.
    fn operation(&mut self, place: Range<usize>, scope: Scope) {
        self.value(place.clone(), scope);
        let text = self.text;
        let named = |name: &'static str| {
            members(text, place.start).filter(move |member| is_key(&text[member.key.clone()], name))
        };
        for value in named("value") {
            let mut has_path = false;
            for path in named("path").filter_map(|path| json::unescaped(&text[path.value])) {
                has_path = true;
                let leads_to_all = path.is_empty() || path == "/";
                match target(&path, scope) {
                    Target::Unknown if leads_to_all && !matches!(text[value.value.start], b'{' | b'[') => {
                        self.not_understood(value.value.clone(), scope);
                    }
                    Target::Unknown | Target::Harmless => {}
                    Target::Of(rule) => self.by_rule(rule, value.value.clone()),
                    Target::Variable => self.variable(value.value.clone()),
                }
            }
            if !has_path {
                self.not_understood(value.value, scope);
            }
        }
    }

    /// The outermost places, in order. Of the `bodies` that would make the event grow manifold, each is one place.
    fn outermost(mut self, bodies: &[Option<Range<usize>>]) -> Vec<(Range<usize>, How)> {
        let text = self.text;
        let mut places = outermost(std::mem::take(&mut self.found));
        let most = (text.len() * MOST_GROWTH + ALWAYS_BYTES) / QUOTED_MARK_BYTES;
        let marks = places.iter().flat_map(|(place, how)| values(text, place.clone(), *how));
        if marks.take(most + 1).count() > most {
            let is_in = |inner: &Range<usize>, body: &&Range<usize>| {
                body.start <= inner.start && inner.end <= body.end
            };
            for (place, how) in &mut places {
                if let Some(body) = bodies.iter().flatten().find(|body| is_in(place, body)) {
                    (*place, *how) = (body.clone(), How::Whole);
                }
            }
            places = outermost(places);
        }
        places
    }

    /// Has `replace` called for each value that is to be masked.
    pub(super) fn for_each_value(
        self,
        bodies: &[Option<Range<usize>>],
        mut replace: impl FnMut(Range<usize>, Coding),
    ) {
        if self.found.is_empty() {
            return;
        }
        let text = self.text;
        for (place, how) in self.outermost(bodies) {
            let coding = if let How::Within(coding) = how { coding } else { Coding::Text };
            values(text, place, how).for_each(|value| replace(value, coding));
        }
    }
}

fn outermost(mut places: Vec<(Range<usize>, How)>) -> Vec<(Range<usize>, How)> {
    places.sort_unstable_by_key(|(place, _)| (place.start, std::cmp::Reverse(place.end)));
    let mut end = 0;
    places.retain(|(place, _)| {
        let is_outside = place.start >= end;
        end = end.max(place.end);
        is_outside
    });
    places
}

/// The values that get a mark of their own. Null stays.
fn values(text: &[u8], place: Range<usize>, how: How) -> impl Iterator<Item = Range<usize>> + '_ {
    let whole = Some(place.clone()).filter(|_| how == How::Whole);
    let within = (how != How::Whole).then(|| steps(text, place)).into_iter().flatten();
    let scalar = |step| if let Step::Scalar(scalar) = step { Some(scalar) } else { None };
    whole.into_iter().chain(within.filter_map(scalar)).filter(|value| text[value.clone()] != *b"null")
}

/// What the path of an operation leads to.
enum Target {
    /// The keys of the value decide.
    Unknown,
    /// The value of a key.
    Of(Rule),
    /// One environment variable.
    Variable,
    /// Nothing to mask.
    Harmless,
}

fn target(path: &str, scope: Scope) -> Target {
    let mut target = Target::Unknown;
    for name in path.split('/') {
        let name = name.replace("~1", "/").replace("~0", "~");
        target = match target {
            Target::Unknown => scope.rule(name.as_bytes()).map_or(Target::Unknown, Target::Of),
            Target::Of(Rule::Mask(_)) | Target::Harmless => break,
            Target::Of(Rule::Extra) if !is_credential(name.as_bytes()) => Target::Harmless,
            Target::Of(Rule::Env) if name == "-" || name.bytes().all(|b| b.is_ascii_digit()) => {
                Target::Variable
            }
            Target::Variable if name == "name" || name == "valueFrom" => Target::Harmless,
            Target::Of(Rule::Extra | Rule::Env) | Target::Variable => Target::Of(Rule::Mask(Coding::Text)),
        };
    }
    target
}
