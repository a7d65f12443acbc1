//! Who may run when, and in which environment. Admission (how many invocations at a time, in which order) and
//! placement (which process) are separate: a [`Slot`] is the right to run one invocation, and whoever holds one
//! finds either an idle environment of its function or room for a new one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;
use serde::Serialize;
use tokio::sync::oneshot;

use super::config::{FunctionConfig, HostConfig};
use super::environment::Environment;

/// What a process of the host is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It has not asked for an invocation yet.
    Starting,
    /// It runs an invocation, or is being ended.
    Busy,
    /// It waits for one.
    Idle,
}

/// A process of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessInfo {
    /// Its process id, which is also that of its process group.
    pub pid: u32,
    /// The function it runs.
    pub function: String,
    /// What it is doing.
    pub state: ProcessState,
}

/// Why no slot was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The queue is full; by the function's reservation or by the host's limit.
    Throttled { reserved: bool },
    /// The host is shutting down.
    Closed,
}

/// The right to run one invocation of a function. Dropping it passes it on.
pub(super) struct Slot {
    pool: Arc<Pool>,
    function: usize,
    /// Where the invocation ran, if that can be used again.
    reusable: Option<Arc<Environment>>,
}

impl Slot {
    fn new(pool: &Arc<Pool>, function: usize) -> Self {
        Self { pool: Arc::clone(pool), function, reusable: None }
    }

    /// Gives the slot back together with the environment in which its invocation ran.
    pub(super) fn return_with(mut self, environment: Arc<Environment>) {
        self.reusable = Some(environment);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        Pool::release(&self.pool, self.function, self.reusable.take());
    }
}

/// How a call's process is to be found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// An idle one, or a new one.
    #[default]
    Any,
    /// A new one.
    Cold,
}

/// Where an invocation will run.
pub(super) enum Place {
    /// An idle environment of its function.
    Warm(Arc<Environment>),
    /// Nowhere: the host is shutting down.
    Closed,
    /// A new one, once these have made room.
    Cold { evicted: Vec<Arc<Environment>> },
}

/// The environments and the calls that wait for them.
pub(super) struct Pool {
    max_concurrency: usize,
    max_idle: usize,
    queue_size: usize,
    /// Of each function.
    reserved: Vec<Option<usize>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Every process that is not reaped yet.
    live: BTreeMap<u64, Arc<Environment>>,
    /// Those without work, least recently used first.
    idle: Vec<Arc<Environment>>,
    /// Slots given, of each function.
    running: Vec<usize>,
    /// Slots given to functions without a reservation.
    running_unreserved: usize,
    /// Calls of each function in the order in which they came, with their place among all.
    waiting: Vec<VecDeque<(u64, oneshot::Sender<Slot>)>>,
    tickets: u64,
    next_id: u64,
    closed: bool,
}

impl Pool {
    pub(super) fn new(host: &HostConfig, functions: &[FunctionConfig]) -> Arc<Self> {
        let state = State {
            running: vec![0; functions.len()],
            waiting: functions.iter().map(|_| VecDeque::new()).collect(),
            ..State::default()
        };
        Arc::new(Self {
            max_concurrency: host.max_concurrency,
            max_idle: host.max_idle,
            queue_size: host.queue_size,
            reserved: functions.iter().map(|function| function.reserved_concurrency).collect(),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admits(&self, state: &State, function: usize) -> bool {
        match self.reserved[function] {
            Some(reserved) => state.running[function] < reserved,
            None => {
                let kept: usize = self.reserved.iter().flatten().sum();
                state.running_unreserved < self.max_concurrency.saturating_sub(kept)
            }
        }
    }

    fn admit(&self, state: &mut State, function: usize) {
        state.running[function] += 1;
        state.running_unreserved += usize::from(self.reserved[function].is_none());
    }

    /// Waits for a slot, first come first served. Dropping the future leaves the queue.
    pub(super) async fn acquire(pool: &Arc<Self>, function: usize) -> Result<Slot, Refused> {
        let turn = {
            let mut state = pool.state();
            if state.closed {
                return Err(Refused::Closed);
            }
            let first = state.waiting[function].iter().all(|(_, waiter)| waiter.is_closed());
            if first && pool.admits(&state, function) {
                pool.admit(&mut state, function);
                return Ok(Slot::new(pool, function));
            }
            let reserved = pool.reserved[function].is_some();
            let waiting = |state: &State| state.waiting.iter().map(VecDeque::len).sum::<usize>();
            if waiting(&state) >= pool.queue_size {
                for queue in &mut state.waiting {
                    queue.retain(|(_, waiter)| !waiter.is_closed());
                }
            }
            // A reservation of nothing will never be free.
            if waiting(&state) >= pool.queue_size || pool.reserved[function] == Some(0) {
                return Err(Refused::Throttled { reserved });
            }
            let (sender, turn) = oneshot::channel();
            let ticket = state.tickets;
            state.tickets += 1;
            state.waiting[function].push_back((ticket, sender));
            turn
        };
        turn.await.map_err(|_| Refused::Closed)
    }

    fn release(pool: &Arc<Self>, function: usize, reusable: Option<Arc<Environment>>) {
        let (turns, surplus) = {
            let mut state = pool.state();
            state.running[function] -= 1;
            state.running_unreserved -= usize::from(pool.reserved[function].is_none());
            let mut surplus = Vec::new();
            if let Some(environment) = reusable {
                if state.live.contains_key(&environment.id) && !state.closed {
                    state.idle.push(environment);
                }
                let over = state.idle.len().saturating_sub(pool.max_idle);
                surplus.extend(state.idle.drain(..over));
            }
            (pool.next_turns(&mut state), surplus)
        };
        for environment in surplus {
            environment.signal(Signal::SIGKILL);
        }
        for (function, turn) in turns {
            // Where the caller has gone away the slot comes back as an error and is dropped, which passes it on.
            drop(turn.send(Slot::new(pool, function)));
        }
    }

    /// Admits as many waiting calls as can run, the longest waiting first.
    fn next_turns(&self, state: &mut State) -> Vec<(usize, oneshot::Sender<Slot>)> {
        let mut turns = Vec::new();
        loop {
            for queue in &mut state.waiting {
                while queue.front().is_some_and(|(_, waiter)| waiter.is_closed()) {
                    queue.pop_front();
                }
            }
            let head =
                |function: usize| state.waiting[function].front().map(|(ticket, _)| (*ticket, function));
            let ready = (0..state.waiting.len()).filter(|function| self.admits(state, *function));
            let Some((_, function)) = ready.filter_map(head).min() else {
                return turns;
            };
            if let Some((_, turn)) = state.waiting[function].pop_front() {
                self.admit(state, function);
                turns.push((function, turn));
            }
        }
    }

    /// Finds the slot's invocation a place: the most recently used idle environment of its function, or room for a
    /// new one, made by ending those that have been idle longest.
    ///
    /// A call that asks for a cold start ends those of its function that are idle.
    pub(super) fn place(&self, slot: &Slot, start: Start) -> Place {
        loop {
            let environment = {
                let mut state = self.state();
                if state.closed {
                    return Place::Closed;
                }
                let of_function = |environment: &Arc<Environment>| environment.function == slot.function;
                match (start, state.idle.iter().rposition(of_function)) {
                    (Start::Any, Some(position)) => state.idle.remove(position),
                    (Start::Cold, Some(_)) => {
                        let own = state.idle.extract_if(.., |environment| of_function(environment));
                        let mut evicted: Vec<_> = own.collect();
                        evicted.extend(self.surplus(&mut state));
                        return Place::Cold { evicted };
                    }
                    (_, None) => return Place::Cold { evicted: self.surplus(&mut state) },
                }
            };
            // Someone may have killed it while it was idle.
            if environment.is_usable() {
                return Place::Warm(environment);
            }
        }
    }

    /// Takes out what has been idle longest, as much as there is too much of for every slot to have a process.
    fn surplus(&self, state: &mut State) -> Vec<Arc<Environment>> {
        let running: usize = state.running.iter().sum();
        let over = (running + state.idle.len()).saturating_sub(self.max_concurrency);
        state.idle.drain(..over.min(state.idle.len())).collect()
    }

    /// A number for a new environment.
    pub(super) fn new_id(&self) -> u64 {
        let mut state = self.state();
        state.next_id += 1;
        state.next_id
    }

    /// A process has been started.
    pub(super) fn enter(&self, environment: Arc<Environment>) {
        let mut state = self.state();
        if state.closed {
            environment.signal(Signal::SIGKILL);
        }
        state.live.insert(environment.id, environment);
    }

    /// A process is gone.
    pub(super) fn leave(&self, id: u64) {
        let (left, idle) = {
            let mut state = self.state();
            let idle = state.idle.iter().position(|environment| environment.id == id);
            (state.live.remove(&id), idle.map(|position| state.idle.remove(position)))
        };
        drop((left, idle));
    }

    /// Lets nobody in any more, sends waiting calls away, and returns what still lives.
    pub(super) fn close(&self) -> Vec<Arc<Environment>> {
        let mut state = self.state();
        state.closed = true;
        state.idle.clear();
        for queue in &mut state.waiting {
            queue.clear();
        }
        state.live.values().cloned().collect()
    }

    /// Every process, oldest first.
    pub(super) fn processes(&self, functions: &[FunctionConfig]) -> Vec<ProcessInfo> {
        let state = self.state();
        let info = |environment: &Arc<Environment>| ProcessInfo {
            pid: environment.pid,
            function: functions[environment.function].name.clone(),
            state: if environment.is_starting() {
                ProcessState::Starting
            } else if state.idle.iter().any(|idle| idle.id == environment.id) {
                ProcessState::Idle
            } else {
                ProcessState::Busy
            },
        };
        state.live.values().map(info).collect()
    }
}
