//! What is remembered of one output: an hour of points, of glimpses and of what went wrong, in bounded memory. It outlives a
//! change of the configuration that builds the output anew.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::status::{History, Point, Share, State, Top, Trouble};
use crate::health::{Glimpse, Health, Hindrance, Notes};
use crate::tally::Tally;

/// Between two points.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// Points of an hour.
const POINTS: usize = 360;
/// Glimpses are kept by slices of the hour.
const SLICES: usize = 12;
const SLICE: Duration = Duration::from_secs(300);
/// Values that are shown.
const MOST_VALUES: usize = 10;
/// Bytes of a value that are shown.
const LONGEST_VALUE: usize = 256;
/// An output whose oldest event is no older is level, though there is always something on its way.
const LEVEL_WITHIN: f64 = 60.0;

/// One output.
#[derive(Debug)]
pub(super) struct Story {
    points: VecDeque<Option<Point>>,
    until: Timestamp,
    /// What was delivered when the last point was made, in events and bytes, and when that was.
    delivered: (u64, u64),
    pointed_at: Instant,
    slices: VecDeque<(Instant, Glimpse)>,
    notes: Notes,
    state: Option<(State, Timestamp)>,
}

impl Story {
    /// Begins now.
    pub(super) fn of(health: &Health) -> Self {
        Self {
            points: VecDeque::new(),
            until: Timestamp::now(),
            delivered: delivered(health),
            pointed_at: Instant::now(),
            slices: VecDeque::new(),
            notes: Notes::default(),
            state: None,
        }
    }

    /// Takes over what has happened since the last look.
    pub(super) fn look(&mut self, health: &Health) {
        self.notes.merge(health.take_notes());
        while self.slices.front().is_some_and(|(begun, _)| begun.elapsed() >= SLICE * 12) {
            self.slices.pop_front();
        }
        let glimpse = health.take_glimpse();
        match self.slices.back_mut().filter(|(begun, _)| begun.elapsed() < SLICE) {
            Some((_, last)) => last.merge(glimpse),
            None => self.slices.push_back((Instant::now(), glimpse)),
        }
        while self.slices.len() > SLICES {
            self.slices.pop_front();
        }
        let now = state_of(health);
        if self.state.is_none_or(|(state, _)| state != now) {
            self.state = Some((now, Timestamp::now()));
        }
    }

    /// A step is over.
    pub(super) fn step(&mut self, health: &Health) {
        self.look(health);
        // A tick that was late is followed by one in a moment. Points keep their distance, so that is none of its own: a rate
        // over a moment says nothing.
        let steps = (self.pointed_at.elapsed() + STEP / 2).as_secs() / STEP.as_secs();
        let Some(missed) = steps.checked_sub(1) else { return };
        // The process may have been stopped.
        let missed = usize::try_from(missed).unwrap_or(POINTS).min(POINTS);
        (0..missed).for_each(|_| self.push(None));
        let now = self.point(health);
        self.push(Some(now));
        (self.delivered, self.pointed_at, self.until) = (delivered(health), Instant::now(), Timestamp::now());
    }

    fn push(&mut self, point: Option<Point>) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// How the output does since the last point.
    fn point(&self, health: &Health) -> Point {
        let seconds = self.pointed_at.elapsed().as_secs_f64();
        let (events, bytes) = delivered(health);
        #[expect(clippy::cast_precision_loss, reason = "far less than 2^52 in some seconds")]
        let rate = |now: u64, before: u64| {
            if seconds > 0.0 { tenths(now.saturating_sub(before) as f64 / seconds) } else { 0.0 }
        };
        let (lag_bytes, lag_seconds) = health.metrics().lag();
        Point {
            events_per_second: rate(events, self.delivered.0),
            bytes_per_second: rate(bytes, self.delivered.1),
            lag_bytes,
            lag_seconds: tenths(lag_seconds),
        }
    }

    /// How it does now: the rates are those of the last whole step, or of what there was of the first one.
    pub(super) fn current(&self, health: &Health) -> Point {
        let now = self.point(health);
        let rates = self.points.back().copied().flatten().unwrap_or(now);
        Point { lag_bytes: now.lag_bytes, lag_seconds: now.lag_seconds, ..rates }
    }

    pub(super) fn history(&self) -> History {
        fn all<T>(points: &VecDeque<Option<Point>>, of: impl Fn(&Point) -> T) -> Vec<Option<T>> {
            points.iter().map(|point| point.as_ref().map(&of)).collect()
        }
        History {
            step_seconds: STEP.as_secs(),
            until: self.until,
            events_per_second: all(&self.points, |point| point.events_per_second),
            bytes_per_second: all(&self.points, |point| point.bytes_per_second),
            lag_bytes: all(&self.points, |point| point.lag_bytes),
            lag_seconds: all(&self.points, |point| point.lag_seconds),
        }
    }

    /// What it does, since when, and why if something hinders it.
    pub(super) fn state(&self, health: &Health) -> (State, Timestamp, Option<String>) {
        let (state, seen) = self.state.unwrap_or((State::Level, self.until));
        let standing = health.standing();
        let lasts = standing.as_ref().and_then(|standing| standing.lasts);
        let began = lasts.and_then(|lasts| Timestamp::now().checked_sub(lasts).ok());
        (state, began.unwrap_or(seen), standing.map(|standing| standing.reason))
    }

    pub(super) fn errors(&self) -> Vec<Trouble> {
        let trouble = |note: &crate::health::Note| Trouble {
            what: note.what.clone(),
            first: note.first,
            last: note.last,
            count: note.count,
        };
        self.notes.latest().map(trouble).collect()
    }

    pub(super) fn top(&self) -> Top {
        let mut all = Glimpse::default();
        for (_, slice) in &self.slices {
            all.merge(slice.clone());
        }
        let seconds = self.slices.front().map_or(0, |(begun, _)| begun.elapsed().as_secs());
        Top {
            events: all.users.total().events,
            looked_at: all.looks,
            seconds,
            users: shares(&all.users),
            verbs: shares(&all.verbs),
        }
    }
}

fn shares(tally: &Tally) -> Vec<Share> {
    let value = |value: &[u8]| {
        let text = String::from_utf8_lossy(&value[..value.len().min(LONGEST_VALUE)]).into_owned();
        if text.is_empty() { "(none)".to_owned() } else { text }
    };
    let rows = tally.top(MOST_VALUES).rows;
    rows.iter().map(|row| Share { value: value(row.value), events: row.amount.events }).collect()
}

fn delivered(health: &Health) -> (u64, u64) {
    let metrics = health.metrics();
    (metrics.delivered_events(), metrics.delivered_bytes())
}

fn state_of(health: &Health) -> State {
    let hindrance = health.standing().map(|standing| standing.hindrance);
    match hindrance {
        Some(Hindrance::Stopping) => State::Stopping,
        Some(Hindrance::Hanging) => State::Hanging,
        Some(Hindrance::SetAsideBlocked) => State::Blocked,
        Some(Hindrance::Misconfigured) => State::Misconfigured,
        Some(Hindrance::Unavailable) => State::Waiting,
        Some(Hindrance::Unreadable) => State::Unreadable,
        None => match health.metrics().lag() {
            (0, _) => State::Level,
            // What is not read yet has no age.
            (_, seconds) if seconds > 0.0 && seconds <= LEVEL_WITHIN => State::Level,
            _ => State::Shipping,
        },
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::body::Size;
    use crate::metrics::Metrics;

    fn health() -> Health {
        Health::new("siem", Duration::ZERO, Arc::new(Metrics::new().route("siem")))
    }

    async fn step(story: &mut Story, health: &Health, seconds: u64, events: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        let size = Size { body_bytes: 100 * events, sent_bytes: events };
        health.metrics().settled(events, 0, size, &[]);
        story.step(health);
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_points_is_kept_and_where_nobody_looked_there_is_none() {
        let health = health();
        let mut story = Story::of(&health);
        assert!(story.history().events_per_second.is_empty());
        step(&mut story, &health, 10, 5).await;
        // The process stood still for two of three steps.
        step(&mut story, &health, 30, 60).await;
        assert_eq!(story.history().events_per_second, [Some(0.5), None, None, Some(2.0)]);
        assert_eq!(story.history().bytes_per_second, [Some(50.0), None, None, Some(200.0)]);
        assert_eq!(Some(story.current(&health).events_per_second), story.history().events_per_second[3]);
        for _ in 0..400 {
            step(&mut story, &health, 10, 10).await;
        }
        let history = story.history();
        assert_eq!(history.events_per_second, vec![Some(1.0); POINTS]);
        assert_eq!((history.lag_bytes.len(), history.lag_seconds.len()), (POINTS, POINTS));
        assert!(story.slices.len() <= SLICES);
        assert!((3300..=3600).contains(&story.top().seconds), "{}", story.top().seconds);
        step(&mut story, &health, 1 << 30, 0).await;
        assert_eq!(story.history().events_per_second.iter().flatten().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_tick_makes_no_point_too_few_and_none_too_many() {
        let health = health();
        let mut story = Story::of(&health);
        step(&mut story, &health, 10, 10).await;
        // The second tick comes with almost two steps over, and the third one at once.
        tokio::time::advance(Duration::from_millis(9_900)).await;
        step(&mut story, &health, 10, 199).await;
        tokio::time::advance(Duration::from_millis(100)).await;
        step(&mut story, &health, 0, 100).await;
        step(&mut story, &health, 10, 1).await;
        assert_eq!(story.history().events_per_second, [Some(1.0), None, Some(10.0), Some(10.0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_is_told_with_its_beginning_and_what_went_wrong_is_kept() {
        let health = health();
        let mut story = Story::of(&health);
        story.look(&health);
        let told = |story: &Story| {
            let (state, since, reason) = story.state(&health);
            (state, Timestamp::now().duration_since(since).as_secs(), reason)
        };
        assert_eq!(told(&story), (State::Level, 0, None));
        health.metrics().unread(1 << 20);
        story.look(&health);
        assert_eq!(told(&story), (State::Shipping, 0, None));
        for reason in ["503", "503", "connection refused"] {
            health.unavailable(reason);
        }
        tokio::time::advance(Duration::from_secs(90)).await;
        story.look(&health);
        assert_eq!(told(&story), (State::Waiting, 90, Some("connection refused".to_owned())));
        health.accepted(health.now());
        health.metrics().unread(0);
        story.look(&health);
        assert_eq!(told(&story), (State::Level, 0, None));
        let errors = story.errors();
        let shown: Vec<_> = errors.iter().map(|error| (error.what.as_str(), error.count)).collect();
        assert_eq!(shown, [("connection refused", 1), ("503", 2)]);
    }
}
