use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// How many calls may be made again: one for every ten that were offered. Some are saved for the moment in which a replica goes
/// with all its calls. And one a second in any case, or a call that comes alone could never be made again.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Account>);

#[derive(Debug, Default)]
struct Account {
    /// Calls offered and not yet spent on repetitions.
    saved: u32,
    spent: Option<Instant>,
}

/// What a repetition costs, in calls offered.
const COST: u32 = 10;
/// Ten repetitions.
const MOST: u32 = 10 * COST;
const EVERY: Duration = Duration::from_secs(1);

impl Budget {
    /// A call is to be made that has not been made before.
    pub fn offered(&self) {
        let mut account = self.0.lock().expect("no holder of the lock panics");
        account.saved = (account.saved + 1).min(MOST);
    }

    /// Whether a call may be made again.
    pub fn may_repeat(&self) -> bool {
        self.may_repeat_at(Instant::now())
    }

    fn may_repeat_at(&self, now: Instant) -> bool {
        let mut account = self.0.lock().expect("no holder of the lock panics");
        let is_due = account.spent.is_none_or(|spent| now >= spent + EVERY);
        if account.saved < COST && !is_due {
            return false;
        }
        account.saved = account.saved.saturating_sub(COST);
        account.spent = Some(now);
        true
    }
}

/// How long to wait before the repetition that follows attempt `attempt` (from 1): twice as long each time, and by chance, so
/// that what failed together does not come back together.
pub fn backoff(attempt: u32) -> Duration {
    let most_ms = 20 << attempt.saturating_sub(1).min(5);
    Duration::from_millis(rand::random_range(most_ms / 2..=most_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_calls_that_fail_one_in_ten_is_made_again() {
        let budget = Budget::default();
        let now = Instant::now();
        let mut repeated = 0;
        for _ in 0..1_000 {
            budget.offered();
            repeated += u32::from(budget.may_repeat_at(now));
        }
        assert!((100..=101).contains(&repeated), "{repeated}");
    }

    #[test]
    fn what_is_saved_is_limited() {
        let budget = Budget::default();
        let now = Instant::now();
        (0..10_000).for_each(|_| budget.offered());
        let repeated = (0..100).filter(|_| budget.may_repeat_at(now)).count();
        assert_eq!(repeated, 10);
    }

    #[test]
    fn a_call_that_comes_alone_may_be_made_again() {
        let budget = Budget::default();
        let now = Instant::now();
        budget.offered();
        assert!(budget.may_repeat_at(now));
        assert!(!budget.may_repeat_at(now + EVERY / 2));
        assert!(budget.may_repeat_at(now + EVERY));
    }

    #[test]
    fn waits_grow_and_vary() {
        let waits: Vec<_> = (0..100).map(|_| backoff(1)).collect();
        assert!(
            waits
                .iter()
                .all(|wait| (10..=20).contains(&wait.as_millis()))
        );
        assert!(waits.iter().any(|wait| *wait != waits[0]));
        assert!(backoff(3) >= Duration::from_millis(40));
        assert!(backoff(u32::MAX) <= Duration::from_millis(640));
    }
}
