//! What a network and a server under load do, and what the store makes of it.

use crate::proxy::{Fate, Proxy, Rule};
use crate::server::{BUCKET, Server, store, variables};
use bytes::Bytes;
use stepgrad_contract::{ErrorKind, FunctionError};
use stepgrad_runtime::store::Store;

async fn through(test: &str, rule: Rule) -> Option<(Server, Proxy, Store)> {
    let server = Server::start(test).await?;
    let proxy = Proxy::start(server.address.clone(), rule).await;
    let store = store(&variables(&proxy.address));
    Some((server, proxy, store))
}

async fn put(store: &Store, key: &str, bytes: Vec<u8>) -> Result<(), FunctionError> {
    store.put_new(key, Bytes::from(bytes).into(), |_| true).await
}

#[tokio::test]
async fn a_server_that_asks_to_slow_down_is_asked_again() {
    let rule: Rule = |_, number| match number % 3 {
        2 => Fate::Passes,
        _ => Fate::IsAnswered(503, "SlowDown"),
    };
    let test = "a_server_that_asks_to_slow_down_is_asked_again";
    let Some((server, proxy, slowed)) = through(test, rule).await else { return };
    put(&slowed, "r/x", vec![7; 100]).await.unwrap();
    assert_eq!(slowed.get("r/x").await.unwrap(), vec![7; 100]);
    assert_eq!(proxy.requests(), 6);
    assert_eq!(server.store().list("r").await.unwrap(), ["r/x"]);
}

#[tokio::test]
async fn a_server_that_never_answers_well_is_given_up() {
    let rule: Rule = |_, _| Fate::IsAnswered(503, "SlowDown");
    let proxy = Proxy::start(String::new(), rule).await;
    let error = put(&store(&variables(&proxy.address)), "r/x", vec![7]).await.unwrap_err();
    assert_eq!((error.kind, proxy.requests()), (ErrorKind::ObjectUnavailable, 6), "{error}");
    assert!(error.message.contains("slow down: lower functions.max_concurrency"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = store(&variables(&address)).get("r/x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ObjectUnavailable, "{error}");
    assert!(error.message.contains("cannot read object some/runs/r/x of bucket"), "{error}");
}

/// The permission is named, and nothing is tried twice.
#[tokio::test]
async fn a_missing_permission_is_named() {
    let rule: Rule = |_, _| Fate::IsAnswered(403, "AccessDenied");
    let proxy = Proxy::start(String::new(), rule).await;
    let store = store(&variables(&proxy.address));
    for (number, (error, permission)) in [
        (store.get("r/x").await.unwrap_err(), "s3:GetObject on arn:aws:s3:::runs-of-a-test/some/runs/r/x"),
        (
            put(&store, "r/x", vec![1]).await.unwrap_err(),
            "s3:PutObject on arn:aws:s3:::runs-of-a-test/some/runs/r/x",
        ),
        (
            put(&store, "r/y", vec![1; 17 << 20]).await.unwrap_err(),
            "s3:PutObject on arn:aws:s3:::runs-of-a-test/some/runs/r/y",
        ),
        (store.list("r").await.unwrap_err(), "s3:ListBucket on arn:aws:s3:::runs-of-a-test"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(error.kind, ErrorKind::AccessDenied, "{number}: {error}");
        assert!(error.message.contains(permission), "{number}: {error}");
    }
    assert_eq!(proxy.requests(), 4);
}

/// The connection is gone in the middle of an object, of a part, and of a read.
#[tokio::test]
async fn a_torn_transfer_is_made_again() {
    let rule: Rule = |line, number| match number {
        0 | 1 if line.starts_with("PUT") => Fate::BreaksOff(3_000),
        _ if line.contains("partNumber=2") && number < 6 => Fate::BreaksOff(100_000),
        _ => Fate::Passes,
    };
    let Some((server, _proxy, torn)) = through("a_torn_transfer_is_made_again", rule).await else { return };
    put(&torn, "r/small", vec![7; 1 << 20]).await.unwrap();
    put(&torn, "r/large", vec![9; 40 << 20]).await.unwrap();
    let store = server.store();
    assert!(store.get("r/small").await.unwrap() == vec![7; 1 << 20]);
    assert!(store.get("r/large").await.unwrap() == vec![9; 40 << 20]);
}

/// The object is there, and its writer has not heard of it.
#[tokio::test]
async fn a_lost_answer_is_no_loss() {
    let rule: Rule = |line, number| match (number, line.contains("uploadId") && line.starts_with("POST")) {
        (0, _) => Fate::LosesItsAnswer,
        (number, true) if number < 8 => Fate::LosesItsAnswer,
        _ => Fate::Passes,
    };
    let Some((server, proxy, store)) = through("a_lost_answer_is_no_loss", rule).await else { return };
    put(&store, "r/small", vec![7; 1_000]).await.unwrap();
    put(&store, "r/large", vec![9; 40 << 20]).await.unwrap();
    assert!(proxy.requests() >= 9, "each was sent again: {}", proxy.requests());
    assert!(server.store().get("r/large").await.unwrap() == vec![9; 40 << 20]);
    let left = server.client().list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert!(left.uploads().is_empty());
}
