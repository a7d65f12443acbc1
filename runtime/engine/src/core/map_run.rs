//! A Map Run: what a distributed Map has under way. Items come from the state's input or from S3, a page at a time, so
//! that only a window of them is held; each item or batch goes to a child execution; results are kept, or written to
//! S3 in files. No I/O: pages and files are asked for by [`Command::Object`].
//!
//! What S3 answered stands in the log as [`Record::Objects`], so that a replay reads nothing again that was read, and
//! writes nothing again that was written; it is not an event of AWS's history.

use super::arena::FrameId;
use super::command::Command;
use super::engine::{Core, Ended, Here, Work};
use super::event::{TaskError, TaskId};
use super::execution::ExecutionId;
use super::failure::Failure;
use super::frame::{Activity, Frame, Item};
use super::history::{Details, EventType, Record};
use super::limits;
use super::objects::{Cursor, ObjectCall, ObjectReply, ObjectRequest, ObjectResult, Page};
use super::results::Results;
use serde_json::{Map as Object, Value};
use std::collections::{BTreeMap, VecDeque};
use stepgrad_asl::Payload;
use stepgrad_asl::expression::jsonata::States;
use stepgrad_asl::expression::{EvaluationError, Scope};
use stepgrad_asl::program::{Format, Kind, Map, Name, Selector};

/// Files of results that may be on their way to S3 while more child executions are started.
const MAX_WRITES: usize = 2;

/// A distributed Map under way.
#[derive(Debug)]
pub(super) struct MapRun {
    /// The id of its MapRunStarted event: its number among the execution's.
    pub(super) event: u64,
    /// Its ARN.
    pub(super) arn: String,
    /// What ItemSelector sees.
    pub(super) effective: Payload,
    pub(super) tolerated: Tolerance,
    /// Child executions at a time.
    pub(super) limit: usize,
    /// `$$.Map.Item.Source`.
    pub(super) source: Name,
    pub(super) supply: Supply,
    /// Items at the most.
    pub(super) max_items: usize,
    /// Items taken from the supply so far.
    pub(super) taken: usize,
    pub(super) batch: Option<Batch>,
    /// By the number of the child execution: it, and how many items it has.
    pub(super) running: BTreeMap<usize, (ExecutionId, usize)>,
    /// Child executions started so far.
    pub(super) started: usize,
    /// Items whose child execution failed.
    pub(super) failures: usize,
    /// Calls of S3 under way.
    pub(super) pending: BTreeMap<u32, ObjectRequest>,
    /// Calls of S3 so far.
    pub(super) calls: u32,
    pub(super) results: Results,
    /// In a replay, where the run may be redriven: what was started and has not succeeded.
    pub(super) kept: BTreeMap<usize, Again>,
    /// Calls of S3 that failed, in such a replay.
    pub(super) failed: Vec<ObjectRequest>,
    /// What the run came to, in such a replay.
    pub(super) result: Option<Payload>,
    /// What a redrive is to start again.
    pub(super) again: VecDeque<(usize, Again)>,
    /// How often it was redriven.
    pub(super) redrives: u32,
}

/// What is started again.
#[derive(Debug, Clone)]
pub(super) struct Again {
    pub(super) item: Item,
    pub(super) input: Payload,
    pub(super) items: usize,
    /// The child execution that did not succeed.
    pub(super) child: ExecutionId,
}

/// How many items of a distributed Map may fail.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Tolerance {
    pub(crate) count: Option<usize>,
    /// 0 to 100.
    pub(crate) percentage: Option<f64>,
}

/// Where the items come from.
#[derive(Debug)]
pub(super) enum Supply {
    /// An array in the state's input.
    Array(Payload),
    /// An object or a listing, page by page.
    Reader { format: Format, arguments: Payload, queue: VecDeque<Sourced>, next: Next },
}

/// An item that was read, and where it is from if not from what the Map names.
pub(super) type Sourced = (Payload, Option<Name>);

/// The page after those that were read.
#[derive(Debug)]
pub(super) enum Next {
    /// It is to be read from here.
    From(Option<Cursor>),
    /// It is being read.
    Reading,
    /// There is none.
    End,
}

/// ItemBatcher, with its settings, and the batch that is being filled.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) max_items: usize,
    pub(super) max_bytes: usize,
    /// BatchInput.
    pub(super) input: Option<Value>,
    pub(super) items: Vec<Value>,
    /// The batch's input as text, with the items so far.
    pub(super) bytes: usize,
    /// An item that was one too many for the batch before.
    pub(super) carried: Option<Payload>,
}

/// What there is to start.
enum Ahead {
    /// A child execution, with this item, this input, and so many items in it.
    Start(Item, Payload, usize),
    /// Nothing until a page has come.
    Wait,
    /// Nothing more.
    End,
}

impl Core {
    /// Goes on with a Map Run: starts what may start, reads, writes; the state's result when all is done.
    pub(super) fn drive(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        mut run: Box<MapRun>,
    ) -> Result<Work, Failure> {
        match self.try_drive(here, frame, &mut run) {
            Ok(None) => {
                frame.activity = Activity::Run(run);
                Ok(Work::Suspended)
            }
            Ok(Some(result)) => {
                self.forget_run(here, &run);
                if self.is_kept(here.execution) {
                    // Should the state fail with this result, a redrive goes on with it.
                    run.result = Some(result.clone());
                    frame.activity = Activity::Run(run);
                }
                let succeeded =
                    self.record_beside(here, frame, EventType::MapRunSucceeded, Details::default());
                let ended = EventType::MapStateSucceeded;
                self.record_after(here.execution, succeeded, ended, Details::default(), None);
                Ok(Work::Result(result))
            }
            Err(failure) => Err(self.run_failed(here, frame, run, failure)),
        }
    }

    /// Goes on with a Map Run whose state is redriven.
    pub(super) fn redrive_run(&mut self, here: &Here, mut frame: Box<Frame>, mut run: Box<MapRun>) {
        if let Some(result) = run.result.clone() {
            if self.is_kept(here.execution) {
                frame.activity = Activity::Run(run);
            }
            self.settle(here, frame, Ok(Work::Result(result)));
            return;
        }
        run.redrives += 1;
        let details = Details {
            map_run_arn: Some(run.arn.clone()),
            redrive_count: Some(run.redrives),
            ..Details::default()
        };
        self.record(here, &mut frame, EventType::MapRunRedriven, details);
        if let Some(execution) = self.executions.get_mut(&here.execution) {
            execution.runs.insert(run.event, here.frame);
        }
        run.failures = 0;
        run.results.redriven(run.kept.keys());
        run.again.extend(std::mem::take(&mut run.kept));
        for request in std::mem::take(&mut run.failed) {
            self.ask(here, &mut run, request);
        }
        let work = self.drive(here, &mut frame, run);
        self.settle(here, frame, work);
    }

    /// Starts again what a redrive starts again: a Standard child goes on from where it failed.
    fn start_again(
        &mut self,
        here: &Here,
        frame: &Frame,
        map: &Map,
        run: &mut MapRun,
        (index, again): (usize, Again),
    ) -> Result<(), Failure> {
        let distributed = map.distributed.as_ref().ok_or_else(Failure::internal)?;
        let child = match self.redrive_child(here, index, again.child) {
            Some(child) => child,
            None => {
                self.start_item(here, frame, map, distributed, again.item.clone(), again.input.clone())?
            }
        };
        run.running.insert(index, (child, again.items));
        if self.is_kept(here.execution) {
            run.kept.insert(index, Again { child, ..again });
        }
        Ok(())
    }

    /// The failure, after the run's own event and the end of all that it had under way.
    pub(super) fn run_failed(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        mut run: Box<MapRun>,
        failure: Failure,
    ) -> Failure {
        let details =
            Details { error: failure.error.clone(), cause: failure.cause.clone(), ..Details::default() };
        self.record(here, frame, EventType::MapRunFailed, details);
        self.forget_run(here, &run);
        self.cancel_run(here.execution, &run);
        if self.is_kept(here.execution) {
            run.stand_by();
            frame.activity = Activity::Run(run);
        }
        failure
    }

    fn forget_run(&mut self, here: &Here, run: &MapRun) {
        if let Some(execution) = self.executions.get_mut(&here.execution) {
            execution.runs.remove(&run.event);
        }
    }

    /// Ends child executions and calls of S3.
    pub(super) fn cancel_run(&mut self, execution: ExecutionId, run: &MapRun) {
        if !run.pending.is_empty() {
            self.out.push(Command::Cancel(TaskId { execution, event: run.event }));
        }
        for (child, _) in run.running.values() {
            self.abort(*child, None, Some("The Map that this execution was for has ended.".to_owned()));
        }
    }

    /// The result, once there is one.
    fn try_drive(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        run: &mut MapRun,
    ) -> Result<Option<Payload>, Failure> {
        let Kind::Map(map) = &here.state(frame)?.kind else { return Err(Failure::internal()) };
        let mut ended = false;
        // What is being written is held: no more is made of it until it is safe.
        while run.running.len() < run.limit && run.writes() < MAX_WRITES {
            if let Some(again) = run.again.pop_front() {
                self.start_again(here, frame, map, run, again)?;
                continue;
            }
            match self.ahead(here, frame, map, run)? {
                Ahead::Start(item, input, items) => {
                    let distributed = map.distributed.as_ref().ok_or_else(Failure::internal)?;
                    let index = item.index;
                    let kept = self.is_kept(here.execution).then(|| (item.clone(), input.clone()));
                    let child = self.start_item(here, frame, map, distributed, item, input)?;
                    if let Some((item, input)) = kept {
                        run.kept.insert(index, Again { item, input, items, child });
                    }
                    run.started += 1;
                    run.running.insert(index, (child, items));
                }
                Ahead::Wait => break,
                Ahead::End => {
                    ended = true;
                    break;
                }
            }
        }
        if let Some(request) = run.supply.want() {
            self.ask(here, run, request);
        }
        if !ended || !run.running.is_empty() {
            return Ok(None);
        }
        if run.exceeded() {
            return Err(exceeded());
        }
        for request in run.results.finish(&run.arn) {
            self.ask(here, run, request);
        }
        if run.results.is_writing() || !run.pending.is_empty() {
            return Ok(None);
        }
        run.results.take(&run.arn, &here.state(frame)?.name).map(Some)
    }

    fn ask(&mut self, here: &Here, run: &mut MapRun, request: ObjectRequest) {
        let task = TaskId { execution: here.execution, event: run.event };
        let call = run.calls;
        run.calls += 1;
        run.pending.insert(call, request.clone());
        self.out.push(Command::Object(ObjectCall { task, call, request }));
    }

    /// What the next child execution is given.
    fn ahead(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        map: &Map,
        run: &mut MapRun,
    ) -> Result<Ahead, Failure> {
        let source = std::sync::Arc::clone(&run.source);
        if run.batch.is_none() {
            return Ok(match run.take_item() {
                Taken::Wait => Ahead::Wait,
                Taken::End => Ahead::End,
                Taken::Item((value, from)) => {
                    let source = from.unwrap_or(source);
                    let item = Item { index: run.started, value, source: Some(source) };
                    let input = self.select(here, frame, map, &run.effective, &item)?;
                    Ahead::Start(item, input, 1)
                }
            });
        }
        loop {
            let carried = run.batch.as_mut().and_then(|batch| batch.carried.take());
            let selected = match carried {
                Some(selected) => selected,
                None => match run.take_item() {
                    Taken::Wait => return Ok(Ahead::Wait),
                    Taken::End => break,
                    Taken::Item((value, from)) => {
                        let source = from.unwrap_or_else(|| std::sync::Arc::clone(&source));
                        let item = Item { index: run.taken - 1, value, source: Some(source) };
                        self.select(here, frame, map, &run.effective, &item)?
                    }
                },
            };
            let Some(batch) = &mut run.batch else { return Err(Failure::internal()) };
            let bytes = selected.text().len() + usize::from(!batch.items.is_empty());
            if !batch.items.is_empty() && batch.bytes + bytes > batch.max_bytes {
                batch.carried = Some(selected);
                break;
            }
            batch.bytes += bytes;
            batch.items.push(selected.into_value());
            if batch.items.len() >= batch.max_items {
                break;
            }
        }
        let Some(batch) = &mut run.batch else { return Err(Failure::internal()) };
        if batch.items.is_empty() {
            return Ok(Ahead::End);
        }
        let (input, items) = batch.take();
        if input.text().len() > limits::MAX_PAYLOAD {
            return Err(Failure::too_large(&here.state(frame)?.name));
        }
        let item = Item { index: run.started, value: input.clone(), source: Some(source) };
        Ok(Ahead::Start(item, input, items))
    }

    /// The input of a child execution: ItemSelector's, or the item itself.
    fn select(
        &mut self,
        here: &Here,
        frame: &mut Frame,
        map: &Map,
        effective: &Payload,
        item: &Item,
    ) -> Result<Payload, Failure> {
        let Some(selector) = &map.selector else { return Ok(item.value.clone()) };
        self.evaluate_with(here, frame, Some(item), None, |_, scope| selected(selector, effective, scope))
    }

    /// A child execution has ended.
    pub(super) fn item_ended(
        &mut self,
        (execution, parent): (ExecutionId, FrameId),
        index: usize,
        child: ExecutionId,
        ended: &Ended,
    ) {
        // One that was aborted with its Map is told of when the Map is gone, or tried again.
        let waited_for = self.frame_mut(execution, parent).is_some_and(|frame| match &frame.activity {
            Activity::Run(run) => run.running.get(&index).is_some_and(|(running, _)| *running == child),
            _ => false,
        });
        if !waited_for {
            return;
        }
        let Some((here, mut frame)) = self.take(execution, parent) else { return };
        let Activity::Run(mut run) = std::mem::replace(&mut frame.activity, Activity::Work) else { return };
        let items = run.running.remove(&index).map_or(0, |(_, items)| items);
        if ended.output.is_none() {
            run.failures += items;
        } else {
            run.kept.remove(&index);
        }
        let requests = run.results.add(index, ended);
        for request in requests {
            self.ask(&here, &mut run, request);
        }
        let work = if run.exceeded() {
            Err(self.run_failed(&here, &mut frame, run, exceeded()))
        } else {
            self.drive(&here, &mut frame, run)
        };
        self.settle(&here, frame, work);
    }

    /// S3 answered: a Task, or a distributed Map.
    pub(super) fn object_done(&mut self, task: TaskId, call: u32, result: ObjectResult) {
        let run = self
            .executions
            .get(&task.execution)
            .and_then(|execution| execution.runs.get(&task.event))
            .copied();
        let Some(frame) = run else {
            match result {
                Ok(ObjectReply::Output(output)) => self.replied(task, Ok(output)),
                Err(error) => self.replied(task, Err(error)),
                Ok(ObjectReply::Page(_) | ObjectReply::Written) => {}
            }
            return;
        };
        let expected = self.frame_mut(task.execution, frame).is_some_and(|frame| match &frame.activity {
            Activity::Run(run) => run.pending.contains_key(&call),
            _ => false,
        });
        if !expected {
            return;
        }
        let Some((here, mut frame)) = self.take(task.execution, frame) else { return };
        let Activity::Run(mut run) = std::mem::replace(&mut frame.activity, Activity::Work) else { return };
        let request = run.pending.remove(&call);
        let reading = matches!(request, Some(ObjectRequest::Page { .. }));
        if result.is_err() && self.is_kept(here.execution) {
            run.failed.extend(request);
        }
        self.out.push(Command::Record(Record::Objects {
            execution: here.identity.key.clone(),
            run: task.event,
            call,
            timestamp: self.now,
            result: result.clone(),
        }));
        let work = match result {
            Err(TaskError { error: _, cause }) => {
                let error = if reading { "States.ItemReaderFailed" } else { "States.ResultWriterFailed" };
                let failure = Failure::of(Some(error.to_owned()), cause);
                Err(self.run_failed(&here, &mut frame, run, failure))
            }
            Ok(ObjectReply::Page(page)) => {
                run.supply.fill(page);
                self.drive(&here, &mut frame, run)
            }
            Ok(ObjectReply::Written | ObjectReply::Output(_)) => {
                run.results.written(&run.pending);
                self.drive(&here, &mut frame, run)
            }
        };
        self.settle(&here, frame, work);
    }
}

pub(super) fn selected(
    selector: &Selector,
    effective: &Payload,
    scope: &dyn Scope,
) -> Result<Payload, EvaluationError> {
    let value = match selector {
        Selector::Template(template) => template.evaluate(effective.value(), scope)?,
        Selector::Jsonata(template) => template.evaluate(&States::input(effective.value()), scope)?,
    };
    Ok(Payload::new(value))
}

fn exceeded() -> Failure {
    Failure::new(
        "States.ExceedToleratedFailureThreshold",
        "The specified tolerated failure threshold was exceeded",
    )
}

/// What taking an item came to.
enum Taken {
    Item(Sourced),
    Wait,
    End,
}

impl MapRun {
    /// Nothing is under way any more: what was is to be started and asked for again, if the run is redriven.
    pub(super) fn stand_by(&mut self) {
        self.running.clear();
        self.failed.extend(std::mem::take(&mut self.pending).into_values());
        self.kept.extend(std::mem::take(&mut self.again));
    }

    /// Files of results that are being written.
    fn writes(&self) -> usize {
        self.pending.values().filter(|request| matches!(request, ObjectRequest::Put { .. })).count()
    }

    fn take_item(&mut self) -> Taken {
        if self.taken >= self.max_items {
            return Taken::End;
        }
        let taken = match &mut self.supply {
            Supply::Array(items) => match items.value().get(self.taken) {
                Some(value) => Taken::Item((Payload::new(value.clone()), None)),
                None => Taken::End,
            },
            Supply::Reader { queue, next, .. } => match (queue.pop_front(), next) {
                (Some(item), _) => Taken::Item(item),
                (None, Next::End) => Taken::End,
                (None, Next::From(_) | Next::Reading) => Taken::Wait,
            },
        };
        if matches!(taken, Taken::Item(_)) {
            self.taken += 1;
            if self.taken >= self.max_items {
                self.supply.close();
            }
        }
        taken
    }

    /// How many items there are, as soon as that is known.
    fn total(&self) -> Option<usize> {
        match &self.supply {
            Supply::Array(items) => Some(items.value().as_array().map_or(0, Vec::len).min(self.max_items)),
            Supply::Reader { queue, next: Next::End, .. } => {
                Some((self.taken + queue.len()).min(self.max_items))
            }
            Supply::Reader { .. } => None,
        }
    }

    /// Whether so many failures are too many (AWS: "Setting failure thresholds for Distributed Map states"). A
    /// percentage counts once the number of items is known.
    #[expect(clippy::cast_precision_loss, reason = "counts of items stay far below 2^53")]
    fn exceeded(&self) -> bool {
        let failures = self.failures;
        match (self.tolerated.count, self.tolerated.percentage) {
            (None, None) => failures > 0,
            (count, percentage) => {
                let share = self.total().map(|total| failures as f64 * 100.0 / total.max(1) as f64);
                count.is_some_and(|count| failures > count)
                    || percentage.is_some_and(|most| share.is_some_and(|share| share > most))
            }
        }
    }
}

impl Supply {
    /// What there is to be read now: a page, when the one before is used up.
    fn want(&mut self) -> Option<ObjectRequest> {
        let Self::Reader { format, arguments, queue, next } = self else { return None };
        if !queue.is_empty() {
            return None;
        }
        let Next::From(cursor) = next else { return None };
        let (format, arguments, cursor) = (format.clone(), arguments.clone(), cursor.take());
        *next = Next::Reading;
        Some(ObjectRequest::Page { format, arguments, cursor })
    }

    fn fill(&mut self, page: Page) {
        if let Self::Reader { queue, next, .. } = self
            && matches!(next, Next::Reading)
        {
            let Page { items, next: _, sources } = &page;
            let mut sources = sources.iter().peekable();
            let mut source: Option<Name> = None;
            for (place, item) in items.iter().enumerate() {
                while let Some((_, from)) = sources.next_if(|(first, _)| *first <= place) {
                    source = Some(Name::from(from.as_str()));
                }
                queue.push_back((item.clone(), source.clone()));
            }
            *next = page.next.map_or(Next::End, |cursor| Next::From(Some(cursor)));
        }
    }

    /// No more is wanted.
    fn close(&mut self) {
        if let Self::Reader { queue, next, .. } = self {
            queue.clear();
            *next = Next::End;
        }
    }
}

impl Batch {
    /// An empty batch: `{"Items": []}`, with BatchInput if there is one.
    pub(super) fn new(max_items: usize, max_bytes: usize, input: Option<Value>) -> Self {
        let mut batch = Self { max_items, max_bytes, input, items: Vec::new(), bytes: 0, carried: None };
        batch.bytes = batch.envelope(Vec::new()).to_string().len();
        batch
    }

    fn envelope(&self, items: Vec<Value>) -> Value {
        let mut envelope = Object::new();
        if let Some(input) = &self.input {
            envelope.insert("BatchInput".to_owned(), input.clone());
        }
        envelope.insert("Items".to_owned(), Value::Array(items));
        Value::Object(envelope)
    }

    /// The input of a child execution, and how many items are in it.
    fn take(&mut self) -> (Payload, usize) {
        let items = std::mem::take(&mut self.items);
        let count = items.len();
        let input = Payload::new(self.envelope(items));
        self.bytes = self.envelope(Vec::new()).to_string().len();
        (input, count)
    }
}
