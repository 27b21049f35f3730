//! What is told of an endpoint in trouble: that it begins, that it is over, and in between as little as will do.
//!
//! An outage of a day is thousands of tries. The line of its beginning is repeated once in ten minutes, and once a minute
//! if the reason has changed. Trouble that comes and goes is news once a minute; what is not told when it begins is told
//! when it lasts.

use std::time::Duration;

use tokio::time::Instant;

/// Between two lines about the same trouble.
const REMIND_EVERY: Duration = Duration::from_secs(600);
/// The same if the reason is another one, and between two lines about beginnings.
const NEWS_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It will pass.
    Unavailable,
    /// Somebody must change something.
    Misconfigured,
}

/// What is to be told after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Begins,
    Lasts,
}

/// An endpoint that takes nothing.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    /// Why, for whoever asks: what somebody must act on stays that, also while the endpoint is away.
    pub(super) reason: String,
    pub(super) since: Instant,
    pub(super) tries: u64,
    was_told: bool,
    told: Option<Told>,
}

/// The last line about it as it is now.
#[derive(Debug)]
struct Told {
    at: Instant,
    reason: String,
}

/// When the last beginnings were told, which outlives the trouble.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    unavailable: Option<Instant>,
    misconfigured: Option<Instant>,
}

impl Trouble {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, reason: String::new(), since: Instant::now(), tries: 0, was_told: false, told: None }
    }

    /// Whether anything was told of it.
    pub(super) fn was_told(&self) -> bool {
        self.was_told
    }

    /// Notes a failed try; returns what is to be told of it.
    pub(super) fn failed(&mut self, kind: Kind, reason: &str, beginnings: &mut Beginnings) -> Option<News> {
        self.tries += 1;
        if kind == Kind::Misconfigured && self.kind == Kind::Unavailable {
            self.kind = kind;
            self.told = None;
        }
        if kind == self.kind {
            reason.clone_into(&mut self.reason);
        }
        let news = match &self.told {
            None if beginnings.may_tell(self.kind) => Some(News::Begins),
            None => None,
            Some(told) => {
                let pause = if told.reason == reason { REMIND_EVERY } else { NEWS_EVERY };
                (told.at.elapsed() >= pause).then_some(News::Lasts)
            }
        };
        if news.is_some() {
            self.was_told = true;
            self.told = Some(Told { at: Instant::now(), reason: reason.to_owned() });
        }
        news
    }
}

impl Beginnings {
    /// Whether one more may be told now; it counts as told then.
    fn may_tell(&mut self, kind: Kind) -> bool {
        let last = match kind {
            Kind::Unavailable => &mut self.unavailable,
            Kind::Misconfigured => &mut self.misconfigured,
        };
        let may = last.is_none_or(|at| at.elapsed() >= NEWS_EVERY);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::Kind::{Misconfigured, Unavailable};
    use super::*;

    /// The seconds at which something was told of trouble that fails each second for so long, and what.
    async fn told(seconds: u64, failure: impl Fn(u64) -> (Kind, &'static str)) -> Vec<(u64, News)> {
        let (mut trouble, mut beginnings) = (Trouble::new(failure(0).0), Beginnings::default());
        let mut told = Vec::new();
        for second in 0..seconds {
            let (kind, reason) = failure(second);
            told.extend(trouble.failed(kind, reason, &mut beginnings).map(|news| (second, news)));
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(trouble.tries, seconds);
        told
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_every_ten_minutes() {
        for kind in [Unavailable, Misconfigured] {
            let lines = told(1801, |_| (kind, "status 503")).await;
            assert_eq!(
                lines,
                [(0, News::Begins), (600, News::Lasts), (1200, News::Lasts), (1800, News::Lasts)]
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_reason_is_told_once_a_minute_at_most() {
        let once = told(500, |second| (Unavailable, if second < 100 { "a" } else { "b" })).await;
        assert_eq!(once, [(0, News::Begins), (100, News::Lasts)]);
        let each = told(200, |second| (Unavailable, ["a", "b", "c"][(second % 3) as usize])).await;
        assert_eq!(each, [(0, News::Begins), (61, News::Lasts), (122, News::Lasts), (183, News::Lasts)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_must_act_on_is_told_at_once_and_stays_that() {
        let lines = told(30, |second| match second {
            10..20 => (Misconfigured, "401"),
            _ => (Unavailable, "503"),
        })
        .await;
        assert_eq!(lines, [(0, News::Begins), (10, News::Begins)]);
        let (mut trouble, mut beginnings) = (Trouble::new(Misconfigured), Beginnings::default());
        assert!(!trouble.was_told());
        for (kind, reason) in [(Misconfigured, "401"), (Unavailable, "503")] {
            trouble.failed(kind, reason, &mut beginnings);
        }
        assert_eq!((trouble.kind, trouble.reason.as_str(), trouble.tries), (Misconfigured, "401", 2));
        // It was told that the endpoint is away, so that it is back will be told too.
        let mut another = Trouble::new(Unavailable);
        let news = [(Unavailable, "503"), (Misconfigured, "401")]
            .map(|(kind, reason)| another.failed(kind, reason, &mut beginnings));
        assert_eq!((news, another.was_told()), ([Some(News::Begins), None], true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_told_once_a_minute_and_what_stays_is_told() {
        let mut beginnings = Beginnings::default();
        let mut told = Vec::new();
        for second in 0..180 {
            let mut trouble = Trouble::new(Unavailable);
            told.extend(trouble.failed(Unavailable, "429", &mut beginnings).map(|_| second));
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told, [0, 60, 120]);
        let mut lasts = Trouble::new(Unavailable);
        assert_eq!(lasts.failed(Unavailable, "429", &mut beginnings), Some(News::Begins));
        let mut again = Trouble::new(Unavailable);
        assert_eq!(again.failed(Unavailable, "429", &mut beginnings), None);
        advance(NEWS_EVERY).await;
        assert_eq!(again.failed(Unavailable, "429", &mut beginnings), Some(News::Begins));
    }
}
