//! Concurrency: who waits for whom, and which environments are kept.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};
use stepgrad_engine::host::{FunctionConfig, HostError, ProcessState};

use crate::bench::{Bench, function, until};

#[tokio::test]
async fn calls_beyond_the_limit_wait_their_turn() {
    let bench = Bench::new(vec![function("sleep")], |host| host.max_concurrency = 2);
    let calls: Vec<_> = (0..6).map(|_| bench.spawn("sleep", json!({"ms": 50}))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().function_error, None);
    }
    let records = bench.records.lock().unwrap().clone();
    assert_eq!(records.iter().filter(|record| record.cold).count(), 2);
    assert!(records.iter().filter(|record| record.queued_ms >= 50.0).count() >= 4, "{records:?}");
    assert_eq!(bench.in_state(ProcessState::Idle).len(), 2);
}

#[tokio::test]
async fn a_full_queue_throttles_and_a_caller_that_leaves_makes_room() {
    let bench = Bench::new(vec![function("sleep")], |host| {
        host.max_concurrency = 1;
        host.queue_size = 1;
    });
    let running = bench.spawn("sleep", json!({"ms": 60_000}));
    bench.busy().await;
    let waiting = bench.spawn("sleep", json!({"ms": 0}));
    tokio::task::yield_now().await;
    let refused = bench.try_call("sleep", json!({})).await.unwrap_err();
    assert!(matches!(refused, HostError::Throttled { reserved: false, .. }), "{refused:?}");
    assert_eq!(
        (refused.name(), refused.to_string().as_str()),
        ("TooManyRequestsException", "Rate Exceeded.")
    );
    assert_eq!(bench.host.totals().throttles, 1);

    waiting.abort();
    drop(waiting.await);
    let waiting = bench.spawn("sleep", json!({"ms": 0}));
    tokio::task::yield_now().await;
    crate::bench::kill(bench.busy().await);
    assert!(running.await.unwrap().unwrap().function_error.is_some());
    assert_eq!(waiting.await.unwrap().unwrap().function_error, None);
}

#[tokio::test]
async fn the_queue_is_first_come_first_served_over_all_functions() {
    let bench = Bench::new(["sleep", "echo", "environment"].map(function).into(), |host| {
        host.max_concurrency = 1;
    });
    let first = bench.spawn("sleep", json!({"ms": 200}));
    bench.busy().await;
    let order = ["echo", "environment", "echo", "sleep", "environment"];
    let mut calls = vec![first];
    for name in order {
        calls.push(bench.spawn(name, json!({"ms": 0})));
        tokio::task::yield_now().await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let served: Vec<String> =
        bench.records.lock().unwrap().iter().skip(1).map(|record| record.function.clone()).collect();
    assert_eq!(served, order);
}

#[tokio::test]
async fn an_idle_environment_of_another_function_makes_room() {
    let bench = Bench::new(["echo", "sleep", "environment"].map(function).into(), |host| {
        host.max_concurrency = 2;
    });
    bench.call("echo", json!({})).await;
    bench.call("sleep", json!({"ms": 0})).await;
    bench.call("echo", json!({})).await;
    // Of the two idle ones that of `sleep` was used longer ago.
    bench.call("environment", json!({})).await;
    let mut functions: Vec<String> =
        bench.host.live_processes().into_iter().map(|process| process.function).collect();
    functions.sort();
    assert_eq!(functions, ["echo", "environment"]);
}

#[tokio::test]
async fn a_cold_start_makes_room_among_all_functions() {
    let bench = Bench::new(["echo", "environment", "sleep"].map(function).into(), |host| {
        host.max_concurrency = 2;
    });
    bench.call("echo", json!({})).await;
    bench.call("environment", json!({})).await;
    bench.host.call_cold("sleep", Bytes::from(r#"{"ms": 0}"#)).await.unwrap();
    let functions: Vec<String> =
        bench.host.live_processes().into_iter().map(|process| process.function).collect();
    assert_eq!(functions, ["environment", "sleep"], "that of `echo` was used longest ago");
}

#[tokio::test]
async fn the_most_recently_used_environment_is_taken_and_few_are_kept() {
    let bench = Bench::new(vec![function("sleep")], |host| host.max_idle = 2);
    let calls: Vec<_> = (0..4).map(|place| bench.spawn("sleep", json!({"ms": 300 + 150 * place}))).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let last = bench.record().pid;
    until(|| (bench.host.live_processes().len() == 2).then_some(())).await;
    bench.call("sleep", json!({"ms": 0})).await;
    assert_eq!((bench.record().pid, bench.record().cold), (last, false));
}

#[tokio::test]
async fn a_reservation_is_a_limit_and_a_guarantee() {
    let reserved = |handler, count| FunctionConfig { reserved_concurrency: Some(count), ..function(handler) };
    let functions = vec![reserved("sleep", 1), function("environment"), reserved("echo", 0)];
    let bench = Bench::new(functions, |host| host.max_concurrency = 2);
    let slow = |name: &'static str, event: Value| bench.spawn(name, event);
    let calls =
        [slow("sleep", json!({"ms": 400})), slow("sleep", json!({"ms": 0})), slow("environment", json!({}))];
    // The function without a reservation does not stand behind the one that waits for its own.
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let records = bench.records.lock().unwrap().clone();
    let sleeps: Vec<_> = records.iter().filter(|record| record.function == "sleep").collect();
    let processes: BTreeSet<_> = sleeps.iter().map(|record| record.pid).collect();
    assert_eq!(processes.len(), 1, "{records:?}");
    let environment = records.iter().find(|record| record.function == "environment").unwrap();
    assert!(sleeps.iter().any(|sleep| sleep.queued_ms > environment.queued_ms + 200.0), "{records:?}");
    let refused = bench.try_call("echo", json!({})).await.unwrap_err();
    assert!(matches!(refused, HostError::Throttled { reserved: true, .. }), "{refused:?}");
}
