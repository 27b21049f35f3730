//! What an output does, in one word, for whoever looks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::trouble::Kind;
use super::{Health, Notes};
use crate::source::pins::PinSet;

/// What keeps an output from shipping, if anything does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// The daemon stops, or the output is built anew.
    Stopping,
    /// Its loop does not run.
    Hanging,
    /// Lines cannot be set aside.
    SetAsideBlocked,
    /// Somebody must change something.
    Misconfigured,
    /// The endpoint cannot take anything now.
    Unavailable,
    /// The log cannot be read.
    Unreadable,
}

/// A hindrance, why it is one, and for how long it has been if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub hindrance: Hindrance,
    /// In words.
    pub reason: String,
    /// Since when.
    pub lasts: Option<Duration>,
}

/// From where to where an output ships.
pub struct Course {
    /// The files of its log, and its number among those who read them.
    pub pins: Arc<PinSet>,
    /// See `pins`.
    pub number: usize,
    /// The kind of its destination, as the configuration calls it.
    pub destination: &'static str,
    /// The endpoint as it is shown now: never a query, never credentials.
    pub endpoint: Box<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Course").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Health {
    /// From where to where it ships from now on.
    pub fn leads(&self, course: Course) {
        self.lock().course = Some(Arc::new(course));
    }

    /// From where to where it ships, if that was said.
    #[must_use]
    pub fn course(&self) -> Option<Arc<Course>> {
        self.lock().course.clone()
    }

    /// What hinders it, if anything does; the gravest comes first.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let hanging = self.pulse.stalled();
        let state = self.lock();
        let standing =
            |hindrance, reason: &str| Standing { hindrance, reason: reason.to_owned(), lasts: None };
        if state.stopping {
            return Some(standing(Hindrance::Stopping, "stopping"));
        }
        if let Some(reason) = hanging {
            return Some(standing(Hindrance::Hanging, &reason));
        }
        if let Some(reason) = &state.cannot_set_aside {
            return Some(standing(Hindrance::SetAsideBlocked, reason));
        }
        if let Some(trouble) = &state.trouble {
            let hindrance = match trouble.kind {
                Kind::Misconfigured => Hindrance::Misconfigured,
                Kind::Unavailable => Hindrance::Unavailable,
            };
            let lasts = Some(trouble.since.elapsed());
            return Some(Standing { lasts, ..standing(hindrance, &trouble.reason) });
        }
        state.cannot_read.as_ref().map(|reason| standing(Hindrance::Unreadable, reason))
    }

    /// Remembers what went wrong, in words that our log may hold.
    pub fn note(&self, what: &str) {
        self.lock().notes.add(what);
    }

    /// What went wrong since the last call.
    #[must_use]
    pub fn take_notes(&self) -> Notes {
        std::mem::take(&mut self.lock().notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test(start_paused = true)]
    async fn the_gravest_hindrance_is_told_with_its_reason() {
        let health = Health::new("siem", Duration::ZERO, Arc::new(Metrics::new().route("siem")));
        let hindrance = || health.standing().map(|standing| (standing.hindrance, standing.reason));
        assert_eq!(hindrance(), None);
        health.behind(Some(1), Some("audit.log: denied".into()));
        assert_eq!(hindrance(), Some((Hindrance::Unreadable, "audit.log: denied".into())));
        health.unavailable("503");
        tokio::time::advance(Duration::from_secs(7)).await;
        let unavailable = Standing {
            hindrance: Hindrance::Unavailable,
            reason: "503".into(),
            lasts: Some(Duration::from_secs(7)),
        };
        assert_eq!(health.standing(), Some(unavailable));
        health.misconfigured("401");
        assert_eq!(hindrance(), Some((Hindrance::Misconfigured, "401".into())));
        health.set_aside_blocked(Some("full".into()));
        assert_eq!(hindrance(), Some((Hindrance::SetAsideBlocked, "full".into())));
        health.stopping();
        assert_eq!(hindrance(), Some((Hindrance::Stopping, "stopping".into())));
        let notes = health.take_notes();
        let told: Vec<_> = notes.latest().map(|note| (note.what.as_str(), note.count)).collect();
        assert_eq!(told, [("full", 1), ("401", 1), ("503", 1), ("audit.log: denied", 1)]);
        assert_eq!(health.take_notes().latest().count(), 0);
    }
}
