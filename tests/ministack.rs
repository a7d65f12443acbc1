//! A stand-in for AWS that nobody here wrote: ministack, in a process of its own on a free port, with nothing in it. It
//! runs the zips of functions for real. `start_ministack.py` says what of it is put right on the way.

use crate::{DEADLINE, root, skip, wait_for};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server, which ends with the test.
#[derive(Debug)]
pub struct Ministack {
    process: Child,
    scratch: TempDir,
    /// Where it listens, e.g. `127.0.0.1:4566`.
    pub address: String,
}

impl Ministack {
    /// A new server; `None`, with the test told as skipped, where there is none to be had.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        let python = root().join("target/servers/ministack/bin/python");
        if !python.is_file() {
            skip(test, "ministack is not there: `make setup` installs it");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        let log = File::create(scratch.path().join("ministack.log")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(python);
        command.arg(root().join("tests/start_ministack.py")).current_dir(scratch.path());
        for variable in ["TMPDIR", "HOME"] {
            command.env(variable, scratch.path());
        }
        // No Docker: functions run as processes of this computer.
        command.env("DOCKER_HOST", "unix:///nowhere").env("GATEWAY_PORT", port.to_string());
        command.env("BIND_HOST", "127.0.0.1").env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        let mut server =
            Self { process: command.spawn().unwrap(), scratch, address: format!("127.0.0.1:{port}") };
        wait_for("ministack", || {
            let ended = server.process.try_wait().unwrap();
            assert!(ended.is_none(), "ministack ended ({ended:?}): {}", server.log());
            TcpStream::connect(&server.address).ok()
        });
        Some(server)
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("ministack.log")).unwrap_or_default()
    }

    /// A call with a body; gives the body of the answer.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, service: &str, target: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let kind = if target.is_empty() {
            "application/x-www-form-urlencoded"
        } else {
            "application/x-amz-json-1.1"
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nx-amz-target: {target}\r\nx-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// A call of a service that speaks JSON.
    #[must_use]
    pub fn json(&self, service: &str, target: &str, body: &str) -> Value {
        let answer = self.ask("POST", "/", service, target, body);
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{target}: {error}: {answer}"))
    }

    /// Everything that is there and begins with `stepgrad`, by every list that there is.
    #[must_use]
    pub fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut take = |list: &Value, name: &str| {
            all.extend(list.as_array().unwrap().iter().map(|entry| entry[name].as_str().unwrap().to_owned()));
        };
        let machines = self.json("states", "AWSStepFunctions.ListStateMachines", "{}");
        take(&machines["stateMachines"], "name");
        let groups = self.json("logs", "Logs_20140328.DescribeLogGroups", "{}");
        take(&groups["logGroups"], "logGroupName");
        let functions = self.ask("GET", "/2015-03-31/functions/", "lambda", "", "");
        take(&serde_json::from_str::<Value>(&functions).unwrap()["Functions"], "FunctionName");
        let parameters = self.json("ssm", "AmazonSSM.DescribeParameters", "{}");
        take(&parameters["Parameters"], "Name");
        let roles = self.ask("POST", "/", "iam", "", "Action=ListRoles&Version=2010-05-08");
        all.extend(between(&roles, "<RoleName>", "</RoleName>"));
        let buckets = self.ask("GET", "/", "s3", "", "");
        all.extend(between(&buckets, "<Name>", "</Name>"));
        all.retain(|name| name.contains("stepgrad"));
        all.sort();
        all
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        // With the functions that it has started.
        let _ = killpg(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

fn between(text: &str, from: &str, to: &str) -> Vec<String> {
    let parts = text.split(from).skip(1);
    parts.filter_map(|part| part.split_once(to).map(|(name, _)| name.to_owned())).collect()
}
