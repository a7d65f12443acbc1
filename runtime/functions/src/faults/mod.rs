//! Faults as the functions carry them out: on their own process, on the objects they move, in the name of their
//! peer, on what they compute. Which fault is due is [`stepgrad_contract::faults`]'s to say; here it happens, for
//! real: a killed process gets SIGKILL, a torn object has torn bytes.
//!
//! The same code runs on AWS and here. Nothing that a training survives by knows of this room.
#![expect(clippy::disallowed_methods, reason = "the log says when a fault fires")]

mod gradients;
mod objects;
mod peers;
mod process;

pub(crate) use objects::Write;
pub use process::continue_later;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stepgrad_contract::faults::{Action, Call, Fault, Fired, Firing, Plan, When, Where};
use stepgrad_contract::{Function, FunctionError};

/// The faults that are due in one call of a function.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    plan: Arc<Plan>,
    run: Arc<str>,
    call: Call,
    /// The call whose result is made: the same, but where this call makes an object again for another one's sake.
    maker: Call,
    memory_mb: u64,
    wrote: Arc<AtomicBool>,
}

impl Faults {
    /// Those of a call with `event`, in a process that may have `memory_mb` of memory.
    pub(crate) fn new(
        plan: Arc<Plan>,
        function: Function,
        event: &serde_json::Value,
        memory_mb: u64,
    ) -> Self {
        let call = Call::of(function, event);
        let run = event.get("run").and_then(serde_json::Value::as_str).unwrap_or_default().into();
        Self { plan, run, call, maker: call, memory_mb, wrote: Arc::default() }
    }

    /// Those of the same call while it makes again what `maker` makes: a peer that lies about an object lies again,
    /// and nobody else does. Objects are moved by this call all the same.
    pub(crate) fn of_repair(&self, maker: Call) -> Self {
        Self { maker, ..self.clone() }
    }

    /// What happens before the function's work.
    ///
    /// # Errors
    /// Where the function's peer is not there.
    pub(crate) async fn before(&self) -> Result<(), FunctionError> {
        self.peer()?;
        if let Some(fault) = self.plan.first(Where::Invocation, &self.call)
            && let Action::InvocationDelay { ms, jitter_ms } = fault.action
        {
            // In the function's own time, as AWS FIS has it: a long one meets the function's timeout.
            self.fire(fault, None);
            self.wait(fault, ms, jitter_ms, &self.call.numbers()).await;
        }
        let Some(fault) = self.plan.first(Where::Process, &self.call) else { return Ok(()) };
        match fault.action {
            Action::Kill { when: When::Before } => {
                self.fire(fault, None);
                process::kill();
            }
            Action::Pause { ms } => {
                self.fire(fault, None);
                process::pause(ms)?;
            }
            Action::OutOfMemory {} => {
                self.fire(fault, None);
                process::out_of_memory(self.memory_mb).await?;
            }
            Action::Exit { code } => {
                self.fire(fault, None);
                process::exit(code);
            }
            _ => {}
        }
        Ok(())
    }

    /// What happens after the function's last write, before its answer.
    pub(crate) fn after(&self) {
        if let Some(fault) = self.killed(When::After) {
            self.fire(fault, None);
            process::kill();
        }
    }

    /// The fault that kills the process in its first write, if this is it.
    fn killed_in_first_write(&self) -> Option<&Fault> {
        let fault = self.killed(When::During)?;
        (!self.wrote.swap(true, Ordering::Relaxed)).then_some(fault)
    }

    fn killed(&self, due: When) -> Option<&Fault> {
        let fault = self.plan.first(Where::Process, &self.call)?;
        matches!(fault.action, Action::Kill { when } if when == due).then_some(fault)
    }

    /// Waits for `ms`, and up to `jitter_ms` more, drawn by `coordinates`.
    async fn wait(&self, fault: &Fault, ms: u64, jitter_ms: u64, coordinates: &[u64]) {
        let jitter = match jitter_ms {
            0 => 0,
            most => self.plan.draw(fault, coordinates) % most.saturating_add(1),
        };
        tokio::time::sleep(Duration::from_millis(ms.saturating_add(jitter))).await;
    }

    /// Tells that a fault fires, before it does: the process may not be there afterwards.
    fn fire(&self, fault: &Fault, object: Option<&str>) {
        let call = if fault.action.acts() == Where::Gradient { &self.maker } else { &self.call };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut line = Firing::new(&self.run, now, Fired::in_call(fault, call, object)).line();
        line.push('\n');
        let mut log = std::io::stdout();
        // Standard output is the function's log; where it is closed nobody reads it.
        drop(log.write_all(line.as_bytes()).and_then(|()| log.flush()));
    }
}
