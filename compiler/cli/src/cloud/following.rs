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

#[cfg(test)]
mod tests {
    use super::{Following, LATE, Source};
    use crate::output::Format;
    use crate::project::{Loaded, SpecArgs};
    use crate::record::Record;
    use crate::show::progress::Progress;
    use serde_json::{Value, json};
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use stepgrad_deploy::{Error, Recorded};

    const SPEC: &str = "version: 1\nname: small\nseed: 1\ndata:\n  format: synthetic\n  synthetic: {samples: 240, shape: [12], classes: 3}\nmodel:\n  architecture: logistic_regression\ntraining:\n  algorithm: gradient_averaging\n  epochs: 3\n  batch_size: 16\n  optimizer: {sgd: {learning_rate: 0.1}}\ntopology:\n  kind: peer_to_peer\n  peers: 3\nexchange:\n  every: {batches: 2}\n";

    /// Histories that grow.
    #[derive(Default)]
    struct Growing {
        events: RefCell<BTreeMap<&'static str, Vec<Value>>>,
        asked: RefCell<Vec<String>>,
        fails: Cell<bool>,
    }

    impl Growing {
        fn grows(&self, name: &'static str, kind: &str, more: &Value) {
            let mut events = self.events.borrow_mut();
            let events = events.entry(name).or_default();
            let id = events.len() + 1;
            let mut event = json!({"id": id, "previousEventId": id - 1, "timestamp": id, "type": kind});
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            events.push(event);
        }

        fn starts(&self, name: &'static str, child: &str) {
            let output = json!({"ExecutionArn": child}).to_string();
            let details =
                json!({"resourceType": "states", "resource": "startExecution.sync:2", "output": output});
            self.grows(name, "TaskSubmitted", &json!({"taskSubmittedEventDetails": details}));
        }

        fn hears_of_the_end(&self, name: &'static str) {
            let details =
                json!({"resourceType": "states", "resource": "startExecution.sync:2", "output": "{}"});
            self.grows(name, "TaskSucceeded", &json!({"taskSucceededEventDetails": details}));
        }

        fn calls(&self, name: &'static str) {
            let details =
                json!({"resourceType": "lambda", "resource": "invoke", "region": "r", "parameters": "{}"});
            self.grows(name, "TaskScheduled", &json!({"taskScheduledEventDetails": details}));
        }

        fn ends(&self, name: &'static str, output: &Value) {
            let details = json!({"output": output.to_string()});
            self.grows(name, "ExecutionSucceeded", &json!({"executionSucceededEventDetails": details}));
        }

        fn ends_round(&self, name: &'static str, round: u32) {
            let metrics = json!({"round": round, "epochs": 1, "learning_rate": 0.1, "members": 3, "lost": [], "samples": 96,
                "training": null, "validation": null, "replica": "", "stop": null});
            self.ends(name, &json!({"metrics": metrics}));
        }

        fn read(&self, arn: &str, than: u64) -> Result<Vec<Recorded>, Error> {
            self.asked.borrow_mut().push(arn.to_owned());
            if self.fails.get() {
                return Err(Error::Desired("it cannot be read".to_owned()));
            }
            let events = self.events.borrow().get(arn).cloned().unwrap_or_default();
            let new = events.into_iter().filter(|event| event["id"].as_u64() > Some(than));
            Ok(new.map(|event| Recorded { execution: arn.to_owned(), event }).collect())
        }
    }

    impl Source for Growing {
        async fn newer(&self, arn: &str, than: u64) -> Result<Vec<Recorded>, Error> {
            self.read(arn, than)
        }

        async fn whole(&self, arn: &str) -> Result<Vec<Recorded>, Error> {
            self.read(arn, 0)
        }

        async fn object(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
            self.asked.borrow_mut().push(key.to_owned());
            Ok(Some(b"{}".to_vec()))
        }
    }

    /// A record of a run `r` that is trained by [`SPEC`].
    fn record(folder: &std::path::Path) -> Record {
        let spec = folder.join("train.yaml");
        std::fs::write(&spec, SPEC).unwrap();
        let args = SpecArgs { spec, overrides: Vec::new(), templates: None };
        let loaded = Loaded::load(&args, Format::Text).unwrap_or_else(|failure| panic!("{failure:?}"));
        let bundle =
            loaded.compile(&args, Format::Text).unwrap_or_else(|failure| panic!("{failure:?}")).bundle;
        let record = Record::create(folder, "r").unwrap();
        record.replace("bundle/training.json", &serde_json::to_vec(&bundle.training).unwrap()).unwrap();
        record
    }

    fn lines(record: &Record) -> usize {
        std::fs::read_to_string(record.folder.join("metrics.jsonl")).unwrap().lines().count()
    }

    #[tokio::test]
    async fn every_event_is_taken_once_and_a_round_when_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (record, source) = (record(folder.path()), Growing::default());
        let mut following = Following::new(&source, &record, "r", "train:r", Arc::new(Progress::Quiet));
        source.grows("train:r", "ExecutionStarted", &json!({}));
        source.calls("train:r");
        source.starts("train:r", "segment:r-s1");
        following.look().await.unwrap();
        source.starts("segment:r-s1", "round:r-r1");
        source.calls("round:r-r1");
        following.look().await.unwrap();
        assert!(!source.asked.borrow().iter().any(|asked| asked == "round:r-r1"), "it goes on");

        // Its parent knows that it has ended before its own history does.
        source.hears_of_the_end("segment:r-s1");
        following.look().await.unwrap();
        assert_eq!(lines(&record), 0);
        source.ends_round("round:r-r1", 1);
        following.look().await.unwrap();
        following.look().await.unwrap();
        assert_eq!(lines(&record), 1);

        // What cannot be read now is read later.
        source.starts("segment:r-s1", "round:r-r2");
        source.calls("round:r-r2");
        source.ends_round("round:r-r2", 2);
        source.hears_of_the_end("segment:r-s1");
        source.fails.set(true);
        following.look().await.unwrap();
        assert!(following.shown.has_warned);
        source.fails.set(false);
        source.ends("segment:r-s1", &json!({}));
        source.hears_of_the_end("train:r");
        source.calls("train:r");
        following.look().await.unwrap();
        assert_eq!(lines(&record), 2);
        assert!(!following.is_at_the_end());
        source.ends("train:r", &json!({}));
        following.look().await.unwrap();
        assert!(following.is_at_the_end());
        let counts = *following.shown.watch.as_ref().unwrap().counts().lock().unwrap();
        assert_eq!((counts.invocations, counts.executions), (4, 1), "as often as they were made");
        assert!(following.own.open.is_empty());
        let manifests = source.asked.borrow().iter().filter(|asked| asked.contains("manifest")).count();
        assert_eq!(manifests, 1);
    }

    #[tokio::test]
    async fn an_end_that_never_comes_to_light_is_waited_for_some_looks_only() {
        let folder = tempfile::tempdir().unwrap();
        let (record, source) = (record(folder.path()), Growing::default());
        let mut following = Following::new(&source, &record, "r", "train:r", Arc::new(Progress::Quiet));
        source.starts("train:r", "segment:r-s1");
        source.starts("segment:r-s1", "round:r-r1");
        source.calls("round:r-r1");
        source.hears_of_the_end("segment:r-s1");
        for look in 1..=LATE {
            following.look().await.unwrap();
            let invocations = following.shown.watch.as_ref().unwrap().counts().lock().unwrap().invocations;
            assert_eq!(invocations, u64::from(look == LATE));
        }
        // One that is redriven is started by the same name.
        source.starts("train:r", "segment:r-s1");
        following.look().await.unwrap();
        assert_eq!(following.own.open.len(), 1);
    }
}
