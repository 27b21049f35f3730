//! When an entry is, and in which stream, so that Loki takes it.
//!
//! Loki refuses what is more than half of `max_chunk_age` (2 h by default) behind the newest entry of its stream, what is
//! older than `reject_old_samples_max_age` (168 h), and what is in the future. An outage, a slow Loki, requests under way
//! together or a cursor that was reset must not lead there:
//!
//! - What is old goes into streams of its own, one for each hour (label `replay`): none of their entries can be far behind
//!   another, in whatever order they come. The stream without that label has nothing but the last three quarters of an
//!   hour.
//! - What is too old is moved to the oldest hour that Loki takes, if that is wanted, and what is in the future to now.
//!
//! An entry that is sent twice is stored once if stream, time and line are the same. So nothing here looks at the entry's
//! neighbours, which differ once a request is halved; and where the node's clock counts, it is rounded down. Only an entry
//! that passes one of these limits between two tries can be there twice.
//!
//! kube-apiserver's times end with the microsecond. The nanoseconds below tell the order of the log: they grow with the
//! line's offset, and begin anew after 256 kB.

/// All in nanoseconds.
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// What is older than this is not put behind the newest.
const LIVE_FOR: i64 = 45 * MINUTE;
/// Loki takes nothing from before 168 hours, unless it says so.
pub(super) const OLDEST_TAKEN: i64 = 168 * HOUR;
/// One is the hour that all too old entries go to, and one is for the tries.
const SPARE: i64 = 2 * HOUR;
/// Loki takes ten minutes, by its own clock.
const AHEAD: i64 = 5 * MINUTE;
/// How exactly the clock counts where an entry gets its time.
const CLOCK_STEP: i64 = 10 * MINUTE;
/// Bytes of the log to a nanosecond; hardly any line is shorter.
const BYTES_A_NANOSECOND: u64 = 256;

/// Where an entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Since 1970.
    pub(super) nanoseconds: i64,
    /// The hour whose stream it goes to, in seconds since 1970; `None` of what is new.
    pub(super) replay: Option<i64>,
    /// Whether that is not the event's own time.
    pub(super) moved: bool,
}

/// What is known of Loki.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct There {
    /// What time it is.
    pub(super) now: i64,
    /// How old an entry may be.
    pub(super) oldest_taken: i64,
}

/// The place of an event that happened at `time` and whose line is at `offset` of its file.
pub(super) fn place(time: Option<i64>, offset: u64, there: There, moves_too_old: bool) -> Place {
    let There { now, oldest_taken } = there;
    let own = time.map(|time| if time % 1_000 == 0 { time.saturating_add(order(offset)) } else { time });
    // Where Loki takes no more than a few hours, there is less to spare.
    let spare = SPARE.min(oldest_taken / 2);
    let slot = (spare / 2).clamp(1, HOUR);
    let oldest = floor(now.saturating_sub(oldest_taken.saturating_sub(spare)), slot);
    let nanoseconds = match own {
        Some(own) if own > now.saturating_add(AHEAD) => floor(now, CLOCK_STEP) + own.rem_euclid(SECOND),
        // Apart from each other, since Loki compares all that have the same time.
        Some(own) if own < oldest && moves_too_old => oldest + own.rem_euclid(slot),
        Some(own) => own,
        None => floor(now, CLOCK_STEP) + order(offset),
    };
    let is_old = nanoseconds < now.saturating_sub(LIVE_FOR);
    Place {
        nanoseconds,
        replay: is_old.then(|| floor(nanoseconds, HOUR) / SECOND),
        moved: own != Some(nanoseconds),
    }
}

/// 0 to 999.
fn order(offset: u64) -> i64 {
    i64::try_from(offset / BYTES_A_NANOSECOND % 1_000).unwrap_or_default()
}

/// The last multiple of `unit` before, or nearly so where there are no numbers any more.
fn floor(nanoseconds: i64, unit: i64) -> i64 {
    nanoseconds.saturating_sub(nanoseconds.rem_euclid(unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::properties::cases;

    /// Loki as it is if nothing else is said.
    fn there(now: i64) -> There {
        There { now, oldest_taken: OLDEST_TAKEN }
    }

    /// 2026-11-22T02:22:50.248816Z
    const NOW: i64 = 1_795_314_170_248_816_000;

    #[test]
    fn what_is_new_keeps_its_time_and_the_order_of_the_log() {
        let at = |time, offset| place(Some(time), offset, there(NOW), true);
        let new = |nanoseconds| Place { nanoseconds, replay: None, moved: false };
        assert_eq!(at(NOW, 0), new(NOW));
        assert_eq!(at(NOW, 700), Place { nanoseconds: NOW + 2, moved: false, replay: None });
        assert_eq!(at(NOW - LIVE_FOR, 0).replay, None);
        assert_eq!(at(NOW + AHEAD, 0), new(NOW + AHEAD));
        // Somebody who counts nanoseconds knows the order.
        assert_eq!(at(NOW + 1, 700), new(NOW + 1));
    }

    #[test]
    fn what_is_old_goes_to_the_stream_of_its_hour() {
        // 2026-11-22T01:00:00Z
        let hour = 1_795_309_200;
        let old = NOW - LIVE_FOR - 1_000;
        let expect = Place { nanoseconds: old, replay: Some(hour), moved: false };
        assert_eq!(place(Some(old), 0, there(NOW), true), expect);
    }

    #[test]
    fn what_is_too_old_goes_to_the_oldest_hour_or_stays_as_it_is() {
        let time = NOW - 300 * HOUR;
        let moved = place(Some(time), 0, there(NOW), true);
        // 2026-11-15T04:22:50.248816Z, which is 166 hours ago to the hour.
        assert_eq!(moved.nanoseconds, NOW - 166 * HOUR);
        assert_eq!(moved.replay, Some(moved.nanoseconds / HOUR * 3600));
        assert!(moved.moved);
        let same = place(Some(time), 0, there(NOW + 30 * MINUTE), true);
        assert_eq!(same.nanoseconds, moved.nanoseconds, "a try of the same hour");
        let stays = place(Some(time), 0, there(NOW), false);
        assert_eq!((stays.nanoseconds, stays.moved), (time, false));
    }

    #[test]
    fn what_is_in_the_future_or_has_no_time_is_now() {
        let floor = NOW - (2 * MINUTE + 50 * SECOND + 248_816_000);
        let future = place(Some(NOW + 11 * MINUTE), 0, there(NOW), true);
        assert_eq!((future.nanoseconds, future.moved), (floor + 248_816_000, true));
        assert_eq!(
            place(None, 512, there(NOW), true),
            Place { nanoseconds: floor + 2, replay: None, moved: true }
        );
    }

    proptest! {
        #![proptest_config(cases(2000))]

        /// Whatever the clock and the event say, Loki's limits hold: not 168 h old, not in the future, and within an hour of
        /// whatever else may be in the same stream.
        #[test]
        fn lokis_limits_hold(time in NOW - 400 * HOUR..NOW + 400 * HOUR, offset: u64) {
            let place = place(Some(time), offset, there(NOW), true);
            prop_assert!(place.nanoseconds >= NOW - 167 * HOUR);
            prop_assert!(place.nanoseconds <= NOW + AHEAD + 1_000);
            match place.replay {
                Some(hour) => prop_assert!((0..HOUR).contains(&(place.nanoseconds - hour * SECOND))),
                None => prop_assert!(place.nanoseconds > NOW - 50 * MINUTE),
            }
        }

        /// However little Loki takes, what is too old is moved to where it takes it.
        #[test]
        fn a_short_limit_is_kept(time in NOW - 400 * HOUR..NOW, minutes in 4_i64..600) {
            let there = There { now: NOW, oldest_taken: minutes * MINUTE };
            let place = place(Some(time), 0, there, true);
            prop_assert!((NOW - there.oldest_taken..=NOW + 1_000).contains(&place.nanoseconds), "{:?}", place);
        }

        /// No time is a reason to stop.
        #[test]
        fn any_time_has_a_place(time: Option<i64>, offset: u64, now: i64, moves: bool) {
            place(time, offset, there(now), moves);
        }

        /// A later try within its ten minutes finds the same place, but at the limits between old and new.
        #[test]
        fn a_later_try_finds_the_same_place(time in NOW - 400 * HOUR..NOW + 400 * HOUR, later in 0..7 * MINUTE) {
            let is_at_a_limit = (NOW - LIVE_FOR..NOW - LIVE_FOR + later).contains(&time)
                || (NOW + AHEAD..=NOW + AHEAD + later).contains(&time);
            prop_assume!(!is_at_a_limit);
            prop_assert_eq!(place(Some(time), 0, there(NOW), true), place(Some(time), 0, there(NOW + later), true));
        }
    }
}
