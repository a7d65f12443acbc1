//! A project that is deployed: its spec, its data, the zip of its functions, and the verbs with the credentials of a
//! stand-in for AWS.

use crate::{Ended, binary, command, end, skip, small_spec, stepgrad};
use flate2::Crc;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A project in a folder of its own.
#[derive(Debug)]
pub struct Project {
    /// Where `train.yaml` and the packages are.
    pub folder: TempDir,
    package: &'static str,
    keys: bool,
}

/// The folder of what `functions package` makes.
const PACKAGES: &str = "packages";
/// The folder of private keys.
const KEYS: &str = "keys";
/// The processor that the functions are built for.
const PROCESSOR: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
/// A program that can be deployed but not called.
const SCRIPT: &[u8] = b"#!/bin/sh\n";
/// A zip for all functions.
const ZIP: &str = "functions.zip";

impl Project {
    /// With data in a file, and a package that can be deployed but not called.
    #[must_use]
    pub fn new() -> Self {
        let project = Self::of(&spec_of_a_file(), SCRIPT);
        project.write_data();
        project
    }

    /// With data in a file, and the packages that `functions package` makes of the functions as they are built: for Lambda, if they
    /// are such that it could run them, and otherwise, with `test` told as skipped in part, as one zip for this computer.
    #[must_use]
    pub fn packaged(test: &str) -> Self {
        let mut project = Self::trained(&spec_of_a_file());
        project.write_data();
        let arguments = ["functions", "package", "train.yaml", "--out", PACKAGES, "-o", "json"];
        let mut package = command(project.folder.path(), &arguments);
        let made = end(package.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        match made.code {
            Some(0) => project.package = PACKAGES,
            // Binaries of a newer system than Lambda's.
            _ if made.stdout.contains("provided.al2023") => skip(test, made.stdout.trim()),
            _ => panic!("{}{}", made.stdout, made.stderr),
        }
        project
    }

    fn write_data(&self) {
        let rows: String = (0..240).map(|row| format!("{},{},{}\n", row % 7, row % 5, row % 3)).collect();
        std::fs::write(self.folder.path().join("data.csv"), format!("a,b,label\n{rows}")).unwrap();
    }

    /// With this spec, and the functions as they are built.
    #[must_use]
    pub fn trained(spec: &str) -> Self {
        let spec = for_this_processor(spec);
        Self::of(&spec, &std::fs::read(binary("bootstrap")).unwrap())
    }

    /// With this spec, and this program as `bootstrap`.
    #[must_use]
    pub fn of(spec: &str, bootstrap: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.yaml"), spec).unwrap();
        std::fs::write(folder.path().join(ZIP), stored("bootstrap", bootstrap)).unwrap();
        Self { folder, package: ZIP, keys: false }
    }

    /// The same, in which so many peers sign, with private keys in a folder of the project.
    #[must_use]
    pub fn signed(mut self, peers: u32) -> Self {
        let peers = peers.to_string();
        let arguments = ["keys", "generate", "--peers", &peers, "--to", KEYS, "-o", "json"];
        let made = stepgrad(self.folder.path(), &arguments).exits(0).json();
        let spec = self.folder.path().join("train.yaml");
        let text = std::fs::read_to_string(&spec).unwrap();
        let signatures = format!("exchange:\n  signatures: {{public_keys: {}}}\n", made["public_keys"]);
        std::fs::write(&spec, text.replace("exchange:\n", &signatures)).unwrap();
        self.keys = true;
        self
    }

    /// The same without a word of where the private keys are.
    #[must_use]
    pub fn without_keys(mut self) -> Self {
        self.keys = false;
        self
    }

    /// What the private keys are, as text.
    #[must_use]
    pub fn private_keys(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path().join(KEYS)).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().trim().to_owned()).collect()
    }

    /// Runs a verb about this computer to its end.
    #[must_use]
    pub fn here(&self, arguments: &[&str]) -> Ended {
        let mut command = command(self.folder.path(), arguments);
        self.tell_keys(&mut command);
        end(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn tell_keys(&self, command: &mut Command) {
        if self.keys {
            command.env("STEPGRAD_KEYS", format!("file://{}", self.folder.path().join(KEYS).display()));
        } else {
            command.env_remove("STEPGRAD_KEYS");
        }
    }

    /// A verb about AWS at `url`.
    #[must_use]
    pub fn command(&self, url: &str, arguments: &[&str]) -> Command {
        self.command_for(url, arguments, &["-o", "json"])
    }

    fn command_for(&self, url: &str, arguments: &[&str], format: &[&str]) -> Command {
        let (verb, more) = arguments.split_first().unwrap();
        let mut all = vec![*verb];
        match *verb {
            "plan" => all.extend(["train.yaml", "--package", self.package]),
            // Roles are known at once there.
            "deploy" => {
                all.extend(["train.yaml", "--package", self.package, "--iam-propagation", "0"]);
            }
            // `--resume` takes no spec.
            "destroy" | "run" if !more.contains(&"--resume") => all.push("train.yaml"),
            _ => {}
        }
        all.extend(more);
        all.extend(format);
        all.extend(["--endpoint-url", url]);
        let mut command = command(self.folder.path(), &all);
        credentials(&mut command, self.folder.path());
        self.tell_keys(&mut command);
        command
    }

    /// Runs a verb about AWS at `url` to its end.
    #[must_use]
    pub fn run(&self, url: &str, arguments: &[&str]) -> Ended {
        end(self.command(url, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The same, as people see it.
    #[must_use]
    pub fn shown(&self, url: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command_for(url, arguments, &[]);
        end(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// A file of a run's record.
    #[must_use]
    pub fn record(&self, run: &Value, name: &str) -> Vec<u8> {
        let folder = self.folder.path().join("runs").join(run["run"].as_str().unwrap());
        std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{}: {name}: {error}", run["run"]))
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

/// A spec whose functions are for the processor that they are built for.
#[must_use]
pub fn for_this_processor(spec: &str) -> String {
    let with = spec.replace("functions:\n", &format!("functions:\n  architecture: {PROCESSOR}\n"));
    assert_ne!(with, spec, "a spec with a section `functions`");
    with
}

fn spec_of_a_file() -> String {
    small_spec("peer_to_peer", "gradient_averaging", "{batches: 2}", 3).replace(
        "  format: synthetic\n  synthetic: {samples: 240, shape: [12], classes: 3}\n",
        "  format: csv\n  source: data.csv\n",
    )
}

fn credentials(command: &mut Command, home: &Path) {
    for variable in
        ["AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"]
    {
        command.env_remove(variable);
    }
    command.env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
}

/// A zip of one file, stored (APPNOTE.TXT - .ZIP File Format Specification).
#[must_use]
pub fn stored(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(content);
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    let mut about = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    about.extend(crc.sum().to_le_bytes());
    about.extend(length);
    about.extend(length);
    about.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    about.extend([0, 0]);
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend(&about);
    zip.extend(name.as_bytes());
    zip.extend(content);
    let place = u32::try_from(zip.len()).unwrap();
    zip.extend(b"PK\x01\x02\x14\x03");
    zip.extend(&about);
    zip.extend([0, 0, 0, 0, 0, 0]);
    zip.extend((0o100_755_u32 << 16).to_le_bytes());
    zip.extend(0_u32.to_le_bytes());
    zip.extend(name.as_bytes());
    let size = u32::try_from(zip.len()).unwrap() - place;
    zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend(size.to_le_bytes());
    zip.extend(place.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

/// The names of all that a plan has but objects, in order.
#[must_use]
pub fn names(plan: &Value) -> Vec<String> {
    let resources = plan["steps"].as_array().unwrap().iter().filter(|step| step["kind"] != "object");
    let mut names: Vec<String> = resources.map(|step| step["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// What happens to what, without what stays.
#[must_use]
pub fn steps(document: &Value) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let steps = document["steps"].as_array().unwrap().iter();
    steps
        .map(|step| (text(&step["action"]), text(&step["kind"]), text(&step["name"])))
        .filter(|(action, ..)| action != "leave")
        .collect()
}
