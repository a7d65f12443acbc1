//! Files that go to a bucket in parts, against ministack: an interrupted upload goes on, unless the file is another one by now.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, Once};
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

/// The deployment's bucket.
fn bucket(server: &Ministack) -> String {
    let is_digest = |text: &str| text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let all = server.everything();
    let bucket = all.iter().find(|name| name.strip_prefix("stepgrad-small-").is_some_and(is_digest)).unwrap();
    bucket.clone()
}

/// What S3 answers to a question about the deployment's bucket.
fn asked(server: &Ministack, what: &str) -> String {
    server.ask("GET", &format!("/{}{what}", bucket(server)), "s3", "", "")
}

/// Whether the data are there, and tell of their own SHA-256, by which functions verify what they read.
fn is_there(server: &Ministack, content: &[u8]) -> bool {
    let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let head = server.head(&format!("/{}/data/data.csv", bucket(server)));
    let told = head.lines().find_map(|line| line.strip_prefix("x-amz-meta-stepgrad-sha256:"));
    assert_eq!(told.map(str::trim), Some(digest.as_str()), "{head}");
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
    // An upload of which nothing arrived is given up as well: it tells of other bytes.
    interrupted(&server, &project, &one, any);
    let third = data(b'c', b'c');
    assert_eq!(deployed(&server, &project, &third), [1, 2, 3]);
    assert!(is_there(&server, &third));
    assert_eq!(begun(&server), 0);
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
}

#[test]
fn what_is_uploaded_at_once_and_in_parts_tells_of_its_bytes() {
    let test = "what_is_uploaded_at_once_and_in_parts_tells_of_its_bytes";
    let Some(server) = Ministack::start(test) else { return };
    let project = Project::new();
    for content in [&data(b'a', b'a')[..PART], &data(b'a', b'a')] {
        let _ = deployed(&server, &project, content);
        assert!(is_there(&server, content));
    }
    // An upload that was begun for the one is gone on with for another that begins likewise, and tells of that one then.
    interrupted(&server, &project, &data(b'b', b'a'), third);
    let other = data(b'b', b'b');
    let sent = deployed(&server, &project, &other);
    assert!(sent.ends_with(&[3, 3]), "{sent:?}");
    assert!(is_there(&server, &other));
    assert_eq!(begun(&server), 0);
}

/// Deploys data; when the first of their parts is on its way, somebody else deploys theirs, to the end, which stay where they are
/// others.
fn overtaken(server: &Ministack, content: &[u8], theirs: &[u8]) {
    let (project, other) = (Project::new(), Project::new());
    std::fs::write(project.folder.path().join("data.csv"), content).unwrap();
    std::fs::write(other.folder.path().join("data.csv"), theirs).unwrap();
    let (first, url) = (Once::new(), format!("http://{}", server.address));
    let direct = url.clone();
    let proxy = Proxy::start(&server.address, move |request| {
        if any(&request.call) {
            // All others wait for it.
            first.call_once(|| drop(other.run(&direct, &["deploy"]).exits(0)));
        }
        Fate::Passes
    });
    if content == theirs {
        let _ = project.run(&proxy.url, &["deploy"]).exits(0);
    } else {
        let refused = project.run(&proxy.url, &["deploy"]).exits(5);
        let said = "the object data/data.csv cannot be used: it has changed since it was looked at, so another deployment is under way";
        assert!(refused.stdout.contains(said), "{}", refused.stdout);
        assert!(is_there(server, theirs));
        let _ = project.run(&url, &["deploy"]).exits(0);
    }
    assert!(is_there(server, content));
    assert_eq!(begun(server), 0);
    let _ = project.run(&url, &["plan", "--detailed-exitcode"]).exits(0);
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
}

#[test]
fn an_upload_that_somebody_else_ends_is_made_anew() {
    let Some(server) = Ministack::start("an_upload_that_somebody_else_ends_is_made_anew") else { return };
    // The other one gives up what holds nothing yet.
    overtaken(&server, &data(b'a', b'a'), &data(b'a', b'a'));
    overtaken(&server, &data(b'a', b'a'), &data(b'a', b'b'));
}

#[test]
fn an_upload_that_is_ended_again_and_again_says_so() {
    let Some(server) = Ministack::start("an_upload_that_is_ended_again_and_again_says_so") else { return };
    let project = Project::new();
    std::fs::write(project.folder.path().join("data.csv"), data(b'a', b'a')).unwrap();
    let begun: Arc<Mutex<u32>> = Arc::default();
    let count = Arc::clone(&begun);
    let proxy = Proxy::start(&server.address, move |request| {
        *count.lock().unwrap() +=
            u32::from(request.call.starts_with("POST ") && request.call.contains("?uploads"));
        match any(&request.call) {
            true => Fate::IsAnswered(404, "NoSuchUpload", "it is gone".to_owned()),
            false => Fate::Passes,
        }
    });
    let ended = project.run(&proxy.url, &["deploy"]).exits(5);
    let said = "the object data/data.csv cannot be used: 3 uploads were ended by somebody else: another deployment uploads to it at the same time";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    assert_eq!(*begun.lock().unwrap(), 3);
}
