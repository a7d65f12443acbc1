//! Readers that find items within objects: an array that a pointer leads to, and the objects of a listing.

use super::counting::{Counting, count};
use super::{cause, folder, items, page};
use serde_json::{Value, json};
use stepgrad_asl::program::{Csv, Format};
use stepgrad_engine::core::TaskError;
use stepgrad_engine::integrations::s3::{Readers, S3Folder};

fn pointer(text: &str) -> Format {
    Format::Json(text.split('/').skip(1).map(str::to_owned).collect())
}

async fn pointed(body: &str, at: &str) -> Result<(Vec<Value>, usize), TaskError> {
    let folder = folder(&[("k", body.as_bytes())]);
    items(&S3Folder::new(folder.path()), &pointer(at), &json!({"Bucket": "b", "Key": "k"})).await
}

#[tokio::test]
async fn an_array_within_an_object() {
    let body =
        json!({"skipped": ["}", {"items": 1}], "a": [{"items": [1, {"x": 2}, "three"]}], "after": [4]});
    let (found, _) = pointed(&body.to_string(), "/a/0/items").await.unwrap();
    assert_eq!(found, [json!(1), json!({"x": 2}), json!("three")]);
    assert_eq!(pointed("[7]", "").await.unwrap().0, [json!(7)]);
    assert_eq!(pointed("{\"a\": []}", "/a").await.unwrap().0, Vec::<Value>::new());
    for (body, at, expected) in [
        ("{\"a\": 1}", "/b", "leads nowhere"),
        ("{\"a\": {\"b\": 1}}", "/a", "non-iterable"),
        ("{\"a\": [1", "/a", "does not end"),
        ("{\"b\": 1", "/a", "does not end"),
    ] {
        let cause = cause(pointed(body, at).await);
        assert!(cause.contains(expected), "{body}: {cause}");
    }
}

#[tokio::test]
async fn an_array_that_begins_beyond_the_first_part() {
    let long = "x".repeat(3 * 1_024 * 1_024);
    let numbers: Vec<usize> = (0..10_000).collect();
    let body = json!({"long": long, "deep": {"items": numbers}, "more": long});
    let (found, pages) = pointed(&body.to_string(), "/deep/items").await.unwrap();
    assert_eq!(found.len(), 10_000);
    assert!(found.iter().enumerate().all(|(place, item)| *item == place));
    assert!(pages > 1);
}

async fn flattened(objects: &[(&str, &[u8])], format: Format) -> Result<(Vec<Value>, usize), TaskError> {
    let folder = folder(objects);
    let format = Format::Flattened(Box::new(format));
    items(&S3Folder::new(folder.path()), &format, &json!({"Bucket": "b", "Prefix": "in/"})).await
}

#[tokio::test]
async fn the_objects_of_a_listing_one_after_the_other() {
    let objects: [(&str, &[u8]); 5] = [
        ("in/1.json", b"[1, 2]"),
        ("in/2/x.json", b"[]"),
        ("in/3.json", b"[{\"a\": 3}]"),
        ("other/4.json", b"[4]"),
        ("in/5.json", b"[5]"),
    ];
    let (found, _) = flattened(&objects, pointer("")).await.unwrap();
    assert_eq!(found, [json!(1), json!(2), json!({"a": 3}), json!(5)]);
    let rows: [(&str, &[u8]); 2] = [("in/a", b"x,y\n1,2\n"), ("in/b", b"y,x\n3,4\n5,6\n")];
    let csv = Format::Csv(Csv { delimiter: b',', headers: None });
    let (found, _) = flattened(&rows, csv).await.unwrap();
    // Each object has its own first row.
    let expected = [json!({"x": "1", "y": "2"}), json!({"y": "3", "x": "4"}), json!({"y": "5", "x": "6"})];
    assert_eq!(found, expected);
    let lines: [(&str, &[u8]); 2] = [("in/a", b"{\"a\":1}\n2"), ("in/b", b"3\n")];
    let (found, _) = flattened(&lines, Format::JsonLines).await.unwrap();
    assert_eq!(found, [json!({"a": 1}), json!(2), json!(3)]);
    let cause = cause(flattened(&[("in/a", b"[1]"), ("in/b", b"{}")], pointer("")).await);
    assert!(cause.contains("in/b") && cause.contains("non-iterable"), "{cause}");
}

#[tokio::test]
async fn pages_end_within_and_between_objects_and_say_where_items_are_from() {
    let many: Vec<usize> = (0..5_000).collect();
    let many = serde_json::to_vec(&many).unwrap();
    let names: Vec<String> = (0..1_100).map(|number| format!("in/small-{number:04}")).collect();
    let mut objects: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"[9]"[..])).collect();
    objects.extend([("in/a", &many[..]), ("in/b", &many[..])]);
    let (found, pages) = flattened(&objects, pointer("")).await.unwrap();
    assert_eq!(found.len(), 11_100);
    assert!((4..10).contains(&pages), "{pages}");
    let folder = folder(&[("in/a", b"[1, 2]"), ("in/b", b"[3]")]);
    let format = Format::Flattened(Box::new(pointer("")));
    let arguments = json!({"Bucket": "b", "Prefix": "in/"});
    let page =
        page(&S3Folder::new(folder.path()), &Readers::default(), &format, &arguments, None).await.unwrap();
    assert_eq!(page.sources, [(0, "S3://b/in/a".to_owned()), (2, "S3://b/in/b".to_owned())]);
}

#[tokio::test]
async fn short_items_are_not_read_again_and_again() {
    let numbers: Vec<usize> = (0..600_000).map(|number| number % 10).collect();
    let array = serde_json::to_vec(&numbers).unwrap();
    let lines: String = numbers.iter().map(|number| format!("{number}\n")).collect();
    let csv = Format::Csv(Csv { delimiter: b',', headers: Some(vec!["n".to_owned()]) });
    for (body, format) in
        [(&array[..], pointer("")), (lines.as_bytes(), Format::JsonLines), (lines.as_bytes(), csv)]
    {
        let folder = folder(&[("k", body)]);
        let store = Counting::new(folder.path());
        let (found, _) = items(&store, &format, &json!({"Bucket": "b", "Key": "k"})).await.unwrap();
        assert_eq!(found.len(), numbers.len());
        let read = count(&store.bytes);
        assert!(read < 4 * body.len() as u64, "{read} of {} bytes", body.len());
    }
}

#[tokio::test]
async fn parts_grow_again_when_items_do() {
    let mut numbers: Vec<Value> = (0..500_000).map(|_| json!(1)).collect();
    numbers.extend((0..3_000).map(|_| json!("x".repeat(1_000))));
    let body = serde_json::to_vec(&numbers).unwrap();
    let folder = folder(&[("k", &body)]);
    let store = Counting::new(folder.path());
    let (found, pages) = items(&store, &pointer(""), &json!({"Bucket": "b", "Key": "k"})).await.unwrap();
    assert_eq!(found, numbers);
    assert!(pages < 150 && count(&store.bytes) < 4 * body.len() as u64, "{pages}");
}

#[tokio::test]
async fn an_object_of_a_listing_is_read_on_without_another_listing() {
    let long: Vec<String> = (0..40).map(|number| number.to_string().repeat(50_000)).collect();
    let long = serde_json::to_vec(&long).unwrap();
    let folder = folder(&[("in/1", &long), ("in/2", b"[1]")]);
    let store = Counting::new(folder.path());
    let format = Format::Flattened(Box::new(pointer("")));
    let (found, pages) = items(&store, &format, &json!({"Bucket": "b", "Prefix": "in/"})).await.unwrap();
    assert!(found.len() == 41 && pages > 3, "{pages}");
    assert_eq!((count(&store.lists), count(&store.etags)), (2, 0));
}

#[tokio::test]
async fn a_page_of_many_objects_is_bounded_by_bytes_too() {
    let body = format!("[\"{}\"]", "x".repeat(300_000));
    let names: Vec<String> = (0..30).map(|number| format!("in/{number:02}")).collect();
    let objects: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), body.as_bytes())).collect();
    let (found, pages) = flattened(&objects, pointer("")).await.unwrap();
    assert_eq!(found.len(), 30);
    assert!(pages >= 7, "{pages}");
}

#[tokio::test]
async fn the_etags_of_a_listing_are_those_of_its_objects() {
    let folder = folder(&[("in/1", b"one")]);
    let store = Counting::new(folder.path());
    let (found, _) = items(&store, &Format::Listing, &json!({"Bucket": "b"})).await.unwrap();
    assert_eq!(found[0]["Etag"], "\"f97c5d29941bfb1b2fdab0874906ab82\"");
    assert_eq!(count(&store.etags), 1);
}

#[tokio::test]
async fn what_is_nearly_json_is_refused() {
    for body in ["[1 2]", "[\"a\"\"b\"]", "[,1]", "[1,]", "[1] 2", "[1]]"] {
        let cause = cause(pointed(body, "").await);
        assert!(cause.contains("the object is not JSON"), "{body}: {cause}");
    }
    // Blanks may follow, of any length up to that of an item.
    let body = format!("[1, 2]{}", " ".repeat(3 * 1_024 * 1_024));
    assert_eq!(pointed(&body, "").await.unwrap().0, [json!(1), json!(2)]);
    assert!(cause(pointed(&(body + "x"), "").await).contains("something follows"));
}
