//! Data sources in a folder and in buckets: the same batches from each, and what is not there or not whole is named.

use crate::driver::{digits, training};
use crate::proxy::{Fate, Proxy, Rule};
use crate::server::{BUCKET, Server, variables};
use aws_sdk_s3::primitives::ByteStream;
use std::path::{Path, PathBuf};
use stepgrad_contract::digest::sha256;
use stepgrad_contract::manifest::Manifest;
use stepgrad_contract::tensors::TensorFile;
use stepgrad_contract::training::{Data, Format, Training, Validation};
use stepgrad_contract::{ErrorKind, FunctionError, keys};
use stepgrad_runtime::data::{Place, Root, Sources, prepare};

/// Where sources are put.
pub(crate) enum Shelf<'a> {
    Folder(PathBuf),
    Bucket(&'a Server),
}

impl Shelf<'_> {
    /// Puts a file, with the digest of what it should be.
    async fn put(&self, path: &str, bytes: &[u8], digest: Option<String>) {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            Self::Bucket(server) => {
                let put = server.client().put_object().bucket(BUCKET).key(format!("some/data/{path}"));
                let put = put.body(ByteStream::from(bytes.to_vec()));
                let put = put.set_metadata(digest.map(|digest| [(keys::SHA256.to_owned(), digest)].into()));
                put.send().await.unwrap();
            }
        }
    }

    fn root(&self) -> Root {
        match self {
            Self::Folder(folder) => Root::open(&format!("file://{}", folder.display()), |_| None).unwrap(),
            Self::Bucket(server) => behind(&server.address),
        }
    }
}

fn behind(address: &str) -> Root {
    let variables = variables(address);
    Root::open(&format!("s3://{BUCKET}/some/data"), |name| variables.get(name).cloned()).unwrap()
}

type Batches = (Manifest, Vec<(Place, TensorFile)>);

fn batches(data: &Data, sources: &Sources) -> Result<Batches, FunctionError> {
    let prepared = prepare(&Training { data: data.clone(), ..training() }, sources)?;
    let batches = prepared.batches(0).map(|(place, file)| Ok((place, file?))).collect::<Result<_, _>>()?;
    Ok((prepared.manifest.clone(), batches))
}

async fn read(data: &Data, root: &Root) -> Result<Batches, FunctionError> {
    batches(data, &root.sources(data).await?)
}

fn csv() -> Data {
    Data {
        source: "a/train set.csv".to_owned(),
        format: Format::Csv,
        validation: Some(Validation::Source("b/test.csv".to_owned())),
        preprocess: Vec::new(),
        ..digits()
    }
}

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data");

/// Puts the digits that lie beside the examples.
pub(crate) async fn put_digits(shelf: &Shelf<'_>) {
    for entry in std::fs::read_dir(Path::new(EXAMPLES).join("digits")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        shelf.put(&format!("digits/{name}"), &bytes, Some(sha256(&bytes))).await;
    }
}

async fn gives_the_data(shelf: &Shelf<'_>) {
    put_digits(shelf).await;
    // What is deeper is no source's, and neither is what only begins alike.
    shelf.put("digits/older/train-images-idx3-ubyte", b"old", None).await;
    shelf.put("digits-2/train-images-idx3-ubyte", b"other", None).await;
    let root = shelf.root();
    let expected = batches(&digits(), &Sources::at(EXAMPLES.into())).unwrap();
    assert!(expected.1.len() > 10);
    assert!(read(&digits(), &root).await.unwrap() == expected, "a folder");

    let table =
        |rows: u32| (0..rows).fold("x,label\n".to_owned(), |text, row| format!("{text}{row},{}\n", row % 2));
    shelf.put("a/train set.csv", table(20).as_bytes(), None).await;
    let missing = read(&csv(), &root).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::InvalidData, "{missing}");
    assert!(missing.message.contains("b/test.csv: there is no such "), "{missing}");
    shelf.put("b/test.csv", table(6).as_bytes(), None).await;
    let (manifest, _) = read(&csv(), &root).await.unwrap();
    assert_eq!(manifest.shards.iter().map(|shard| shard.samples).sum::<u64>(), 20);
    assert_eq!(manifest.validation.samples, 6);
    // Nothing is read for what is made up.
    assert!(read(&training().data, &root).await.is_ok());
}

#[tokio::test]
async fn a_folder_gives_the_data() {
    let folder = tempfile::tempdir().unwrap();
    gives_the_data(&Shelf::Folder(folder.path().to_owned())).await;
}

#[tokio::test]
async fn a_bucket_gives_the_data() {
    let Some(server) = Server::start("a_bucket_gives_the_data").await else { return };
    gives_the_data(&Shelf::Bucket(&server)).await;
}

#[tokio::test]
async fn another_bucket_gives_the_data() {
    let Some(server) = Server::start_ministack("another_bucket_gives_the_data").await else { return };
    gives_the_data(&Shelf::Bucket(&server)).await;
}

#[tokio::test]
async fn data_that_is_not_what_was_uploaded_is_refused() {
    let test = "data_that_is_not_what_was_uploaded_is_refused";
    let Some(server) = Server::start(test).await else { return };
    let shelf = Shelf::Bucket(&server);
    let data = Data { validation: None, ..csv() };
    let told = sha256(b"x,label\n1,0\n2,1\n");
    shelf.put("a/train set.csv", b"x,label\n1,0\n3,1\n", Some(told.clone())).await;
    let damaged = read(&data, &shelf.root()).await.unwrap_err();
    assert_eq!(damaged.kind, ErrorKind::ChecksumMismatch, "{damaged}");
    assert!(
        damaged.message.contains("some/data/a/train set.csv") && damaged.message.contains(&told),
        "{damaged}"
    );
    for (source, why) in
        [("../secret.csv", "leads out of"), ("/etc/passwd", "leads out of"), ("s3://b/x", "leads out of")]
    {
        let refused =
            read(&Data { source: source.to_owned(), ..data.clone() }, &shelf.root()).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidData, "{refused}");
        assert!(refused.message.contains(why) && refused.message.contains(source), "{refused}");
    }
}

/// A file of many packets, whose answer breaks off: it is gone on with, and the bytes are the same.
#[tokio::test]
async fn data_that_stop_coming_are_gone_on_with() {
    let Some(server) = Server::start("data_that_stop_coming_are_gone_on_with").await else { return };
    let data = Data { validation: None, ..csv() };
    let text = (0..30_000_u32)
        .fold("x,label\n".to_owned(), |text, row| text + &format!("{row}.{:0>90},{}\n", row, row % 2));
    Shelf::Bucket(&server).put("a/train set.csv", text.as_bytes(), Some(sha256(text.as_bytes()))).await;
    let whole = read(&data, &behind(&server.address)).await.unwrap();
    let twice: Rule =
        |line, number| match line.starts_with("GET") && line.contains("train%20set") && number < 3 {
            true => Fate::CutsItsAnswer(1_000_000),
            false => Fate::Passes,
        };
    let proxy = Proxy::start(server.address.clone(), twice).await;
    assert!(read(&data, &behind(&proxy.address)).await.unwrap() == whole);
    // A list, two that broke off, and the rest.
    assert_eq!(proxy.requests(), 4);

    let always: Rule = |line, _| match line.contains("train%20set") && !line.contains("list-type") {
        true => Fate::CutsItsAnswer(10_000),
        false => Fate::Passes,
    };
    let proxy = Proxy::start(server.address.clone(), always).await;
    let error = read(&data, &behind(&proxy.address)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ObjectUnavailable, "{error}");
    assert!(error.message.contains("3 reads of it broke off"), "{error}");
}

#[tokio::test]
async fn a_permission_that_data_need_is_named() {
    let rule: Rule = |_, _| Fate::IsAnswered(403, "AccessDenied");
    let proxy = Proxy::start(String::new(), rule).await;
    let error = read(&digits(), &behind(&proxy.address)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AccessDenied, "{error}");
    assert!(error.message.contains("s3:ListBucket on arn:aws:s3:::runs-of-a-test"), "{error}");
}
