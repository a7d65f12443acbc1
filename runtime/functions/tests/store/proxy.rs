//! A way to the server on which things happen: what each request meets is decided by its first line and its number.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// It reaches the server.
    Passes,
    /// It is answered with this status and code in the server's place.
    IsAnswered(u16, &'static str),
    /// So many bytes of it are taken; then the connection is gone.
    BreaksOff(usize),
    /// It reaches the server, and so many bytes of its answer come back; then the connection is gone.
    CutsItsAnswer(u64),
    /// It reaches the server, and its answer is lost.
    LosesItsAnswer,
}

/// Says what becomes of a request by its first line, e.g. `PUT /bucket/key?x-id=PutObject HTTP/1.1`, and the number, from 0,
/// of requests that have come before it.
pub(crate) type Rule = fn(&str, u32) -> Fate;

/// A proxy in front of a server.
pub(crate) struct Proxy {
    pub(crate) address: String,
    requests: Arc<AtomicU32>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start(server: String, rule: Rule) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&requests);
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, counter, seen) = (server.clone(), Arc::clone(&counter), Arc::clone(&seen));
                // A connection that breaks is what is tried here.
                tokio::spawn(async move { drop(connection(client, &server, rule, &counter, &seen).await) });
            }
        });
        Self { address, requests, lines }
    }

    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }

    /// The first lines of all requests.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// One request: after it, the connection ends.
async fn connection(
    mut client: TcpStream,
    server: &str,
    rule: Rule,
    counter: &AtomicU32,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let end = loop {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    seen.lock().unwrap().push(line.clone());
    match rule(&line, counter.fetch_add(1, Ordering::SeqCst)) {
        Fate::IsAnswered(status, code) => {
            let body = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as told</Message></Error>"
            );
            let answer = format!(
                "HTTP/1.1 {status} -\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await?;
            // An unread request would reset the connection, and the answer with it.
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
        }
        Fate::BreaksOff(after) => {
            while head.len() < end + after {
                if client.read_buf(&mut head).await? == 0 {
                    break;
                }
            }
        }
        fate => {
            let mut upstream = TcpStream::connect(server).await?;
            head.splice(end..end, *b"\r\nconnection: close");
            upstream.write_all(&head).await?;
            if matches!(fate, Fate::LosesItsAnswer) {
                let (mut from, mut to) = upstream.split();
                let (mut sent, _) = client.split();
                let mut first = [0];
                tokio::select! {
                    _ = tokio::io::copy(&mut sent, &mut to) => {}
                    _ = from.read(&mut first) => {}
                }
                return Ok(());
            }
            if let Fate::CutsItsAnswer(after) = fate {
                tokio::io::copy(&mut upstream.take(after), &mut client).await?;
                return Ok(());
            }
            copy_bidirectional(&mut client, &mut upstream).await?;
        }
    }
    Ok(())
}
