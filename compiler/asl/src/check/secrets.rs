//! A literal that looks like a secret: a definition is readable by whoever may describe the machine, and so is its
//! history.

use super::findings::Findings;
use super::outline::Outline;
use crate::diagnostic::pointer_push;
use crate::json::{Node, NodeKind};

pub(super) const SECRET: &str = "ASL061";
pub(super) const CODES: &[(&str, &str)] = &[(SECRET, "a literal that looks like a secret")];

/// What keys of secrets end in, in lower case without separators.
const KEYS: &[&str] =
    &["password", "passwd", "secret", "secretkey", "secretaccesskey", "apikey", "accesstoken", "privatekey"];

pub(super) fn check(outline: &Outline<'_>, findings: &mut Findings<'_>) {
    walk(outline.root, "", "", findings);
}

fn walk(node: &Node, key: &str, pointer: &str, findings: &mut Findings<'_>) {
    match &node.kind {
        NodeKind::Object(members) => {
            for member in members {
                walk(&member.value, &member.key, &pointer_push(pointer, &member.key), findings);
            }
        }
        NodeKind::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, key, &format!("{pointer}/{index}"), findings);
            }
        }
        NodeKind::String(text) if looks_secret(key, text) => {
            let hint =
                Some("have the function read it from Secrets Manager or the Parameter Store".to_owned());
            findings.warning(SECRET, node, pointer, "this literal looks like a secret", hint);
        }
        NodeKind::String(_) | NodeKind::Plain(_) => {}
    }
}

fn looks_secret(key: &str, text: &str) -> bool {
    let computed = key.ends_with(".$") || text.starts_with(['$', '{']) || text.starts_with("arn:");
    let key: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let access_key = text.len() == 20
        && (text.starts_with("AKIA") || text.starts_with("ASIA"))
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let private_key = text.contains("-----BEGIN") && text.contains("PRIVATE KEY-----");
    let named = !computed && text.len() >= 6 && KEYS.iter().any(|name| key.ends_with(name));
    access_key || private_key || named
}
