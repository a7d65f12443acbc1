//! Calls that go wrong on purpose, with real processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use stepgrad_engine::faults::{Due, Faults, Faulty};
use stepgrad_engine::integrations::lambda::Invoke;

use crate::bench::{Bench, PATIENCE, function};

/// The same for every call, and how often it has happened.
struct Always(Option<Due>, AtomicUsize);

impl Always {
    fn new(due: Option<Due>) -> Arc<Self> {
        Arc::new(Self(due, AtomicUsize::new(0)))
    }

    fn happened(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

impl Faults for Always {
    fn due(&self, _: &str, _: &Bytes, _: usize) -> Option<Due> {
        self.0.clone()
    }

    fn happens(&self, _: &str, _: &Bytes, at_work: usize) {
        assert_eq!(at_work, 0, "what it was when it was due");
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// The answer under `due`, and how many calls the host has seen in the end.
async fn answer(due: Option<Due>, expected: usize) -> Result<String, String> {
    let bench = Bench::new(vec![function("echo")], |_| ());
    let happens = usize::from(due.is_some());
    let faults = Always::new(due);
    let faulty = Faulty::new(Arc::new(bench.host.clone()), bench.host.clone(), faults.clone());
    let reply = faulty.invoke("echo", Bytes::from(json!({"x": 1}).to_string())).await;
    let begin = std::time::Instant::now();
    while bench.records.lock().unwrap().len() < expected && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.records.lock().unwrap().len(), expected);
    assert_eq!(faults.happened(), happens);
    reply.map(|reply| String::from_utf8_lossy(&reply.payload).into_owned()).map_err(|error| error.error)
}

#[tokio::test]
async fn a_call_goes_wrong_as_it_is_told_to() {
    let error =
        |prevent_execution| Some(Due::Error { prevent_execution, error: "Lambda.Unknown".to_owned() });
    let good = answer(None, 1).await.unwrap();
    assert_eq!(answer(error(true), 0).await.unwrap_err(), "Lambda.Unknown");
    assert_eq!(answer(error(false), 1).await.unwrap_err(), "Lambda.Unknown");
    assert_eq!(answer(Some(Due::Throttle), 0).await.unwrap_err(), "Lambda.TooManyRequestsException");
    for after in [0, 20] {
        let twice = Some(Due::Duplicate { after: Duration::from_millis(after) });
        assert_eq!(answer(twice, 2).await.unwrap(), good);
    }
}

#[tokio::test]
async fn a_cold_start_is_a_new_process() {
    let bench = Bench::new(vec![function("echo")], |_| ());
    for call in 1..=3 {
        bench.call("echo", json!({})).await;
        assert_eq!(bench.record().init_ms.is_some(), call == 1);
    }
    let due = Always::new(Some(Due::ColdStart));
    let faulty = Faulty::new(Arc::new(bench.host.clone()), bench.host.clone(), due);
    for _ in 0..2 {
        faulty.invoke("echo", Bytes::from("{}")).await.unwrap();
        assert!(bench.record().init_ms.is_some());
        assert_eq!(bench.host.live_processes().len(), 1, "the old one is gone");
    }
}

#[tokio::test]
async fn a_duplicate_that_comes_after_the_end_is_made_at_the_end() {
    let bench = Bench::new(vec![function("sleep")], |_| ());
    let faults = Always::new(Some(Due::Duplicate { after: Duration::from_secs(86_400) }));
    let faulty = Faulty::new(Arc::new(bench.host.clone()), bench.host.clone(), faults.clone());
    faulty.invoke("sleep", Bytes::from(r#"{"ms": 20}"#)).await.unwrap();
    assert_eq!((bench.records.lock().unwrap().len(), faults.happened()), (1, 0));
    assert!(faulty.settle(PATIENCE).await);
    assert_eq!((bench.records.lock().unwrap().len(), faults.happened()), (2, 1));
}

#[tokio::test]
async fn the_end_does_not_wait_longer_for_a_duplicate_than_it_is_told_to() {
    let bench = Bench::new(vec![function("sleep")], |_| ());
    let faults = Always::new(Some(Due::Duplicate { after: Duration::ZERO }));
    let faulty = Faulty::new(Arc::new(bench.host.clone()), bench.host.clone(), faults);
    let call = tokio::spawn(async move {
        let event = Bytes::from(r#"{"ms": 600000}"#);
        let given_up = tokio::time::timeout(Duration::from_millis(200), faulty.invoke("sleep", event)).await;
        (given_up.is_err(), faulty.settle(Duration::from_millis(1)).await)
    });
    assert_eq!(call.await.unwrap(), (true, false));
}
