//! Functions of container images, against ministack, which takes them and cannot run them: what is planned is what is done.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start processes, read files and fail by panicking"
)]

use serde_json::{Value, json};
use stepgrad_tests::cloud::{Project, steps};
use stepgrad_tests::ministack::Ministack;
use stepgrad_tests::proxy::{Fate, Proxy};
use stepgrad_tests::wait_for;

const FUNCTION: &str = "stepgrad-small-gradient";

/// An image of this digest.
fn image(digit: char) -> String {
    let digest: String = std::iter::repeat_n(digit, 64).collect();
    format!("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/digits@sha256:{digest}")
}

/// A plan's step about the function.
fn step(plan: &Value) -> &Value {
    plan["steps"].as_array().unwrap().iter().find(|step| step["name"] == FUNCTION).unwrap()
}

/// What is there of the function.
fn function(server: &Ministack) -> Value {
    let answer = server.ask("GET", &format!("/2015-03-31/functions/{FUNCTION}"), "lambda", "", "");
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn a_function_of_an_image_is_made_changed_and_made_anew() {
    let Some(server) = Ministack::start("a_function_of_an_image_is_made_changed_and_made_anew") else {
        return;
    };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let _ = project.run(&url, &["deploy"]).exits(0);

    let (one, other) = (format!("gradient={}", image('1')), format!("gradient={}", image('2')));
    let deployed = |package: &str, more: &[&str]| -> Value {
        let arguments = |verb| [&[verb, "--package", package], more].concat();
        let mut detailed = arguments("plan");
        detailed.push("--detailed-exitcode");
        let plan = project.run(&url, &detailed).exits(7).json();
        let done = project.run(&url, &arguments("deploy")).exits(0).json();
        assert_eq!(steps(&done), steps(&plan));
        let again = project.run(&url, &detailed).exits(0).json();
        assert_eq!(steps(&again).len(), 0, "{again}");
        plan
    };
    let plan = deployed(&one, &[]);
    assert_eq!(step(&plan)["action"], "replace", "{plan}");
    let kind = json!({"what": "kind of package", "from": "zip", "to": "image"});
    assert_eq!(step(&plan)["differences"][0], kind);
    // Beside the function, those state machines that lead to it.
    let leads = |(action, kind, name): &(String, String, String)| {
        name == FUNCTION || (action.as_str(), kind.as_str()) == ("change", "state_machine")
    };
    assert!(steps(&plan).iter().all(leads) && steps(&plan).len() > 3, "{plan}");
    let made = function(&server);
    let told = &made["Configuration"];
    assert_eq!((&told["PackageType"], &made["Code"]["ImageUri"]), (&json!("Image"), &json!(image('1'))));
    assert_eq!(told["ImageConfigResponse"]["ImageConfig"]["Command"], json!(["gradient"]));

    let plan = deployed(&other, &[]);
    assert_eq!(step(&plan)["action"], "change", "{plan}");
    let differences = json!([{"what": "package", "from": image('1'), "to": image('2')}]);
    assert_eq!(step(&plan)["differences"], differences);
    assert_eq!(function(&server)["Code"]["ImageUri"], json!(image('2')));

    let plan = deployed(&other, &["--set", "functions.gradient.memory_mb=2560"]);
    let differences = json!([{"what": "memory", "from": "2048 MB", "to": "2560 MB"}]);
    assert_eq!((&step(&plan)["action"], &step(&plan)["differences"]), (&json!("change"), &differences));
    assert_eq!(
        function(&server)["Configuration"]["ImageConfigResponse"]["ImageConfig"]["Command"],
        json!(["gradient"])
    );

    let plan = deployed("gradient=functions.zip", &[]);
    assert_eq!(step(&plan)["action"], "replace", "{plan}");
    assert_eq!(function(&server)["Configuration"]["PackageType"], "Zip");
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
}

#[test]
fn all_functions_of_one_image_need_no_zip() {
    let Some(server) = Ministack::start("all_functions_of_one_image_need_no_zip") else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let deployed = project.run(&url, &["deploy", "--package", &image('a')]).exits(0).json();
    let objects: Vec<_> = steps(&deployed).into_iter().filter(|(_, kind, _)| kind == "object").collect();
    assert_eq!(objects, [("create".to_owned(), "object".to_owned(), "data/data.csv".to_owned())]);
    assert_eq!(function(&server)["Configuration"]["PackageType"], "Image");
    // One kind of them only: the others become functions of a zip.
    let kind = format!("bootstrap={}", image('a'));
    let plan = project.run(&url, &["plan", "--package", &kind]).exits(0).json();
    let replaced = steps(&plan).into_iter().filter(|(action, ..)| action == "replace");
    let replaced: Vec<String> = replaced.map(|(.., name)| name).collect();
    assert!(
        replaced.contains(&"stepgrad-small-prepare".to_owned()) && !replaced.contains(&FUNCTION.to_owned())
    );
    let _ = project.run(&url, &["destroy", "-y"]).exits(0);
    assert_eq!(server.everything(), [""; 0]);
}

#[test]
fn nothing_is_made_anew_under_a_run_that_calls_it() {
    let Some(server) = Ministack::start("nothing_is_made_anew_under_a_run_that_calls_it") else { return };
    let (project, url) = (Project::new(), format!("http://{}", server.address));
    let _ = project.run(&url, &["deploy"]).exits(0);
    let states = |call: &str, body: &Value| {
        server.json("states", &format!("AWSStepFunctions.{call}"), &body.to_string())
    };
    let machines = states("ListStateMachines", &json!({}));
    let machines = machines["stateMachines"].as_array().unwrap();
    let machine = machines.iter().find(|machine| machine["name"] == "stepgrad-small-round").unwrap();
    let arn = &machine["stateMachineArn"];
    let waits = json!({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": true}}});
    let _ = states("UpdateStateMachine", &json!({"stateMachineArn": arn, "definition": waits.to_string()}));
    let run = states("StartExecution", &json!({"stateMachineArn": arn, "input": "{}"}));

    let package = format!("gradient={}", image('1'));
    let refused = project.run(&url, &["deploy", "--package", &package]).exits(5);
    let expected = "would lose what it is made of: function stepgrad-small-gradient (replaced)";
    assert!(refused.stdout.contains(expected), "{}", refused.stdout);
    assert_eq!(function(&server)["Configuration"]["PackageType"], "Zip");
    let _ = states("StopExecution", &json!({"executionArn": run["executionArn"]}));
    wait_for("the end of the execution", || {
        let told = states("DescribeExecution", &json!({"executionArn": run["executionArn"]}));
        (told["status"] == "ABORTED").then_some(())
    });
    let _ = project.run(&url, &["deploy", "--package", &package]).exits(0);
    assert_eq!(function(&server)["Configuration"]["PackageType"], "Image");
}

#[test]
fn an_image_that_lambda_could_not_take_is_refused_before_anything_is_made() {
    let project = Project::new();
    let nowhere = "http://127.0.0.1:1";
    let ecr = "123456789012.dkr.ecr.us-east-1.amazonaws.com/digits";
    for (package, told) in [
        (format!("gradient={ecr}:latest"), "names no digest, and a tag may be given to another image"),
        (format!("bootstrap={ecr}@sha256:12"), "ends in no digest of an image"),
        (image('1').replace(".dkr.ecr.", "."), "is not in Amazon ECR"),
        (image('1').replace("team/", "Team/"), "names no repository"),
        (format!("gradients={}", image('1')), "gradients is neither a function of this training"),
    ] {
        let refused = project.run(nowhere, &["plan", "--package", &package]).exits(2);
        assert!(refused.stdout.contains(told), "{package}: {}", refused.stdout);
    }
    let Some(server) =
        Ministack::start("an_image_that_lambda_could_not_take_is_refused_before_anything_is_made")
    else {
        return;
    };
    let elsewhere = image('1').replace("us-east-1", "eu-west-1");
    let url = format!("http://{}", server.address);
    let refused = project.run(&url, &["deploy", "--package", &elsewhere]).exits(3);
    assert!(
        refused.stdout.contains("is in eu-west-1, and the functions are to be in us-east-1"),
        "{}",
        refused.stdout
    );
    assert_eq!(server.everything(), [""; 0]);

    // Lambda itself may not read the repository: who deploys may let it in, by other permissions than that for the call.
    let proxy = Proxy::start(&server.address, |request| {
        match request.call.starts_with("POST /2015-03-31/functions") {
            true => {
                let why =
                    "Lambda does not have permission to access the ECR image. Check the ECR permissions.";
                Fate::IsAnswered(403, "AccessDeniedException", why.to_owned())
            }
            false => Fate::Passes,
        }
    });
    let refused = project.run(&proxy.url, &["deploy", "--package", &image('1')]).exits(5);
    let told = "allow ecr:GetRepositoryPolicy and ecr:SetRepositoryPolicy on arn:aws:ecr:us-east-1:123456789012:repository/team/digits";
    assert!(refused.stdout.contains(told), "{}", refused.stdout);
}
