//! How functions die, and what is left then.

use std::time::Duration;

use serde_json::json;
use stepgrad_engine::host::{FunctionConfig, HostError, Outcome, ProcessState};

use crate::bench::{Bench, failure, function, is_alive, kill, until, value};

#[tokio::test]
async fn too_slow_is_killed() {
    let bench = Bench::new(vec![FunctionConfig { timeout_s: 1, ..function("sleep") }], |_| ());
    let reply = bench.call("sleep", json!({"ms": 60_000})).await;
    let message = failure(&reply, "Sandbox.Timedout");
    assert_eq!(message, format!("RequestId: {} Error: Task timed out after 1.00 seconds", reply.request_id));
    let record = bench.record();
    assert_eq!(record.outcome, Outcome::TimedOut);
    assert!((1000.0..30_000.0).contains(&record.duration_ms), "{record:?}");
    let pid = record.pid.unwrap();
    until(|| (!is_alive(pid)).then_some(())).await;
    let log = bench.log("sleep");
    assert!(log.contains(&format!(" {} Task timed out after 1.00 seconds\nEND", reply.request_id)), "{log}");
    assert!(log.contains("\tStatus: timeout\t\n"), "{log}");

    assert_eq!(bench.call("sleep", json!({"ms": 0})).await.function_error, None);
    assert!(bench.record().cold, "a new process");
}

#[tokio::test]
async fn an_exit_and_a_signal_are_told_apart() {
    let bench = Bench::new(vec![function("crash")], |_| ());
    for (event, text) in [
        (json!({"exit": 1}), "Runtime exited with error: exit status 1"),
        (json!({"exit": 0}), "Runtime exited without providing a reason"),
        (json!({"signal": 9}), "Runtime exited with error: signal: killed"),
        (json!({"signal": 15}), "Runtime exited with error: signal: terminated"),
    ] {
        let reply = bench.call("crash", event).await;
        let message = failure(&reply, "Runtime.ExitError");
        assert_eq!(message, format!("RequestId: {} Error: {text}", reply.request_id));
        assert_eq!((bench.record().outcome, bench.record().cold), (Outcome::Exited, true));
    }
    assert!(bench.log("crash").contains("signal: killed\nRuntime.ExitError\nEND"));
    assert!(bench.log("crash").contains("\tStatus: error\tError Type: Runtime.ExitError\t\n"));
}

#[tokio::test]
async fn too_much_memory_is_killed() {
    let bench = Bench::new(vec![function("allocate")], |_| ());
    let reply = bench.call("allocate", json!({"mb": 300, "ms": 60_000})).await;
    let message = failure(&reply, "Runtime.ExitError");
    assert!(message.ends_with("Error: Runtime exited with error: signal: killed"), "{message}");
    let record = bench.record();
    assert_eq!(record.outcome, Outcome::OutOfMemory);
    assert!(record.max_memory_mb > 128 && record.duration_ms < 30_000.0, "{record:?}");
    assert!(bench.log("allocate").contains("\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t"));

    // Freed before anyone looked: the kernel has kept the peak.
    let reply = bench.call("allocate", json!({"mb": 300, "free": true})).await;
    failure(&reply, "Runtime.ExitError");
    assert_eq!(bench.record().outcome, Outcome::OutOfMemory);

    assert_eq!(bench.call("allocate", json!({"mb": 20})).await.function_error, None);
}

#[tokio::test]
async fn a_process_that_cannot_start_is_an_answer() {
    let bench = Bench::new(["init_exit", "init_error", "init_allocate"].map(function).into(), |_| ());

    let message = failure(&bench.call("init_exit", json!({})).await, "Runtime.ExitError");
    assert!(message.ends_with("Error: Runtime exited with error: exit status 3"), "{message}");
    assert_eq!(bench.record().outcome, Outcome::InitFailed);
    let log = bench.log("init_exit");
    assert!(log.starts_with("cannot start\nINIT_REPORT Init Duration: "), "{log}");
    assert!(
        log.contains("Phase: init\tStatus: error\tError Type: Runtime.ExitError\t\ncannot start\nSTART"),
        "{log}"
    );

    let message = failure(&bench.call("init_error", json!({})).await, "Test.NoConfig");
    assert_eq!((message.as_str(), bench.record().outcome), ("no configuration", Outcome::InitFailed));

    failure(&bench.call("init_allocate", json!({})).await, "Runtime.ExitError");
    assert_eq!(bench.record().outcome, Outcome::OutOfMemory);
    until(|| bench.host.live_processes().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_process_that_never_asks_for_work_is_killed() {
    let slow = FunctionConfig { timeout_s: 1, ..function("init_slow") };
    let bench = Bench::new(vec![slow], |host| host.init_timeout = Duration::from_millis(500));
    let message = failure(&bench.call("init_slow", json!({})).await, "Sandbox.Timedout");
    assert!(message.ends_with("Task timed out after 1.00 seconds"), "{message}");
    let record = bench.record();
    assert_eq!(record.outcome, Outcome::TimedOut);
    assert!((1000.0..30_000.0).contains(&record.duration_ms), "{record:?}");
    let log = bench.log("init_slow");
    assert!(log.starts_with("INIT_REPORT Init Duration: "), "{log}");
    assert!(log.contains(" ms\tPhase: init\tStatus: timeout\t\nSTART"), "{log}");
    until(|| bench.host.live_processes().is_empty().then_some(())).await;
}

#[tokio::test]
async fn an_init_that_fails_is_tried_again_in_the_functions_own_time() {
    let bench = Bench::new(vec![function("init_exit_once")], |_| ());
    let reply = bench.call("init_exit_once", json!(1)).await;
    assert_eq!((value(&reply), reply.function_error), (json!(1), None));
    let record = bench.record();
    assert_eq!((record.outcome, record.cold), (Outcome::Succeeded, true));
    assert!(
        bench
            .log("init_exit_once")
            .contains("Phase: init\tStatus: error\tError Type: Runtime.ExitError\t\nSTART")
    );
}

#[tokio::test]
async fn what_is_not_executable_is_an_invalid_entrypoint() {
    let bench = Bench::new(vec![function("echo")], |host| {
        host.bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into();
    });
    let message = failure(&bench.call("echo", json!({})).await, "Runtime.InvalidEntrypoint");
    assert!(message.contains("Cargo.toml"), "{message}");
    assert_eq!(bench.record().pid, None);
}

#[tokio::test]
async fn killed_while_busy_the_caller_hears_at_once_and_the_next_call_succeeds() {
    let bench = Bench::new(vec![function("sleep")], |_| ());
    let call = bench.spawn("sleep", json!({"ms": 60_000}));
    kill(bench.busy().await);
    let reply = call.await.unwrap().unwrap();
    let message = failure(&reply, "Runtime.ExitError");
    assert!(message.ends_with("Error: Runtime exited with error: signal: killed"), "{message}");
    assert!(bench.record().duration_ms < 30_000.0);
    assert_eq!(bench.call("sleep", json!({"ms": 1})).await.function_error, None);
}

#[tokio::test]
async fn killed_while_idle_no_call_fails() {
    let bench = Bench::new(vec![function("echo")], |_| ());
    for round in 0..20 {
        let reply = bench.call("echo", json!(round)).await;
        assert_eq!((value(&reply), reply.function_error), (json!(round), None));
        // The next call comes while the process is still dying.
        kill(bench.record().pid.unwrap());
    }
    assert_eq!(bench.host.totals().cold_starts, 20);
}

#[tokio::test]
async fn gone_after_its_answer_no_call_fails() {
    let bench = Bench::new(vec![function("leave")], |_| ());
    for _ in 0..10 {
        assert_eq!(value(&bench.call("leave", json!({})).await), json!("gone"));
    }
    assert_eq!(bench.host.totals().cold_starts, 10);
}

#[tokio::test]
async fn what_a_function_has_started_dies_with_it() {
    let bench = Bench::new(vec![function("parent")], |_| ());
    let child = u32::try_from(value(&bench.call("parent", json!({})).await).as_u64().unwrap()).unwrap();
    assert!(is_alive(child));
    kill(bench.record().pid.unwrap());
    until(|| (!is_alive(child)).then_some(())).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_function_running() {
    let bench = Bench::new(vec![function("sleep")], |host| host.max_concurrency = 1);
    let call = bench.spawn("sleep", json!({"ms": 2000}));
    let pid = bench.busy().await;
    call.abort();
    drop(call.await);
    assert!(bench.records.lock().unwrap().is_empty(), "it still runs");
    assert_eq!(bench.in_state(ProcessState::Busy).len(), 1, "its slot is taken");
    bench.call("sleep", json!({"ms": 0})).await;
    let records = bench.records.lock().unwrap().clone();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| (record.pid, record.outcome) == (Some(pid), Outcome::Succeeded)));
    assert!(records[0].duration_ms >= 2000.0 && records[1].queued_ms > 10.0, "{records:?}");
}

#[tokio::test]
async fn after_shutdown_nothing_lives_and_calls_are_refused() {
    let bench = Bench::new(["sleep", "stubborn", "echo"].map(function).into(), |_| ());
    let stubborn = value(&bench.call("stubborn", json!({})).await).as_u64().unwrap();
    bench.call("echo", json!({})).await;
    let call = bench.spawn("sleep", json!({"ms": 60_000}));
    bench.busy().await;
    let pids: Vec<u32> = bench.host.live_processes().iter().map(|process| process.pid).collect();
    assert_eq!(pids.len(), 3);

    bench.host.shutdown().await;
    assert!(bench.host.live_processes().is_empty());
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?} with {stubborn}");
    let message = failure(&call.await.unwrap().unwrap(), "Runtime.ExitError");
    assert!(message.ends_with("signal: terminated"), "{message}");
    let refused = bench.try_call("echo", json!({})).await.unwrap_err();
    assert!(matches!(refused, HostError::Service { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_host_that_is_dropped_takes_its_processes_along() {
    let bench = Bench::new(vec![function("echo")], |_| ());
    bench.call("echo", json!({})).await;
    let pid = bench.record().pid.unwrap();
    drop(bench);
    until(|| (!is_alive(pid)).then_some(())).await;
}
