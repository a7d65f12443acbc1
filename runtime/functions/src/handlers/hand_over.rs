//! Handing over: a function that comes near its time limit saves what it has, answers where it stopped, and the state
//! machine calls it again from there (LambdaML, Jiang et al., SIGMOD 2021, section 3.3.2, "handling limited lifetime",
//! where a worker triggers its successor itself; here the machine does, so that a lost worker loses nothing).
//!
//! 1. After each step (a batch trained on, a batch written) the call looks at what is left until its deadline, which
//!    came with the invocation. It is short when it would not hold a step as long as the longest one so far, the
//!    saving (measured as the loading of the same at the start of the call) and a reserve for what cannot be foreseen.
//! 2. It then writes its state under keys that say *what* the state is (run, round, peer, place in the work), and
//!    neither which call wrote it nor when. The state before a batch is the same whoever computed it and however
//!    often it was handed over: the parameters, the momentum, the sums; the generator is seeded anew for each batch.
//!    So a duplicate that stops elsewhere writes other objects, and one that stops here the same bytes.
//! 3. It replies `{…, "handed_over": {"continuation": n, "next": place}}`. A Choice leads back to the task with that,
//!    as often as the definition says; the definition's own failure ends it beyond.
//! 4. A continuation that finds its state lost or damaged goes on from an earlier one of the round, or from the round's
//!    beginning. It takes longer and ends in the same bytes.
//!
//! A call makes one step at the least, so it always makes progress; where the limit does not hold even that, it fails
//! with [`ErrorKind::OutOfTime`] as often as it is tried again, and no more.
//!
//! `prepare` hands over too. Its state is how many batches are written, which is in the reply alone.
#![expect(clippy::disallowed_methods, reason = "a call's time limit is real time")]

use super::Environment;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stepgrad_contract::training::HandOver;
use stepgrad_contract::{ErrorKind, Function, FunctionError};

/// What is left of a limit when a call that waits for something gives up, at the most: enough to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// When a call is ended, done or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deadline {
    /// Never.
    #[default]
    Never,
    /// By Lambda, or whoever runs the function.
    At {
        /// When.
        end: Instant,
        /// How long the call may take in all.
        limit: Duration,
    },
    /// Time is short after so many steps, whatever the clock says.
    AfterSteps(u32),
}

impl Deadline {
    /// The deadline of an invocation that begins now and has to end at `unix_ms`, milliseconds since 1970 (AWS Lambda,
    /// "Using the Lambda runtime API": `Lambda-Runtime-Deadline-Ms`).
    #[must_use]
    pub fn of_invocation(unix_ms: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let limit = Duration::from_millis(unix_ms).saturating_sub(now);
        // Beyond what a clock can say nobody ends the call.
        Instant::now().checked_add(limit).map_or(Self::Never, |end| Self::At { end, limit })
    }

    fn limit(self) -> Option<Duration> {
        match self {
            Self::At { limit, .. } => Some(limit),
            Self::Never | Self::AfterSteps(_) => None,
        }
    }

    fn left(self) -> Option<Duration> {
        match self {
            Self::At { end, .. } => Some(end.saturating_duration_since(Instant::now())),
            Self::Never | Self::AfterSteps(_) => None,
        }
    }
}

/// Does `work`, and gives up waiting shortly before the deadline, so that the caller reads why.
pub(super) async fn within<T>(
    function: Function,
    deadline: Deadline,
    work: impl Future<Output = Result<T, FunctionError>>,
) -> Result<T, FunctionError> {
    let (Some(left), Some(limit)) = (deadline.left(), deadline.limit()) else { return work.await };
    let left = left.saturating_sub(ANSWER.min(limit / 20));
    let late = |_| Err(out_of_time(function, limit));
    tokio::time::timeout(left, work).await.unwrap_or_else(late)
}

fn out_of_time(function: Function, limit: Duration) -> FunctionError {
    let remedy = match function {
        Function::Train => ", or lower training.batch_size",
        _ => ", or give it more memory, with which a share of a processor comes",
    };
    let message = format!(
        "{function} had not done a batch and saved it when its time limit of {:.1} s was nearly over: raise functions.{function}.timeout_s{remedy}",
        limit.as_secs_f64()
    );
    FunctionError::new(ErrorKind::OutOfTime, message)
}

/// Watches the time of a call that works in steps.
#[derive(Debug)]
pub(super) struct Watch {
    function: Function,
    deadline: Deadline,
    reserve: Duration,
    mark: Instant,
    loading: Duration,
    longest: Duration,
    steps: u32,
}

impl Watch {
    /// Begins with what the call loads before its first step.
    pub(super) fn begin(function: Function, environment: &Environment, settings: &HandOver) -> Self {
        let deadline = environment.deadline();
        let tenth = deadline.limit().unwrap_or_default() / 10;
        Self {
            function,
            deadline,
            reserve: settings.reserve_s.map_or(tenth, |seconds| Duration::from_secs(seconds.into())),
            mark: Instant::now(),
            loading: Duration::ZERO,
            longest: Duration::ZERO,
            steps: 0,
        }
    }

    /// What the call goes on from is loaded.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfTime`] where that left no time for a step.
    pub(super) fn loaded(&mut self) -> Result<(), FunctionError> {
        self.loading = self.lap();
        match (self.deadline.left(), self.deadline.limit()) {
            (Some(left), Some(limit)) if left < self.reserve => Err(out_of_time(self.function, limit)),
            _ => Ok(()),
        }
    }

    /// A step is done; gives whether the next one might come too late.
    pub(super) fn stepped(&mut self) -> bool {
        self.steps += 1;
        self.longest = self.longest.max(self.lap());
        match self.deadline {
            Deadline::Never => false,
            Deadline::AfterSteps(steps) => self.steps >= steps.max(1),
            Deadline::At { .. } => {
                let needed = self.longest.saturating_add(self.loading).saturating_add(self.reserve);
                self.deadline.left().is_some_and(|left| left < needed)
            }
        }
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(std::mem::replace(&mut self.mark, now))
    }
}

#[cfg(test)]
mod tests {
    use super::{Deadline, Watch, within};
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
    use stepgrad_contract::{ErrorKind, Function, FunctionError};

    fn watch(left: Duration, limit: Duration, loading: Duration, longest: Duration) -> Watch {
        let now = Instant::now();
        Watch {
            function: Function::Train,
            deadline: Deadline::At { end: now + left, limit },
            reserve: limit / 10,
            mark: now,
            loading,
            longest,
            steps: 0,
        }
    }

    #[test]
    fn time_is_short_when_a_step_saving_and_the_reserve_do_not_fit() {
        let s = Duration::from_secs;
        assert!(!watch(s(500), s(900), s(100), s(300)).stepped(), "90 + 100 + 300 fit");
        assert!(watch(s(480), s(900), s(100), s(300)).stepped());
        assert!(watch(s(480), s(900), s(300), s(100)).stepped());
        assert!(watch(s(80), s(900), s(0), s(0)).stepped(), "the reserve");
        let refused = watch(s(80), s(900), s(0), s(0)).loaded().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::OutOfTime);
        assert!(refused.message.contains("900.0 s") && refused.message.contains("functions.train.timeout_s"));
        assert!(watch(s(200), s(900), s(0), s(0)).loaded().is_ok());
    }

    #[test]
    fn the_deadline_of_an_invocation_is_as_far_as_it_says() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let deadline = Deadline::of_invocation(u64::try_from(now).unwrap() + 60_000);
        let left = deadline.left().unwrap();
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50), "{left:?}");
        assert_eq!(Deadline::of_invocation(1).left(), Some(Duration::ZERO), "long past");
    }

    #[tokio::test]
    async fn who_waits_beyond_the_deadline_is_told_so() {
        let limit = Duration::from_millis(20);
        let deadline = Deadline::At { end: Instant::now() + limit, limit };
        let never = std::future::pending::<Result<(), FunctionError>>();
        let error = within(Function::Prepare, deadline, never).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutOfTime);
        assert!(error.message.contains("functions.prepare.timeout_s"), "{error}");
        let done = within(Function::Prepare, Deadline::Never, async { Ok::<_, FunctionError>(7) }).await;
        assert_eq!(done, Ok(7));
    }
}
