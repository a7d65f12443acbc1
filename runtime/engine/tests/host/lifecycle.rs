//! No function outlives its host, not even one that is killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;
use stepgrad_engine::host::ProcessState;

use crate::bench::{Bench, function, is_alive, until};

#[tokio::test]
async fn functions_end_with_a_host_that_is_killed() {
    let mut host = Command::new(std::env::current_exe().unwrap());
    host.args(["--exact", "lifecycle::a_host_for_the_test_above", "--ignored", "--nocapture"]);
    let mut host = host.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let pids: Vec<u32> = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("PIDS ").map(|(_, pids)| pids.to_owned()))
        .unwrap()
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| is_alive(*pid)));

    host.kill().unwrap();
    host.wait().unwrap();
    until(|| pids.iter().all(|pid| !is_alive(*pid)).then_some(())).await;
}

/// One idle and one busy function, and then nothing: this host is going to be killed.
#[tokio::test]
#[ignore = "run by the test above in a process of its own"]
async fn a_host_for_the_test_above() {
    let bench = Bench::new(["echo", "sleep"].map(function).into(), |_| ());
    bench.call("echo", json!({})).await;
    let call = bench.spawn("sleep", json!({"ms": 600_000}));
    let busy = bench.busy().await;
    let idle = bench.in_state(ProcessState::Idle)[0].pid;
    #[expect(clippy::print_stdout, reason = "the parent reads it")]
    {
        println!("PIDS {idle} {busy}");
    }
    call.await.unwrap().unwrap();
}
