//! One call from its arrival to its end: wait for a slot, find or start an environment, give it the event, watch
//! its time and memory, and keep the books.

use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use bytes::Bytes;
use nix::sys::signal::Signal;
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::clock;
use super::environment::{Blueprint, Environment};
use super::error::HostError;
use super::failure::Failure;
use super::pool::{Place, Pool, Refused, Slot, Start};
use super::record::{InvocationRecord, Outcome};
use super::report;
use super::runtime_api::{Answer, Delivery, MAX_RESPONSE, Phase};
use super::{Shared, name};
use crate::integrations::lambda::InvokeReply;

/// The largest event of a synchronous call: 6 MiB.
pub(super) const MAX_REQUEST: usize = 6 * 1024 * 1024;
/// How often the memory of a busy process is looked at.
const SAMPLE: Duration = Duration::from_millis(50);
/// How many environments may die before they have seen the event until the call is given up.
const MAX_PLACES: usize = 8;

type Reply = Result<InvokeReply, HostError>;

/// A call that has been accepted.
struct Call {
    function: usize,
    request_id: String,
    payload: Bytes,
    queued_ms: f64,
    start: Start,
}

/// What came of it.
struct Ended {
    outcome: Outcome,
    payload: Bytes,
    failure: Option<Failure>,
    duration_ms: f64,
    /// Where it ran.
    environment: Option<Arc<Environment>>,
}

impl Ended {
    /// Whether the process can take another invocation.
    const fn leaves_usable(&self) -> bool {
        matches!(self.outcome, Outcome::Succeeded | Outcome::FunctionError | Outcome::ResponseTooLarge)
    }
}

/// A process that did not come to ask for work.
struct Unstarted {
    outcome: Outcome,
    payload: Bytes,
    failure: Option<Failure>,
    /// Absent where there was none to start.
    environment: Option<Arc<Environment>>,
}

impl Unstarted {
    fn of(outcome: Outcome, failure: Failure, environment: Option<Arc<Environment>>) -> Self {
        Self { outcome, payload: failure.payload(), failure: Some(failure), environment }
    }
}

/// What came of work that was watched.
enum Watched<T> {
    Done(T),
    TimedOut,
    OutOfMemory,
}

impl Shared {
    /// Invokes a function and waits for its reply. Dropping the future while the call waits for its turn takes it
    /// out of the queue; later it leaves the function running to its end, as on AWS.
    pub(super) async fn invoke(self: &Arc<Self>, reference: &str, payload: Bytes, start: Start) -> Reply {
        let request_id = self.ids.request();
        let function = self.function(reference, &request_id)?;
        if payload.len() > MAX_REQUEST {
            let (bytes, limit, kind) = (payload.len(), MAX_REQUEST, "RequestResponse");
            return Err(HostError::TooLarge { bytes, limit, kind, request_id });
        }
        let arrived = clock::now();
        let slot = match Pool::acquire(&self.pool, function).await {
            Ok(slot) => slot,
            Err(Refused::Throttled { reserved }) => {
                self.totals.lock().unwrap_or_else(PoisonError::into_inner).throttles += 1;
                return Err(HostError::Throttled { reserved, request_id });
            }
            Err(Refused::Closed) => return Err(shut_down(&request_id)),
        };
        let queued_ms = clock::ms_since(arrived);
        let (sender, receiver) = oneshot::channel();
        let call = Call { function, request_id: request_id.clone(), payload, queued_ms, start };
        tokio::spawn(Arc::clone(self).run(slot, call, sender));
        receiver.await.unwrap_or_else(|_| Err(shut_down(&request_id)))
    }

    /// The place of the function called `reference` in the host's list.
    pub(super) fn function(&self, reference: &str, request_id: &str) -> Result<usize, HostError> {
        let plain = name::plain(reference);
        plain.and_then(|name| self.by_name.get(name).copied()).ok_or_else(|| HostError::NotFound {
            arn: plain.map_or_else(|| reference.to_owned(), |name| self.config.arn(name)),
            request_id: request_id.to_owned(),
        })
    }

    async fn run(self: Arc<Self>, slot: Slot, call: Call, reply: oneshot::Sender<Reply>) {
        let mut init_ms = None;
        let ended = match self.attempt(&slot, &call, &mut init_ms).await {
            Ok(ended) => ended,
            Err(error) => {
                drop(slot);
                drop(reply.send(Err(error)));
                return;
            }
        };
        self.keep_books(&call, &ended, init_ms);
        let usable = ended.leaves_usable();
        let answer = InvokeReply {
            function_error: (ended.outcome != Outcome::Succeeded).then(|| "Unhandled".to_owned()),
            payload: ended.payload,
            executed_version: "$LATEST".to_owned(),
            request_id: call.request_id,
        };
        // The environment is free before its caller hears of it: the caller's next call finds it. A caller that
        // has gone away does not want the reply.
        match ended.environment {
            Some(environment) if usable => {
                slot.return_with(environment);
                drop(reply.send(Ok(answer)));
            }
            Some(environment) => {
                environment.signal(Signal::SIGKILL);
                drop(reply.send(Ok(answer)));
                environment.gone().await;
                drop(slot);
            }
            None => {
                drop(slot);
                drop(reply.send(Ok(answer)));
            }
        }
    }

    async fn attempt(&self, slot: &Slot, call: &Call, init_ms: &mut Option<f64>) -> Result<Ended, HostError> {
        let mut begun = false;
        for _ in 0..MAX_PLACES {
            // When the function's own time began, where it did before it was given the event.
            let mut begin = None;
            let environment = match self.pool.place(slot, call.start) {
                Place::Closed => return Err(shut_down(&call.request_id)),
                Place::Warm(environment) => environment,
                Place::Cold { evicted } => {
                    for environment in evicted {
                        environment.signal(Signal::SIGKILL);
                        environment.gone().await;
                    }
                    let since = clock::now();
                    let started = self.start(call, self.config.init_timeout).await?;
                    *init_ms = Some(clock::ms_since(since));
                    match started {
                        Ok(environment) => environment,
                        Err(Unstarted { environment: Some(environment), outcome, failure, .. }) => {
                            // "Lambda retries the Init phase at the time of the first function invocation with the
                            // configured function timeout" (AWS page "Understanding the Lambda execution environment
                            // lifecycle").
                            environment.log(&report::init(
                                init_ms.unwrap_or_default(),
                                outcome,
                                failure.as_ref(),
                            ));
                            environment.signal(Signal::SIGKILL);
                            environment.gone().await;
                            let since = clock::now();
                            begin = Some(since);
                            match self.start(call, self.timeout(call)).await? {
                                Ok(environment) => environment,
                                Err(unstarted) => {
                                    return Ok(self.unstarted(call, unstarted, clock::ms_since(since)));
                                }
                            }
                        }
                        Err(unstarted) => return Ok(self.unstarted(call, unstarted, 0.0)),
                    }
                }
            };
            if !begun {
                environment.log(&report::start(&call.request_id));
                begun = true;
            }
            if let Some(ended) = self.give(call, environment, begin.unwrap_or_else(clock::now)).await {
                return Ok(ended);
            }
        }
        let message =
            format!("{MAX_PLACES} environments ended before they took the event: look at the function's log");
        Err(HostError::Service { message, request_id: call.request_id.clone() })
    }

    fn timeout(&self, call: &Call) -> Duration {
        Duration::from_secs(u64::from(self.functions[call.function].timeout_s))
    }

    /// Starts an environment, which may take `limit`.
    async fn start(
        &self,
        call: &Call,
        limit: Duration,
    ) -> Result<Result<Arc<Environment>, Unstarted>, HostError> {
        let request_id = &call.request_id;
        let blueprint = Blueprint {
            host: &self.config,
            config: &self.functions[call.function],
            function: call.function,
            id: self.pool.new_id(),
            stream: self.ids.stream(),
            sink: Arc::clone(&self.sink),
            guardian: Arc::clone(&self.guardian),
        };
        let environment = match Environment::start(blueprint, &self.pool).await {
            Ok(environment) => environment,
            Err(error) if is_entrypoint_error(&error) => {
                let reason = format!("fork/exec {}: {error}", self.config.bootstrap.display());
                let failure = Failure::invalid_entrypoint(request_id, &reason);
                return Ok(Err(Unstarted::of(Outcome::InitFailed, failure, None)));
            }
            Err(error) => {
                let message = format!("no process could be started for the function: {error}");
                return Err(HostError::Service { message, request_id: request_id.clone() });
            }
        };
        let started = self.watch(call, &environment, limit, environment.started()).await;
        let (outcome, failure) = match started {
            Watched::Done(Phase::Starting | Phase::Ready) => return Ok(Ok(environment)),
            Watched::Done(Phase::Gone(exit)) => match environment.init_error() {
                Some(payload) => {
                    let (outcome, environment) = (Outcome::InitFailed, Some(environment));
                    return Ok(Err(Unstarted { outcome, payload, failure: None, environment }));
                }
                None => (Outcome::InitFailed, Failure::exited(request_id, exit)),
            },
            Watched::TimedOut => (Outcome::TimedOut, Failure::timed_out(request_id, limit)),
            Watched::OutOfMemory => (Outcome::OutOfMemory, Failure::killed_for_memory(request_id)),
        };
        Ok(Err(Unstarted::of(outcome, failure, Some(environment))))
    }

    /// An invocation that ended before the function could be given its event.
    fn unstarted(&self, call: &Call, unstarted: Unstarted, duration_ms: f64) -> Ended {
        let Unstarted { outcome, payload, failure, environment } = unstarted;
        let line = report::start(&call.request_id);
        match &environment {
            Some(environment) => environment.log(&line),
            None => self.sink.write(&self.functions[call.function].name, &line),
        }
        Ended { outcome, payload, failure, duration_ms, environment }
    }

    /// Gives the event to `environment` and waits for the end; `None` if the process has not seen it.
    /// The function's time began at `begin`.
    async fn give(&self, call: &Call, environment: Arc<Environment>, begin: Instant) -> Option<Ended> {
        let request_id = &call.request_id;
        let limit = self.timeout(call);
        let left = limit.saturating_sub(clock::since(begin));
        let unix = clock::unix();
        let header =
            |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        let delivery = Delivery {
            request_id: header(request_id),
            arn: self.arns[call.function].clone(),
            trace_id: header(&self.ids.trace(unix.as_secs())),
            deadline_ms: u64::try_from((unix + left).as_millis()).unwrap_or(u64::MAX),
            payload: call.payload.clone(),
        };
        let answer = environment.deliver(request_id, delivery);
        let watched = self.watch(call, &environment, left, answer).await;
        let duration_ms = clock::ms_since(begin);
        let ended = |outcome, payload| (outcome, payload, None);
        let failed = |outcome, failure: Failure| (outcome, failure.payload(), Some(failure));
        let (outcome, payload, failure) = match watched {
            Watched::Done(Ok(Answer::Reply(payload))) => ended(Outcome::Succeeded, payload),
            Watched::Done(Ok(Answer::Error(payload))) => ended(Outcome::FunctionError, payload),
            Watched::Done(Ok(Answer::TooLarge)) => {
                failed(Outcome::ResponseTooLarge, Failure::response_too_large(MAX_RESPONSE))
            }
            Watched::Done(Ok(Answer::Exited(exit))) => {
                failed(Outcome::Exited, Failure::exited(request_id, exit))
            }
            // The sender is only ever dropped with the environment.
            Watched::Done(Ok(Answer::Unseen) | Err(_)) => return None,
            Watched::TimedOut => failed(Outcome::TimedOut, Failure::timed_out(request_id, limit)),
            Watched::OutOfMemory => failed(Outcome::OutOfMemory, Failure::killed_for_memory(request_id)),
        };
        Some(Ended { outcome, payload, failure, duration_ms, environment: Some(environment) })
    }

    /// Waits for `work` in `environment`, at most `limit` and as long as its memory is not over the function's size.
    async fn watch<T>(
        &self,
        call: &Call,
        environment: &Environment,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Watched<T> {
        let memory_mb = u64::from(self.functions[call.function].memory_mb);
        let mut work = pin!(work);
        let begin = clock::now();
        let mut look = SAMPLE.min(limit);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    // The kernel has kept the peak: a process that went over its size between two looks and has
                    // answered since would not have answered on AWS.
                    let over = environment.look_at_memory() > memory_mb;
                    return if over { Watched::OutOfMemory } else { Watched::Done(done) };
                }
                () = sleep_until((begin + look).into()) => {}
            }
            if environment.look_at_memory() > memory_mb {
                return Watched::OutOfMemory;
            }
            if clock::since(begin) >= limit {
                return Watched::TimedOut;
            }
            look = (look + SAMPLE).max(clock::since(begin)).min(limit);
        }
    }

    fn keep_books(&self, call: &Call, ended: &Ended, init_ms: Option<f64>) {
        let function = &self.functions[call.function];
        let record = InvocationRecord {
            function: function.name.clone(),
            request_id: call.request_id.clone(),
            cold: init_ms.is_some(),
            queued_ms: call.queued_ms,
            init_ms,
            duration_ms: ended.duration_ms,
            billed_ms: (ended.duration_ms + init_ms.unwrap_or_default()).ceil() as u64,
            memory_mb: function.memory_mb,
            max_memory_mb: ended.environment.as_ref().map_or(0, |environment| environment.peak_memory_mb()),
            request_bytes: call.payload.len(),
            response_bytes: ended.payload.len(),
            outcome: ended.outcome,
            pid: ended.environment.as_ref().map(|environment| environment.pid),
        };
        let lines = report::end(&record, ended.failure.as_ref(), clock::timestamp);
        match &ended.environment {
            Some(environment) => environment.log(&lines),
            None => self.sink.write(&function.name, &lines),
        }
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).add(&record);
        self.observer.invocation(&record);
    }
}

fn shut_down(request_id: &str) -> HostError {
    let message = "the function host is shutting down".to_owned();
    HostError::Service { message, request_id: request_id.to_owned() }
}

/// Whether starting failed for what the executable is, rather than for what the machine is short of.
fn is_entrypoint_error(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
        || error.raw_os_error() == Some(nix::errno::Errno::ENOEXEC as i32)
}
