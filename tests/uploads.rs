//! Files that go to a bucket in parts, against ministack: an interrupted upload goes on, unless the file is another one by now.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use std::sync::{Arc, Mutex};
use stepgrad_tests::cloud::{Project, steps};
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy};

/// Bytes of a part.
const PART: usize = 16 << 20;

/// A file of two parts and a little more.
fn data(first: u8, last: u8) -> Vec<u8> {
    [vec![first; PART], vec![b'x'; PART], vec![last; 1_000]].concat()
}

/// Whether a call is the third part of an upload.
fn third(call: &str) -> bool {
    call.contains("partNumber=3")
}

/// Whether a call is any part of an upload.
fn any(call: &str) -> bool {
    call.contains("partNumber=")
}

/// Whether a call is the end of an upload.
fn last(call: &str) -> bool {
    call.starts_with("POST ") && call.contains("uploadId=")
}

/// Deploys data until a call is denied, which leaves an upload that was begun and not ended.
fn interrupted(server: &Ministack, project: &Project, content: &[u8], denied: fn(&str) -> bool) {
    std::fs::write(project.folder.path().join("data.csv"), content).unwrap();
    let proxy = Proxy::start(&server.address, move |request| match denied(&request.call) {
        true => Fate::IsAnswered(403, "AccessDenied", "no".to_owned()),
        false => Fate::Passes,
    });
    let ended = project.run(&proxy.url, &["deploy"]).exits(5);
    assert!(ended.stdout.contains("allow s3:PutObject"), "{}", ended.stdout);
    assert_eq!(begun(server), 1);
}

/// Deploys data to the end, and gives the numbers of the parts that were sent.
fn deployed(server: &Ministack, project: &Project, content: &[u8]) -> Vec<u32> {
    std::fs::write(project.folder.path().join("data.csv"), content).unwrap();
    let parts: Arc<Mutex<Vec<u32>>> = Arc::default();
    let sent = Arc::clone(&parts);
    let proxy = Proxy::start(&server.address, move |request| {
        if let Some((_, query)) = request.call.split_once("partNumber=") {
            let number = query.split('&').next().unwrap_or_default();
            sent.lock().unwrap().push(number.parse().unwrap());
        }
        Fate::Passes
    });
    let _ = project.run(&proxy.url, &["deploy"]).exits(0);
    let _ = project.run(&proxy.url, &["plan", "--detailed-exitcode"]).exits(0);
    let mut parts = parts.lock().unwrap().clone();
    parts.sort_unstable();
    parts
}

/// What S3 answers to a question about the deployment's bucket.
fn asked(server: &Ministack, what: &str) -> String {
    let is_digest = |text: &str| text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let all = server.everything();
    let bucket = all.iter().find(|name| name.strip_prefix("stepgrad-small-").is_some_and(is_digest)).unwrap();
    server.ask("GET", &format!("/{bucket}{what}"), "s3", "", "")
}

fn is_there(server: &Ministack, content: &[u8]) -> bool {
    asked(server, "/data/data.csv").as_bytes() == content
}

/// Uploads that were begun and not ended.
fn begun(server: &Ministack) -> usize {
    asked(server, "?uploads").matches("<UploadId>").count()
}

#[test]
fn an_upload_goes_on_with_the_parts_that_are_there() {
    let Some(server) = Ministack::start("an_upload_goes_on_with_the_parts_that_are_there") else { return };
    let project = Project::new();
    let (one, other) = (data(b'a', b'a'), data(b'b', b'b'));
    interrupted(&server, &project, &one, third);
    // How many of the others arrived before the third was refused is a matter of time.
    let sent = deployed(&server, &project, &one);
    assert!(sent.contains(&3), "{sent:?}");
    assert!(is_there(&server, &one));
    assert_eq!(begun(&server), 0);

    interrupted(&server, &project, &other, last);
    assert_eq!(deployed(&server, &project, &other), [0_u32; 0], "no part is sent twice");
    assert!(is_there(&server, &other));
}

#[test]
fn an_upload_of_other_bytes_is_given_up() {
    let Some(server) = Ministack::start("an_upload_of_other_bytes_is_given_up") else { return };
    let project = Project::new();
    let (one, other) = (data(b'a', b'a'), data(b'a', b'b'));
    // All parts of the one are there; of the other only the last differs.
    interrupted(&server, &project, &one, last);
    assert_eq!(deployed(&server, &project, &other), [1, 2, 3]);
    assert!(is_there(&server, &other));
    assert_eq!(begun(&server), 0);

    // What is there is known by its bytes: the one is a change, and nothing says that it was there already.
    std::fs::write(project.folder.path().join("data.csv"), &one).unwrap();
    let url = format!("http://{}", server.address);
    let plan = project.run(&url, &["plan", "--detailed-exitcode"]).exits(7).json();
    let change = ("change".to_owned(), "object".to_owned(), "data/data.csv".to_owned());
    assert!(steps(&plan).contains(&change), "{plan}");
    // An upload of which nothing arrived belongs to nobody yet, and takes any bytes.
    interrupted(&server, &project, &one, any);
    let third = data(b'c', b'c');
    assert_eq!(deployed(&server, &project, &third), [1, 2, 3]);
    assert!(is_there(&server, &third));
    assert_eq!(begun(&server), 0);
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
}
