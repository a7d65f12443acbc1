//! What is shown of a run on AWS while it goes on: the same as of a run on this computer, from the same events. A run's own
//! execution and those that it starts (the segments) are read on with at each look; what those start (the rounds) is read when
//! it has ended, whole. Nothing is kept of what was read.
#![expect(clippy::disallowed_methods, reason = "reads the clock, and the record")]

use super::failure;
use super::training::line;
use crate::failure::Failure;
use crate::local::read_json;
use crate::local::watch::Watch;
use crate::record::{Record, below};
use crate::show::progress::Progress;
use futures::future::LocalBoxFuture;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use stepgrad_contract::keys;
use stepgrad_deploy::{Error, Recorded, Runs};
use stepgrad_engine::core::Record as Event;

/// Looks for which the end of an execution that its parent has heard of is waited for: a history can be late (API Reference,
/// "GetExecutionHistory": it is eventually consistent).
pub(super) const LATE: u32 = 3;

/// Where histories and objects of runs are read.
pub(super) trait Source {
    /// The events of an execution after the one with the id `than`.
    async fn newer(&self, arn: &str, than: u64) -> Result<Vec<Recorded>, Error>;
    /// All events of an execution, and of those that it started.
    async fn whole(&self, arn: &str) -> Result<Vec<Recorded>, Error>;
    /// An object, by its key below all runs.
    async fn object(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
}

impl Source for Runs<'_> {
    async fn newer(&self, arn: &str, than: u64) -> Result<Vec<Recorded>, Error> {
        self.newer(arn, than).await
    }

    async fn whole(&self, arn: &str) -> Result<Vec<Recorded>, Error> {
        self.history(arn).await
    }

    async fn object(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.get(key).await
    }
}

/// Follows a run's events, and shows what they tell.
pub(super) struct Following<'a, S> {
    own: Part,
    shown: Shown<'a, S>,
}

/// An execution that is read on with.
#[derive(Debug)]
struct Part {
    arn: String,
    /// The newest event that was taken.
    taken: u64,
    has_ended: bool,
    /// What it has started and not heard the end of.
    open: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    part: Part,
    /// The event that told of its start.
    started: u64,
    /// How often its end was looked for.
    looks: u32,
}

struct Shown<'a, S> {
    source: &'a S,
    record: &'a Record,
    run: &'a str,
    progress: Arc<Progress>,
    begun: Instant,
    /// `None` until it is known what is trained.
    watch: Option<Watch>,
    /// Whether what is taken was there before this command.
    is_past: bool,
    has_warned: bool,
}

/// Why a look ended early.
enum Stopped {
    /// Something could not be read on AWS, and perhaps can at the next look.
    There(Error),
    /// The record cannot be written.
    Here(Failure),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::There(error)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Here(failure)
    }
}

impl Part {
    const fn new(arn: String) -> Self {
        Self { arn, taken: 0, has_ended: false, open: Vec::new() }
    }

    /// Takes notice of a start. What is redriven was started before, by the same name.
    fn starts(&mut self, arn: String, started: u64) {
        match self.open.iter_mut().find(|child| child.part.arn == arn) {
            Some(child) => child.started = started,
            None => self.open.push(Child { part: Self::new(arn), started, looks: 0 }),
        }
    }
}

impl<'a, S: Source> Following<'a, S> {
    /// Follows a run by its execution.
    pub(super) fn new(
        source: &'a S,
        record: &'a Record,
        run: &'a str,
        execution: &str,
        progress: Arc<Progress>,
    ) -> Self {
        let shown = Shown {
            source,
            record,
            run,
            progress,
            begun: Instant::now(),
            watch: None,
            is_past: true,
            has_warned: false,
        };
        Self { own: Part::new(execution.to_owned()), shown }
    }

    /// Shows what is new. That something cannot be read is said once and ends nothing.
    ///
    /// # Errors
    /// Where the record cannot be written.
    pub(super) async fn look(&mut self) -> Result<(), Failure> {
        match self.read_on().await {
            Ok(()) => Ok(()),
            Err(Stopped::Here(failure)) => Err(failure),
            Err(Stopped::There(error)) => {
                self.shown.warn(&failure(error).message);
                Ok(())
            }
        }
    }

    /// Whether the run's own end was among what was read.
    pub(super) const fn is_at_the_end(&self) -> bool {
        self.own.has_ended
    }

    async fn read_on(&mut self) -> Result<(), Stopped> {
        if !self.shown.knows_what_is_trained().await? {
            return Ok(());
        }
        self.shown.read_on(&mut self.own, true).await?;
        let (elapsed, is_past) = (self.shown.begun.elapsed(), self.shown.is_past);
        if let Some(watch) = &mut self.shown.watch {
            watch.stands(elapsed, is_past);
        }
        self.shown.is_past = false;
        Ok(())
    }
}

impl<S: Source> Shown<'_, S> {
    /// Takes what is new of an execution; what it has started comes where it heard of the end, which is what came before it.
    /// What the run's own execution started is read on with, what others did is not before its end.
    fn read_on<'p>(
        &'p mut self,
        part: &'p mut Part,
        is_own: bool,
    ) -> LocalBoxFuture<'p, Result<(), Stopped>> {
        Box::pin(async move {
            for recorded in self.source.newer(&part.arn, part.taken).await? {
                let ended = |child: &Child| recorded.ends_child(&child.part.arn, child.started);
                if let Some(place) = part.open.iter().position(ended) {
                    if let Some(child) = part.open.get_mut(place)
                        && !self.is_taken_whole(child, is_own).await?
                    {
                        // This event is read again with the next look.
                        return Ok(());
                    }
                    part.open.remove(place);
                }
                (part.taken, part.has_ended) = (recorded.id(), recorded.is_end());
                if let Some(arn) = recorded.child() {
                    part.starts(arn, part.taken);
                }
                self.take(recorded)?;
            }
            if is_own {
                for child in &mut part.open {
                    self.read_on(&mut child.part, false).await?;
                }
            }
            Ok(())
        })
    }

    /// Takes what an execution that has ended did, as far as it was not taken before; says whether that is all of it.
    async fn is_taken_whole(&mut self, child: &mut Child, of_own: bool) -> Result<bool, Stopped> {
        child.looks += 1;
        if of_own {
            self.read_on(&mut child.part, false).await?;
            return Ok(child.part.has_ended || child.looks >= LATE);
        }
        let mut events = self.source.whole(&child.part.arn).await?;
        // Its own come first.
        let own = events.first().map(|first| first.execution.clone());
        let newest = events.iter().rfind(|recorded| Some(&recorded.execution) == own.as_ref());
        if !newest.is_some_and(Recorded::is_end) && child.looks < LATE {
            return Ok(false);
        }
        self.fetch_manifest().await;
        let time = |recorded: &Recorded| recorded.event["timestamp"].as_f64().unwrap_or_default();
        // Stable: events of one execution keep their order.
        events.sort_by(|one, other| time(one).total_cmp(&time(other)));
        events.into_iter().try_for_each(|recorded| self.take(recorded))?;
        Ok(true)
    }

    fn take(&mut self, recorded: Recorded) -> Result<(), Failure> {
        // What the engine never writes is nothing that is shown.
        if let (Some(watch), Ok(event)) = (&mut self.watch, serde_json::from_value::<Event>(line(recorded))) {
            watch.record(&event, self.begun.elapsed(), self.is_past)?;
        }
        Ok(())
    }

    /// Makes the watch, for which the record needs what is trained: that of a run from elsewhere lacks it until its end.
    async fn knows_what_is_trained(&mut self) -> Result<bool, Stopped> {
        if self.watch.is_some() {
            return Ok(true);
        }
        let name = "bundle/training.json";
        if !self.fetch(name).await? {
            self.warn(&format!("{}/{name} is not there", self.run));
            return Ok(false);
        }
        let training = read_json(&self.record.folder.join(name))?;
        let folder = &self.record.folder;
        let folder = folder.canonicalize().map_err(|error| Failure::file("open", folder, &error))?;
        let all = folder.parent().unwrap_or(Path::new("."));
        self.watch = Some(Watch::new(all, self.run, training, Arc::clone(&self.progress))?);
        Ok(true)
    }

    /// Fetches what says how many rounds there are. Without it, everything else can be shown.
    async fn fetch_manifest(&mut self) {
        let name = below(self.run, keys::manifest(self.run));
        match self.fetch(&name).await {
            Ok(_) => {}
            Err(Stopped::There(error)) => self.warn(&failure(error).message),
            Err(Stopped::Here(error)) => self.warn(&error.message),
        }
    }

    /// Brings an object into the record; says whether it is there.
    async fn fetch(&self, name: &str) -> Result<bool, Stopped> {
        if self.record.folder.join(name).is_file() {
            return Ok(true);
        }
        let Some(content) = self.source.object(&format!("{}/{name}", self.run)).await? else {
            return Ok(false);
        };
        self.record.replace(name, &content)?;
        Ok(true)
    }

    fn warn(&mut self, why: &str) {
        if !std::mem::replace(&mut self.has_warned, true) {
            let what = "warning: the run is followed, but what goes on in it is not shown as long as";
            self.progress.say(&format!("{what} it cannot be read: {why}"));
        }
    }
}
