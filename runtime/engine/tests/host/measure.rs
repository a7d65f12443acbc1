//! Calls per second of an empty function: `cargo test --test host measure -- --ignored --nocapture`.

use std::time::Instant;

use bytes::Bytes;

use crate::bench::{Bench, function};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "its result")]
async fn calls_per_second() {
    for callers in [1, 8] {
        let bench = Bench::new(vec![function("echo")], |_| ());
        let run = |calls: usize| {
            let tasks = (0..callers).map(|_| {
                let host = bench.host.clone();
                tokio::spawn(async move {
                    for _ in 0..calls {
                        host.call("echo", Bytes::from_static(b"{}")).await.unwrap();
                    }
                })
            });
            futures::future::join_all(tasks.collect::<Vec<_>>())
        };
        run(20).await;
        let calls = 4000 / callers;
        let begin = Instant::now();
        run(calls).await;
        let rate = (calls * callers) as f64 / begin.elapsed().as_secs_f64();
        println!("{callers} callers: {rate:.0} calls/s, {} processes", bench.host.totals().cold_starts);
    }
}
