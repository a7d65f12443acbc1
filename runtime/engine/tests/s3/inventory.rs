//! An S3 Inventory: a manifest, and files of comma-separated values.

use super::counting::{Counting, count};
use super::{cause, folder, items, page};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;
use stepgrad_asl::Payload;
use stepgrad_asl::program::Format;
use stepgrad_engine::integrations::s3::{Readers, S3Folder};

/// By their names.
type Objects<'a> = &'a [(&'a str, &'a [u8])];

fn packed(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

fn manifest(format: &str, files: &[&str]) -> Value {
    let files: Vec<Value> =
        files.iter().map(|key| json!({"key": key, "size": 1, "MD5checksum": "0"})).collect();
    json!({"sourceBucket": "source", "destinationBucket": "arn:aws:s3:::b", "version": "2016-11-30",
        "fileFormat": format, "fileSchema": "Bucket, Key, Size", "files": files})
}

async fn read(objects: Objects<'_>) -> Result<(Vec<Value>, usize), stepgrad_engine::core::TaskError> {
    let folder = folder(objects);
    let arguments = json!({"Bucket": "b", "Key": "manifest.json"});
    items(&S3Folder::new(folder.path()), &Format::Inventory, &arguments).await
}

#[tokio::test]
async fn files_follow_one_another_packed_or_not() {
    let manifest = manifest("CSV", &["data/1.csv.gz", "data/2.csv", "data/3.csv.gz"]).to_string();
    let one = packed("\"source\",\"a,b\",\"1\"\n\"source\",\"c\"\"d\",\"2\"\n");
    let three = packed("source,e\n");
    let (items, pages) = read(&[
        ("manifest.json", manifest.as_bytes()),
        ("data/1.csv.gz", &one),
        ("data/2.csv", b""),
        ("data/3.csv.gz", &three),
    ])
    .await
    .unwrap();
    let expected = [
        json!({"Bucket": "source", "Key": "a,b", "Size": "1"}),
        json!({"Bucket": "source", "Key": "c\"d", "Size": "2"}),
        json!({"Bucket": "source", "Key": "e", "Size": ""}),
    ];
    assert_eq!((items.as_slice(), pages), (expected.as_slice(), 3));
}

#[tokio::test]
async fn a_long_file_is_read_in_pages() {
    use std::fmt::Write as _;
    let manifest = manifest("CSV", &["1.csv.gz"]).to_string();
    let rows = 40_000;
    let text = (0..rows).fold(String::new(), |mut text, row| {
        writeln!(text, "source,key-{row},{row}").unwrap();
        text
    });
    let file = packed(&text);
    let folder = folder(&[("manifest.json", manifest.as_bytes()), ("1.csv.gz", &file)]);
    let store = Counting::new(folder.path());
    let arguments = json!({"Bucket": "b", "Key": "manifest.json"});
    let (items, pages) = items(&store, &Format::Inventory, &arguments).await.unwrap();
    assert_eq!((items.len(), pages), (rows, 3));
    assert!(
        items
            .iter()
            .enumerate()
            .all(|(row, item)| item["Size"].as_str().and_then(|size| size.parse().ok()) == Some(row))
    );
    // The manifest for each page, the file once.
    assert_eq!(count(&store.gets), 4);
    // Somebody who has not read the pages before gets the same ones.
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = page(&store, &Readers::default(), &Format::Inventory, &arguments, cursor).await.unwrap();
        found.extend(page.items.into_iter().map(Payload::into_value));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, items);
}

#[tokio::test]
async fn a_file_may_be_packed_in_pieces_and_its_rows_have_a_bound() {
    let manifest = manifest("CSV", &["1.csv.gz"]).to_string();
    let pieces = [packed("source,a,1\nsour"), packed("ce,b,2\n")].concat();
    let (items, _) = read(&[("manifest.json", manifest.as_bytes()), ("1.csv.gz", &pieces)]).await.unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[1], json!({"Bucket": "source", "Key": "b", "Size": "2"}));
    let bomb = packed(&"x".repeat(3_000_000));
    let cause = cause(read(&[("manifest.json", manifest.as_bytes()), ("1.csv.gz", &bomb)]).await);
    assert!(cause.contains("a row is too long"), "{cause}");
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let good = manifest("CSV", &["1.csv"]).to_string();
    let orc = manifest("ORC", &["1.orc"]).to_string();
    let torn = &packed("source,a,1\nsource,b,2\n")[..20];
    let cases: [(Objects<'_>, &str); 5] = [
        (&[], "manifest.json"),
        (&[("manifest.json", b"{\"files\": []}")], "not the manifest of an inventory"),
        (&[("manifest.json", orc.as_bytes())], "an inventory of ORC files is not built"),
        (&[("manifest.json", good.as_bytes())], "1.csv"),
        (&[("manifest.json", good.as_bytes()), ("1.csv", torn)], "1.csv"),
    ];
    for (objects, expected) in cases {
        let cause = cause(read(objects).await);
        assert!(cause.contains(expected), "{cause}");
    }
    let empty = manifest("CSV", &[]).to_string();
    assert_eq!(read(&[("manifest.json", empty.as_bytes())]).await, Ok((Vec::new(), 1)));
}

#[tokio::test]
async fn a_manifest_that_is_changed_meanwhile_is_not_gone_on_with() {
    let folder = folder(&[
        ("manifest.json", manifest("CSV", &["1.csv", "2.csv"]).to_string().as_bytes()),
        ("1.csv", b"source,a,1\n"),
        ("2.csv", b"source,b,2\n"),
    ]);
    let store = S3Folder::new(folder.path());
    let arguments = json!({"Bucket": "b", "Key": "manifest.json"});
    let first = page(&store, &Readers::default(), &Format::Inventory, &arguments, None).await.unwrap();
    let other = manifest("CSV", &["1.csv", "3.csv"]).to_string();
    std::fs::write(folder.path().join("b/manifest.json"), other).unwrap();
    let error =
        page(&store, &Readers::default(), &Format::Inventory, &arguments, first.next).await.unwrap_err();
    assert!(error.cause.unwrap().contains("was changed while it was read"));
}
