//! The functions, by the examples of AWS's page and what was recorded.

use super::{Call, FUNCTIONS};
use crate::expression::EmptyScope;
use proptest::prelude::*;
use serde_json::{Value, json};

fn run(text: &str, input: &Value) -> Result<Value, String> {
    Call::parse(text)
        .map_err(|error| error.to_string())?
        .evaluate(input, &EmptyScope)
        .map_err(|error| error.to_string())
}

#[test]
fn there_are_eighteen() {
    assert_eq!(FUNCTIONS.len(), 18);
}

#[test]
fn values() {
    let input = json!({"n": "John", "l": [1, 2, 3, 4, 5], "o": {"Arg1": 1, "Arg2": []}, "t": "a\\{{}\\}"});
    for (call, expected) in [
        ("States.Array()", json!([])),
        ("States.ArrayPartition($.l, 2)", json!([[1, 2], [3, 4], [5]])),
        ("States.ArrayContains($.l, 5.0)", json!(true)),
        ("States.ArrayRange(9, 1, -2)", json!([9, 7, 5, 3, 1])),
        ("States.ArrayGetItem( $.l , 1 )", json!(2)),
        ("States.ArrayGetItem($.l, 9)", json!(null)),
        ("States.ArrayUnique(States.Array(1, 1.0, 'a', 'a'))", json!([1, "a"])),
        ("States.Base64Decode(States.Base64Encode('Data'))", json!("Data")),
        ("States.Hash('input data', 'MD5')", json!("812f45842bc6d66ee14572ce20db8e86")),
        ("States.MathAdd(1.5, -1.5)", json!(1)),
        ("States.MathAdd(-0.5, 0)", json!(0)),
        ("States.StringSplit('This.is+a,test', '.+,')", json!(["This", "is", "a", "test"])),
        ("States.StringToJson('')", json!(null)),
        ("States.JsonToString($.o)", json!("{\"Arg1\":1,\"Arg2\":[]}")),
        ("States.Format('{} and {}', $.n, $.o)", json!("John and {Arg1=1, Arg2=[]}")),
        ("States.Format($.t, 'b')", json!("a{b}")),
        ("States.Format('it\\'s \\{\\} {}', null)", json!("it's {} null")),
        ("States.JsonMerge($.o, $.o, false)", json!({"Arg1": 1, "Arg2": []})),
        ("States.ArrayLength($.l[?(@ > 2)])", json!(3)),
    ] {
        assert_eq!(run(call, &input), Ok(expected), "{call}");
    }
}

#[test]
fn refusals() {
    let input = json!({"l": [1]});
    for call in [
        "States.ArrayRange(1, 1001, 1)",
        "States.ArrayRange(1, 9.5, 2)",
        "States.ArrayPartition($.l, 0)",
        "States.Hash('x', 'SHA-200')",
        "States.JsonMerge($, $, true)",
        "States.Format('{}')",
        "States.Format('', 1)",
        "States.Format('{}', $.l)",
        "States.MathRandom(5, 5)",
        "States.StringToJson(1)",
        "States.Nothing()",
        "States.UUID(1)",
        "States.Array(\"a\")",
        "States.Array('\\x')",
        "States.Array('a",
        "States.Array(1",
        "States.Array(1))",
    ] {
        assert!(run(call, &input).is_err(), "{call}");
    }
}

#[test]
fn uuids_are_version_four() {
    let uuid = run("States.UUID()", &json!({})).unwrap();
    let uuid = uuid.as_str().unwrap();
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    assert!("89ab".contains(&uuid[19..20]));
}

proptest! {
    #[test]
    fn never_panics(text in "States\\.(Array|Format|MathAdd|ArrayRange|ArrayPartition|UUID)\\([$.a-c'\\\\{}0-9,() eE-]{0,30}\\)?") {
        let _ = run(&text, &json!({"a": [1, 2], "b": "x"}));
    }
}
