//! The binary `bootstrap` under the engine's function host: separate processes, the real Runtime API.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use stepgrad_engine::host::{Discard, FunctionConfig, Host, HostConfig, InvocationRecord};

fn host(folder: &tempfile::TempDir, handlers: &[&str]) -> Host {
    host_with(folder, handlers, &[])
}

fn host_with(folder: &tempfile::TempDir, handlers: &[&str], variables: &[(&str, &str)]) -> Host {
    let function = |handler: &&str| {
        let mut config = FunctionConfig { memory_mb: 1024, timeout_s: 60, ..FunctionConfig::new(*handler) };
        let root = folder.path().to_str().unwrap();
        config.environment.insert("STEPGRAD_STORE".to_owned(), format!("file://{root}"));
        config.environment.insert("STEPGRAD_DATA".to_owned(), root.to_owned());
        config.environment.extend(variables.iter().map(|(key, value)| ((*key).into(), (*value).into())));
        config
    };
    let config = HostConfig {
        init_timeout: std::time::Duration::from_secs(60),
        ..HostConfig::new(env!("CARGO_BIN_EXE_bootstrap"))
    };
    let functions = handlers.iter().map(function).collect();
    Host::new(config, functions, Arc::new(Discard), Arc::new(|_: &InvocationRecord| ())).unwrap()
}

async fn call(host: &Host, function: &str, event: Value) -> Value {
    let reply = host.call(function, Bytes::from(event.to_string())).await.unwrap();
    assert_eq!(reply.function_error.as_deref(), Some("Unhandled"));
    serde_json::from_slice(&reply.payload).unwrap()
}

#[tokio::test]
async fn an_event_of_another_kind_is_an_error_and_the_process_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder, &["gradient"]);
    for _ in 0..3 {
        let error = call(&host, "gradient", json!({"nonsense": true})).await;
        assert_eq!(error["errorType"], "Stepgrad.InvalidEvent", "{error}");
        assert!(
            error["errorMessage"].as_str().unwrap().contains("the event is not one of gradient"),
            "{error}"
        );
    }
    assert_eq!(host.totals().cold_starts, 1);
    host.shutdown().await;
}

#[tokio::test]
async fn an_unknown_handler_does_not_start_and_names_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder, &["gradients"]);
    let error = call(&host, "gradients", json!({})).await;
    assert_eq!(error["errorType"], "Stepgrad.InvalidEvent", "{error}");
    let message = error["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("there is no handler `gradients`") && message.contains("synchronise"),
        "{message}"
    );
    host.shutdown().await;
}

/// As extensions do that stand between a function and the Runtime API.
#[tokio::test]
async fn a_wrapper_starts_the_program_once_and_one_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("wrapper");
    let started = folder.path().join("started");
    let text = format!("#!/bin/sh\necho \"$1\" >> {}\nexec \"$@\"\n", started.display());
    #[expect(clippy::disallowed_methods, reason = "writes a program")]
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let wrapped = host_with(&folder, &["gradient"], &[("AWS_LAMBDA_EXEC_WRAPPER", script.to_str().unwrap())]);
    for _ in 0..2 {
        let error = call(&wrapped, "gradient", json!({"nonsense": true})).await;
        assert_eq!(error["errorType"], "Stepgrad.InvalidEvent", "{error}");
    }
    wrapped.shutdown().await;
    #[expect(clippy::disallowed_methods, reason = "reads what the wrapper wrote")]
    let programs = std::fs::read_to_string(&started).unwrap();
    assert_eq!(programs.lines().collect::<Vec<_>>(), [env!("CARGO_BIN_EXE_bootstrap")]);

    let nowhere = host_with(&folder, &["gradient"], &[("AWS_LAMBDA_EXEC_WRAPPER", "/nowhere/wrapper")]);
    let error = call(&nowhere, "gradient", json!({})).await;
    assert_eq!(error["errorType"], "Runtime.ExitError", "{error}");
    nowhere.shutdown().await;
}

/// What is left of a host that was killed: connections that end.
#[test]
fn it_ends_when_the_runtime_api_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a host that dies")]
    let (listener, mut command) = (
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        std::process::Command::new(env!("CARGO_BIN_EXE_bootstrap")),
    );
    let mut child = command
        .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr().unwrap().to_string())
        .envs([("_HANDLER", "gradient"), ("AWS_LAMBDA_FUNCTION_NAME", "gradient")])
        .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"), ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")])
        .envs([("STEPGRAD_STORE", format!("file://{root}").as_str()), ("STEPGRAD_DATA", root)])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    let mut begin = [0; 4];
    std::io::Read::read_exact(&mut connection, &mut begin).unwrap();
    assert_eq!(&begin, b"GET ");
    drop((connection, listener));

    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(said.contains("the Runtime API is gone"), "{said}");
}
