//! What functions see and what callers get.

use bytes::Bytes;
use serde_json::json;
use stepgrad_engine::host::{FunctionConfig, HostError, Outcome};
use stepgrad_engine::integrations::lambda::Invoke;

use crate::bench::{Bench, failure, function, value};

#[tokio::test]
async fn an_environment_is_reused_and_the_books_are_kept() {
    let bench = Bench::new(vec![function("echo")], |_| ());
    for name in ["echo", "arn:aws:lambda:eu-west-1:123456789012:function:echo:live"] {
        let reply = bench.call(name, json!({"a": 1})).await;
        assert_eq!(value(&reply), json!({"a": 1}));
        assert_eq!(reply.function_error, None);
        assert_eq!(reply.executed_version, "$LATEST");
        assert_eq!(reply.request_id, bench.record().request_id);
    }
    let records = bench.records.lock().unwrap().clone();
    let [cold, warm] = records.as_slice() else { panic!("{records:?}") };
    assert!(cold.cold && !warm.cold);
    assert_eq!((cold.pid, cold.outcome), (warm.pid, Outcome::Succeeded));
    let init_ms = cold.init_ms.unwrap();
    assert_eq!(cold.billed_ms, (cold.duration_ms + init_ms).ceil() as u64);
    assert_eq!((warm.init_ms, warm.billed_ms), (None, warm.duration_ms.ceil() as u64));
    assert_eq!((warm.request_bytes, warm.response_bytes), (7, 7));
    assert!((2..128).contains(&warm.max_memory_mb), "{warm:?}");

    let totals = bench.host.totals();
    assert_eq!((totals.invocations, totals.cold_starts, totals.errors), (2, 1, 0));
    assert_eq!(totals.billed_ms, cold.billed_ms + warm.billed_ms);

    let log = bench.log("echo");
    let id = &warm.request_id;
    assert!(
        log.contains(&format!("START RequestId: {id} Version: $LATEST\nEND RequestId: {id}\nREPORT")),
        "{log}"
    );
    assert_eq!(log.matches("Init Duration").count(), 1, "{log}");
    assert!(log.contains("\tMemory Size: 128 MB\tMax Memory Used: "), "{log}");
}

#[tokio::test]
async fn a_function_sees_what_it_would_see_on_aws() {
    let mut config = FunctionConfig { memory_mb: 256, ..function("environment") };
    config.environment.insert("MINE".to_owned(), "ä b".to_owned());
    let bench = Bench::new(vec![config], |host| host.region = "eu-north-1".to_owned());
    let seen = value(&bench.call("environment", json!({})).await);
    let variables = seen["variables"].as_object().unwrap();
    for (name, text) in [
        ("_HANDLER", "environment"),
        ("AWS_LAMBDA_FUNCTION_NAME", "environment"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/environment"),
        ("AWS_REGION", "eu-north-1"),
        ("AWS_DEFAULT_REGION", "eu-north-1"),
        ("MINE", "ä b"),
    ] {
        assert_eq!(variables[name], text, "{name}");
    }
    assert!(!variables.contains_key("HOME") && !variables.contains_key("CARGO"), "{variables:?}");
    let root = bench.folder.path().to_str().unwrap();
    assert_eq!((variables["LAMBDA_TASK_ROOT"].as_str(), seen["folder"].as_str()), (Some(root), Some(root)));

    let context = &seen["context"];
    assert_eq!(context["lambda-runtime-aws-request-id"], bench.record().request_id);
    let arn = "arn:aws:lambda:eu-north-1:000000000000:function:environment";
    assert_eq!(context["lambda-runtime-invoked-function-arn"], arn);
    assert!(context["lambda-runtime-trace-id"].as_str().unwrap().starts_with("Root=1-"));
    let deadline: u128 = context["lambda-runtime-deadline-ms"].as_str().unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!((1..=60_000).contains(&(deadline - now)), "{deadline} {now}");
}

#[tokio::test]
async fn an_error_of_the_function_is_its_reply() {
    let bench = Bench::new(vec![function("fail")], |_| ());
    let reply = bench.call("fail", json!({"message": "no such peer"})).await;
    assert_eq!(failure(&reply, "Test.Failure"), "no such peer");
    let first = bench.record();
    assert_eq!(first.outcome, Outcome::FunctionError);
    bench.call("fail", json!({"message": "again"})).await;
    assert_eq!(bench.record().pid, first.pid, "the environment is still good");
    assert_eq!(bench.host.totals().errors, 2);
}

#[tokio::test]
async fn output_goes_to_the_log_in_order_and_between_start_and_end() {
    let bench = Bench::new(vec![function("speak")], |_| ());
    bench.call("speak", json!({"long": 300_000})).await;
    let log = bench.log("speak");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].starts_with("START"), "{}", lines[0]);
    assert_eq!(lines[1..3], ["to stdout", "to stderr"]);
    assert!(lines[3].ends_with("x [cut]") && lines[3].len() < 270_000);
    assert!(lines[4].starts_with("END") && lines[5].starts_with("REPORT"));
}

#[tokio::test]
async fn sizes_are_limited_as_on_aws() {
    let roomy = |handler| FunctionConfig { memory_mb: 512, ..function(handler) };
    let bench = Bench::new(vec![roomy("big"), roomy("echo")], |_| ());
    let limit = 6 * 1024 * 1024;
    let reply = bench.call("big", json!({"bytes": limit + 100})).await;
    assert_eq!((reply.payload.len(), reply.function_error), (limit + 100, None));
    let reply = bench.call("big", json!({"bytes": limit + 101})).await;
    let message = failure(&reply, "Function.ResponseSizeTooLarge");
    assert_eq!(message, "Response payload size exceeded maximum allowed payload size (6291556 bytes).");
    assert_eq!(bench.record().outcome, Outcome::ResponseTooLarge);
    assert!(!bench.record().cold);
    bench.call("big", json!({"bytes": 10})).await;
    assert!(!bench.record().cold, "the environment is still good");

    let event = |size: usize| Bytes::from(format!("\"{}\"", "x".repeat(size - 2)));
    assert_eq!(bench.host.call("echo", event(limit)).await.unwrap().payload.len(), limit);
    let refused = Invoke::invoke(&bench.host, "echo", event(limit + 1)).await.unwrap_err();
    assert_eq!(refused.error, "Lambda.RequestTooLargeException");
    let text =
        "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)";
    assert!(refused.cause.starts_with(text), "{}", refused.cause);
}

#[tokio::test]
async fn an_unknown_function_is_not_found() {
    let bench = Bench::new(vec![function("echo")], |_| ());
    for name in ["ecko", "arn:aws:lambda:us-east-1:000000000000:function:ecko", "a b"] {
        let refused = bench.try_call(name, json!({})).await.unwrap_err();
        assert!(matches!(refused, HostError::NotFound { .. }), "{refused:?}");
    }
    let refused = Invoke::invoke(&bench.host, "ecko", Bytes::from_static(b"{}")).await.unwrap_err();
    assert_eq!(refused.error, "Lambda.ResourceNotFoundException");
    let text = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:ecko (Service: Lambda, Status Code: 404";
    assert!(refused.cause.starts_with(text), "{}", refused.cause);
}
