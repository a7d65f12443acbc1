//! The live driver: real tasks, real time, real files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use stepgrad_asl::document::MachineType;
use stepgrad_asl::program::Program;
use stepgrad_engine::core::{EventType, Record, Settings, Status};
use stepgrad_engine::driver::history::{Collect, HistoryFile, HistorySink};
use stepgrad_engine::driver::live::{LiveError, LiveOptions, start};
use stepgrad_engine::integrations::lambda::{Invoke, InvokeError, InvokeReply};
use tokio::sync::Notify;

/// Echoes; counts calls; `stuck` does not answer, and says when it was called.
#[derive(Default)]
struct Functions {
    calls: Mutex<Vec<(String, String)>>,
    at_a_time: AtomicUsize,
    most: AtomicUsize,
    stuck: Notify,
}

impl Functions {
    async fn answer(&self, function: &str, payload: Bytes) -> Result<InvokeReply, InvokeError> {
        let text = String::from_utf8_lossy(&payload).into_owned();
        self.calls.lock().unwrap().push((function.to_owned(), text));
        let running = self.at_a_time.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        if function == "stuck" {
            self.stuck.notify_one();
            std::future::pending::<()>().await;
        }
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.at_a_time.fetch_sub(1, Ordering::SeqCst);
        Ok(InvokeReply {
            payload,
            function_error: None,
            executed_version: "$LATEST".to_owned(),
            request_id: "r".to_owned(),
        })
    }
}

impl Invoke for Functions {
    fn invoke<'a>(
        &'a self,
        function: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<InvokeReply, InvokeError>> {
        Box::pin(self.answer(function, payload))
    }
}

fn call(function: &str) -> Value {
    json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 60,
        "Parameters": {"FunctionName": function, "Payload.$": "$"}, "OutputPath": "$.Payload"})
}

/// A Map of calls, then one call of `last`.
fn machine(last: &str) -> Program {
    let mut each = call("each");
    each["End"] = Value::Bool(true);
    let mut end = call(last);
    end["End"] = Value::Bool(true);
    let definition = json!({"StartAt": "Map", "States": {
        "Map": {"Type": "Map", "ItemProcessor": {"StartAt": "Each", "States": {"Each": each}}, "Next": "Last"},
        "Last": end}});
    Program::load(&definition.to_string(), MachineType::Standard).unwrap()
}

fn options(
    program: Program,
    functions: &Arc<Functions>,
    history: Box<dyn HistorySink + Send>,
) -> LiveOptions {
    LiveOptions {
        machines: BTreeMap::from([("m".to_owned(), program)]),
        root: "m".to_owned(),
        execution_name: "run".to_owned(),
        input: json!([1, 2, 3, 4, 5, 6, 7, 8]),
        seed: 1,
        settings: Settings::default(),
        invoke: Arc::clone(functions) as Arc<dyn Invoke>,
        objects: None,
        max_concurrent_invocations: 3,
        history,
        recover: None,
        shuffle: None,
    }
}

#[tokio::test]
async fn runs_to_the_end_with_as_many_calls_as_allowed() {
    let functions = Arc::new(Functions::default());
    let collect = Collect::default();
    let handle = start(options(machine("last"), &functions, Box::new(collect.clone()))).unwrap();
    let result = handle.wait().await.unwrap();
    assert_eq!((result.status, result.output), (Status::Succeeded, Some(json!([1, 2, 3, 4, 5, 6, 7, 8]))));
    assert_eq!(result.stats.invocations, 9);
    assert_eq!(functions.most.load(Ordering::SeqCst), 3);
    assert_eq!(
        collect.records().iter().filter(|record| matches!(record, Record::Event { event, .. } if event.event_type == EventType::TaskSucceeded)).count(),
        9
    );
}

#[tokio::test]
async fn a_killed_run_goes_on_without_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let functions = Arc::new(Functions::default());
    let handle =
        start(options(machine("stuck"), &functions, Box::new(HistoryFile::create(&path).unwrap()))).unwrap();
    functions.stuck.notified().await;
    // Nobody polls the run any more: as if the process were gone.
    handle.kill();
    let (records, file) = HistoryFile::reopen(&path).unwrap();
    let again = Arc::new(Functions::default());
    let mut going_on = options(machine("stuck"), &again, Box::new(file));
    going_on.recover = Some(records);
    let handle = start(going_on).unwrap();
    again.stuck.notified().await;
    assert_eq!(*again.calls.lock().unwrap(), [("stuck".to_owned(), "[1,2,3,4,5,6,7,8]".to_owned())]);
    handle.abort("the test is over").await;
    let result = handle.wait().await.unwrap();
    assert_eq!((result.status, result.cause.as_deref()), (Status::Aborted, Some("the test is over")));
    let (records, _) = HistoryFile::reopen(&path).unwrap();
    assert_eq!(records.iter().filter(|record| matches!(record, Record::Resumed { .. })).count(), 1);
    let last = records.last().unwrap();
    assert!(matches!(last, Record::Event { event, .. } if event.event_type == EventType::ExecutionAborted));
}

#[tokio::test]
async fn a_shuffled_run_comes_to_the_same_end_and_one_seed_to_the_same_history() {
    let mut histories = Vec::new();
    for shuffle in [1, 2, 1] {
        let functions = Arc::new(Functions::default());
        let collect = Collect::default();
        let mut shuffled = options(machine("last"), &functions, Box::new(collect.clone()));
        shuffled.shuffle = Some(shuffle);
        let result = start(shuffled).unwrap().wait().await.unwrap();
        assert_eq!(result.output, Some(json!([1, 2, 3, 4, 5, 6, 7, 8])));
        let types: Vec<String> = collect
            .records()
            .iter()
            .map(|record| match record {
                Record::Event { event, .. } => {
                    format!("{} {:?}", event.event_type.name(), event.details.index)
                }
                Record::Objects { .. } | Record::Resumed { .. } => String::new(),
            })
            .collect();
        histories.push(types);
    }
    assert_eq!(histories[0], histories[2]);
    assert_ne!(histories[0], histories[1]);
}

/// Tells of records as they are written.
struct Teller(tokio::sync::mpsc::UnboundedSender<Record>);

impl HistorySink for Teller {
    fn write(&mut self, record: &Record) -> std::io::Result<()> {
        self.0.send(record.clone()).map_err(std::io::Error::other)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_token_ends_a_task_that_waits_for_it() {
    let mut waiting = call("echo");
    waiting["Resource"] = json!("arn:aws:states:::lambda:invoke.waitForTaskToken");
    waiting["Parameters"]["Payload.$"] = json!("$$.Task.Token");
    waiting["OutputPath"] = json!("$");
    waiting["End"] = json!(true);
    let definition = json!({"StartAt": "T", "States": {"T": waiting}});
    let program = Program::load(&definition.to_string(), MachineType::Standard).unwrap();
    let functions = Arc::new(Functions::default());
    let (sender, mut listener) = tokio::sync::mpsc::unbounded_channel();
    let handle = start(options(program, &functions, Box::new(Teller(sender)))).unwrap();
    let token = loop {
        if let Record::Event { event, .. } = listener.recv().await.unwrap()
            && event.event_type == EventType::TaskSubmitted
        {
            break event.details.output.unwrap().value()["Payload"].as_str().unwrap().to_owned();
        }
    };
    assert!(!handle.send_task_result("nobody's", Ok(Value::Null)).await);
    assert!(handle.send_task_heartbeat(&token).await);
    assert!(handle.send_task_result(&token, Ok(json!("done"))).await);
    assert_eq!(handle.wait().await.unwrap().output, Some(json!("done")));
}

#[tokio::test]
async fn an_unknown_machine_is_refused() {
    let functions = Arc::new(Functions::default());
    let mut unknown = options(machine("last"), &functions, Box::new(Collect::default()));
    unknown.root = "n".to_owned();
    assert!(matches!(start(unknown), Err(LiveError::UnknownMachine(name)) if name == "n"));
}
