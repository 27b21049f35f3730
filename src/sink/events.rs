//! The events of one request: some of a batch, shared with it and not copied.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::batch::{Batch, Origin};
use crate::event::{ApiVersion, Level};
use crate::json;

/// Events of one batch, in its order. Never empty.
#[derive(Debug, Clone)]
pub struct Events {
    batch: Arc<Batch>,
    /// Places in the batch, in order; none touches the next.
    ranges: Vec<Range<usize>>,
    /// The item that stands in the place of the only event, if it was cut to be tried again, and whether it is the whole
    /// line.
    cut: Option<(Bytes, bool)>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    /// A JSON object on one line: the event's line, in most cases without `kind` and `apiVersion` ([`EventRef::head`]).
    pub item: &'a [u8],
    /// How much kube-apiserver recorded of it.
    pub level: Level,
    /// Where its line came from; a gap record came from nowhere.
    pub origin: Option<&'a Origin>,
    version: ApiVersion,
    is_line: bool,
}

impl Events {
    /// All of a sealed batch, which is not empty.
    #[must_use]
    pub fn all(batch: Arc<Batch>) -> Self {
        let all = 0..batch.events();
        Self { batch, ranges: vec![all], cut: None }
    }

    /// Those of the same batch at these places, in order.
    #[must_use]
    pub fn at(&self, places: impl IntoIterator<Item = usize>) -> Self {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for place in places {
            match ranges.last_mut().filter(|last| last.end == place) {
                Some(last) => last.end += 1,
                None => ranges.push(place..place + 1),
            }
        }
        Self { batch: Arc::clone(&self.batch), ranges, cut: None }
    }

    /// The same event as `line`, a shorter form of it.
    #[must_use]
    pub fn cut(&self, line: &[u8]) -> Self {
        Self { cut: Some(self.batch.item_of_line(line)), ..self.clone() }
    }

    /// The first half of them, and the second. The first has none if there is only one.
    #[must_use]
    pub fn halves(&self) -> (Self, Self) {
        let middle = self.len() / 2;
        (self.at(self.places().take(middle)), self.at(self.places().skip(middle)))
    }

    /// Their places in the batch.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().cloned().flatten()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The version of all of them.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.batch.version()
    }

    /// Their items in pieces, with commas between the items. Nothing is copied.
    #[must_use]
    pub fn items(&self) -> Vec<Bytes> {
        if let Some((item, _)) = &self.cut {
            return vec![item.clone()];
        }
        let mut items = Vec::new();
        for range in &self.ranges {
            if !items.is_empty() {
                items.push(Bytes::from_static(b","));
            }
            items.extend(self.batch.items(range.clone()));
        }
        items
    }

    /// The line of each of them without a newline, in two pieces. Nothing is copied.
    pub fn lines(&self) -> impl Iterator<Item = [Bytes; 2]> {
        self.places().map(|place| {
            let (item, is_line) = self.cut.clone().unwrap_or_else(|| self.batch.shared_item(place));
            if is_line {
                [Bytes::new(), item]
            } else {
                [Bytes::from_static(self.version().line_prefix().as_bytes()), item.slice(1..)]
            }
        })
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = EventRef<'_>> {
        self.places().map(|place| {
            let cut = self.cut.as_ref().map(|(item, is_line)| (&item[..], *is_line));
            let (item, is_line) = cut.unwrap_or_else(|| self.batch.item(place));
            EventRef {
                item,
                level: self.batch.level(place),
                // A gap record that was set aside is sent again without the name of a file.
                origin: self.batch.origin(place).filter(|origin| !origin.file.is_empty()),
                version: self.batch.version(),
                is_line,
            }
        })
    }
}

impl<'a> EventRef<'a> {
    /// What stands before the item's first member in the event's line, beginning with `{`; `None` if the item is the line.
    #[must_use]
    pub fn head(&self) -> Option<&'static str> {
        (!self.is_line).then(|| self.version.line_prefix())
    }

    /// The event's line without a newline, in two pieces.
    #[must_use]
    pub fn line(&self) -> [&'a [u8]; 2] {
        match self.head() {
            Some(head) => [head.as_bytes(), &self.item[1..]],
            None => [b"", self.item],
        }
    }

    /// When the event reached its stage, if it says so.
    #[must_use]
    pub fn stage_time(&self) -> Option<Timestamp> {
        let start = self.item.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let place = json::member(self.item, start, "stageTimestamp")?;
        json::unescaped(self.item.get(place)?)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::properties::{cases, mutated, mutations, real_line};

    fn stage_time(item: &[u8]) -> Option<Timestamp> {
        let event =
            EventRef { item, level: Level::Metadata, origin: None, version: ApiVersion::V1, is_line: true };
        event.stage_time()
    }

    #[test]
    fn the_stage_time_is_the_events_own() {
        let time = "2026-11-22T02:22:50.248816Z";
        let own = format!(r#" {{"a":{{"stageTimestamp":"x"}},"stageTimestamp":"{time}"}}"#);
        assert_eq!(stage_time(own.as_bytes()), Some(time.parse().unwrap()));
        for none in [r#"{"stageTimestamp":null}"#, r#"{"stageTimestamp":"soon"}"#, "{}", " "] {
            assert_eq!(stage_time(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #![proptest_config(cases(300))]

        /// No bytes in the place of an event are a reason to panic.
        #[test]
        fn no_bytes_are_too_strange(line in real_line(), mutations in mutations()) {
            let _ = stage_time(&mutated(&line, &mutations));
        }
    }
}
