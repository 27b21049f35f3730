//! The books of one output.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Gauge, Histogram, IntCounter, IntGauge};
use tokio::time::Instant;

use super::scraped::{Lag, Scraped};
use super::{Inner, Outcome, Unsettled, lock, signed};
use crate::batch::{Batch, FilteredBy, Reason};
use crate::body::Size;
use crate::endpoint::Condition;
use crate::gap::Gap;
use crate::{config, rejected};

/// The books of one output.
#[derive(Debug)]
pub struct RouteMetrics {
    pub(super) inner: Arc<Inner>,
    pub(super) output: String,
    pub(super) events: IntCounter,
    pub(super) read: IntCounter,
    pub(super) delivered: IntCounter,
    pub(super) delivered_bytes: IntCounter,
    pub(super) sent_bytes: IntCounter,
    pub(super) buffered: IntGauge,
    pub(super) diverted: IntCounter,
    pub(super) truncated: IntCounter,
    pub(super) requests: [IntCounter; 4],
    pub(super) durations: Histogram,
    pub(super) batches: Histogram,
    pub(super) throttled: prometheus::Counter,
    pub(super) grace: Gauge,
    pub(super) misconfigured: IntGauge,
    pub(super) unreadable: IntGauge,
    pub(super) rejected_dropped: IntCounter,
    pub(super) window: IntGauge,
    pub(super) nul_bytes: IntCounter,
    pub(super) skipped: IntCounter,
    pub(super) rotations: AtomicU64,
    /// Lines that are yet to be read once more.
    pub(super) given_back: AtomicU64,
    pub(super) scraped: Arc<Scraped>,
}

impl RouteMetrics {
    /// A batch was read; not of a gap record, which is no line of the log.
    pub fn taken(&self, batch: &Batch) {
        let (lines, events) = (batch.lines() as u64, batch.events() as u64);
        let _books = lock(&self.inner.books);
        // What was given back was in the books as read, and comes again.
        let again = self.given_back.load(Ordering::Relaxed).min(lines);
        self.given_back.fetch_sub(again, Ordering::Relaxed);
        self.read.inc_by(lines - again + batch.filtered().events());
        self.events.inc_by(events);
        self.buffered.add(signed(lines));
        self.truncated.inc_by(batch.truncated());
        self.skipped.inc_by(batch.skipped().lines);
        for (by, events) in batch.filtered().by() {
            self.filtered(by).inc_by(events);
        }
        if lines > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 events")]
            self.batches.observe(events as f64);
        }
    }

    /// The output has a match.
    pub fn has_match(&self) {
        self.filtered(FilteredBy::Match);
    }

    /// A policy of so many rules is in use from now on.
    pub fn policy(&self, rules: usize) {
        for rule in (0..rules).map(Some).chain([None]) {
            self.filtered(FilteredBy::Policy(rule));
        }
        self.policy_reload(true);
    }

    /// Whether the policy file is good; what was good before stays in use.
    pub fn policy_reload(&self, is_good: bool) {
        let family = &self.inner.families.policy_reloads;
        family.with_label_values(&[&self.output]).set(i64::from(is_good));
    }

    fn filtered(&self, by: FilteredBy) -> IntCounter {
        let rule = match by {
            FilteredBy::Match => "match".to_owned(),
            FilteredBy::Policy(None) => "none".to_owned(),
            FilteredBy::Policy(Some(rule)) => rule.to_string(),
        };
        self.inner.families.filtered.with_label_values(&[self.output.as_str(), &rule])
    }

    /// A batch was settled: so many events acknowledged in bodies of these sizes, so many refused by an endpoint that does
    /// not name them, the others set aside.
    pub fn settled(&self, delivered: u64, refused_unnamed: u64, size: Size, asides: &[Reason]) {
        let _books = lock(&self.inner.books);
        self.delivered.inc_by(delivered);
        self.delivered_bytes.inc_by(size.body_bytes);
        self.sent_bytes.inc_by(size.sent_bytes);
        self.inner.families.refused.with_label_values(&[&self.output]).inc_by(refused_unnamed);
        self.buffered.sub(signed(delivered + refused_unnamed + asides.len() as u64));
        for reason in asides {
            let of = [self.output.as_str(), reason.as_str()];
            self.inner.families.set_aside.with_label_values(&of).inc();
            self.inner.families.errors.with_label_values(&of).inc();
        }
    }

    /// Lines in memory were given up; they are read again after a restart, or a change of the configuration.
    pub fn given_back(&self, lines: u64) {
        let _books = lock(&self.inner.books);
        self.buffered.sub(signed(lines));
        self.given_back.fetch_add(lines, Ordering::Relaxed);
    }

    /// The output begins anew, with an endpoint and a log of which nothing is known yet. What was counted stays.
    pub fn begins_anew(&self) {
        self.misconfigured(false);
        self.log_unreadable(false);
        self.waiting_since(None);
        self.retention_grace(f64::INFINITY);
        *lock(&self.scraped.lag) = Lag::default();
    }

    /// The output is gone, or is another one now: with files of its endpoint and a policy of which nothing is known yet
    /// either.
    pub fn is_configured_anew(&self) {
        self.begins_anew();
        self.endpoint(&Condition::UNKNOWN);
        // It has neither, if nobody says otherwise.
        let families = &self.inner.families;
        let _ = families.policy_reloads.remove_label_values(&[&self.output]);
        let _ = families.throttle_limits.remove_label_values(&[&self.output]);
    }

    /// What the configuration lets the output do.
    pub fn limits(&self, output: &config::Output, state_dir: &Path) {
        let (families, of) = (&self.inner.families, [self.output.as_str()]);
        #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 events")]
        let events = output.batch.max_size.get() as f64;
        let events_per_second = output.batch.throttle.map_or(f64::INFINITY, |throttle| throttle.qps * events);
        families.throttle_limits.with_label_values(&of).set(events_per_second);
        families.rejected_limits.with_label_values(&of).set(signed(output.rejected.max_size));
        let _ = self.scraped.rejected_file.set(rejected::path(state_dir, &self.output));
    }

    /// One request came to its end.
    pub fn request(&self, outcome: Outcome, took: Duration) {
        let index = Outcome::ALL.iter().position(|(other, _)| *other == outcome).unwrap_or_default();
        self.requests[index].inc();
        self.durations.observe(took.as_secs_f64());
    }

    /// The endpoint keeps so many of the acknowledged events elsewhere.
    pub fn diverted(&self, events: u64) {
        self.diverted.inc_by(events);
    }

    /// Events were cut after they had been taken.
    pub fn truncated(&self, events: u64) {
        self.truncated.inc_by(events);
    }

    /// The throttle held a batch back.
    pub fn throttled(&self, waited: Duration) {
        self.throttled.inc_by(waited.as_secs_f64());
    }

    /// Bytes of the log that are behind the reader.
    pub fn unread(&self, bytes: u64) {
        lock(&self.scraped.lag).unread_bytes = bytes;
    }

    /// So many of these were read since they were counted.
    pub fn took(&self, bytes: u64) {
        let mut lag = lock(&self.scraped.lag);
        lag.unread_bytes = lag.unread_bytes.saturating_sub(bytes);
    }

    /// What is in the batch that is being filled.
    pub fn reading(&self, unsettled: Unsettled) {
        lock(&self.scraped.lag).reading = unsettled;
    }

    /// What is in batches that were taken; the one that was being filled may be among them now.
    pub fn unsettled(&self, unsettled: Unsettled, was_reading: bool) {
        let mut lag = lock(&self.scraped.lag);
        lag.taken = unsettled;
        if was_reading {
            lag.reading = Unsettled::default();
        }
    }

    /// How far the output is behind: bytes that are not settled, and the age of the oldest event among them in seconds.
    #[must_use]
    pub fn lag(&self) -> (u64, f64) {
        self.scraped.behind(Timestamp::now())
    }

    /// Bytes of the log in batches that were taken and are not settled.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        lock(&self.scraped.lag).taken.bytes
    }

    /// Retention reaches what is not settled in so many seconds.
    pub fn retention_grace(&self, seconds: f64) {
        self.grace.set(seconds);
    }

    /// Seconds until retention reaches what is not settled, as of the last look at the log; infinite if it never does.
    #[must_use]
    pub fn retention_grace_seconds(&self) -> f64 {
        self.grace.get()
    }

    /// Events that were acknowledged so far.
    #[must_use]
    pub fn delivered_events(&self) -> u64 {
        self.delivered.get()
    }

    /// Bytes of the bodies they were in, before compression.
    #[must_use]
    pub fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes.get()
    }

    /// Rotations that this output followed. All outputs follow the same log, so the one that is ahead counts.
    pub fn rotated(&self, rotations: u64) {
        let own = self.rotations.fetch_add(rotations, Ordering::Relaxed) + rotations;
        self.inner.rotations_seen.fetch_max(own, Ordering::Relaxed);
    }

    /// Bytes that are no part of any line.
    pub fn skipped_nuls(&self, bytes: u64) {
        self.nul_bytes.inc_by(bytes);
    }

    /// Events are or may be missing; nobody knows how many, so it counts as one.
    pub fn lost(&self, gap: &Gap) {
        let families = &self.inner.families;
        let certainty = if gap.certain { "certain" } else { "possible" };
        let of = [self.output.as_str(), certainty];
        families.gaps.with_label_values(&of).inc();
        families.last_gaps.with_label_values(&of).set(Timestamp::now().as_duration().as_secs_f64());
        families.lost_bytes.with_label_values(&[self.output.as_str()]).inc_by(gap.lost_bytes());
        self.lost_events(1);
    }

    /// Events that were in the file of rejected events and no longer are.
    pub fn rejected_dropped(&self, events: u64) {
        self.rejected_dropped.inc_by(events);
        self.lost_events(events);
    }

    fn lost_events(&self, events: u64) {
        self.inner.families.errors.with_label_values(&[self.output.as_str(), "lost"]).inc_by(events);
    }

    /// How the files of the endpoint are.
    pub fn endpoint(&self, condition: &Condition) {
        let families = &self.inner.families;
        families.reloads.with_label_values(&[&self.output]).set(i64::from(condition.is_good));
        for (certificate, expires) in [
            ("client", condition.client_certificate_expires),
            ("authority", condition.authorities_expire),
            ("server", condition.server_certificate_expires),
        ] {
            let of = [self.output.as_str(), certificate];
            match expires {
                Some(expires) => families.certificates.with_label_values(&of).set(expires.as_second()),
                // There is none any more, or there has never been one.
                None => drop(families.certificates.remove_label_values(&of)),
            }
        }
    }

    /// Whether the endpoint refuses what has nothing to do with single events.
    pub fn misconfigured(&self, is: bool) {
        self.misconfigured.set(i64::from(is));
    }

    /// Whether the log cannot be read.
    pub fn log_unreadable(&self, is: bool) {
        self.unreadable.set(i64::from(is));
    }

    /// Since when something has waited without anything being settled.
    pub fn waiting_since(&self, since: Option<Instant>) {
        *lock(&self.scraped.waiting_since) = since;
    }

    /// So many requests may be under way at a time.
    pub fn window(&self, requests: usize) {
        self.window.set(signed(requests as u64));
    }
}
