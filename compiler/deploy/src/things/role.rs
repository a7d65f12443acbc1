//! Roles, each with one inline policy.

use crate::difference::{Difference, Differences, Tags, ours};
use crate::error::{Call, Error, call};
use crate::session::Session;
use aws_sdk_iam::types::Tag;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepgrad_compiler::aws::{Policy, Role};

/// The name of the policy.
const POLICY: &str = "stepgrad";

/// A role as it is.
#[derive(Debug)]
pub(crate) struct Seen {
    trust: Value,
    policies: BTreeMap<String, Value>,
    attached: Vec<String>,
    pub(crate) tags: Tags,
}

impl Session {
    /// A role's ARN.
    pub(crate) fn role_arn(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:role/{name}", self.place.partition, self.place.account)
    }
}

fn on(session: &Session, api: &'static str, name: &str) -> Call {
    call(api, session.role_arn(name))
}

/// IAM gives documents percent-encoded (IAM API Reference, `GetRolePolicy`).
fn document(text: &str) -> Value {
    let text = percent_decode_str(text).decode_utf8_lossy();
    serde_json::from_str(&text).unwrap_or_else(|_| json!(text))
}

fn value(policy: &Policy) -> Value {
    // Serialising it cannot fail: all keys are strings.
    serde_json::to_value(policy).unwrap_or_default()
}

fn tags_of(tags: &[Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
}

fn to_tags(tags: &Tags) -> Result<Vec<Tag>, Error> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect::<Result<_, _>>().map_err(|error| Error::Desired(error.to_string()))
}

pub(crate) async fn look(session: &Session, name: &str) -> Result<Option<Seen>, Error> {
    let answer = session.iam.get_role().role_name(name).send().await;
    let Some(role) = on(session, "iam:GetRole", name).found(answer)?.and_then(|answer| answer.role) else {
        return Ok(None);
    };
    let mut policies = BTreeMap::new();
    for policy in policy_names(session, name).await? {
        let answer = session.iam.get_role_policy().role_name(name).policy_name(&policy).send().await;
        if let Some(found) = on(session, "iam:GetRolePolicy", name).found(answer)? {
            policies.insert(policy, document(found.policy_document()));
        }
    }
    Ok(Some(Seen {
        trust: document(role.assume_role_policy_document().unwrap_or_default()),
        policies,
        attached: attached(session, name).await?,
        tags: tags_of(role.tags()),
    }))
}

async fn policy_names(session: &Session, name: &str) -> Result<Vec<String>, Error> {
    let answer = session.iam.list_role_policies().role_name(name).send().await;
    let answer = on(session, "iam:ListRolePolicies", name).found(answer)?;
    Ok(answer.map(|answer| answer.policy_names).unwrap_or_default())
}

async fn attached(session: &Session, name: &str) -> Result<Vec<String>, Error> {
    let answer = session.iam.list_attached_role_policies().role_name(name).send().await;
    let Some(answer) = on(session, "iam:ListAttachedRolePolicies", name).found(answer)? else {
        return Ok(Vec::new());
    };
    Ok(answer
        .attached_policies()
        .iter()
        .filter_map(|policy| policy.policy_arn().map(str::to_owned))
        .collect())
}

pub(crate) fn compare(wanted: &Role, tags: &Tags, seen: &Seen) -> Vec<Difference> {
    let mut differences = Differences::default();
    differences.policy("trust", Some(&seen.trust), &value(&wanted.trust));
    differences.policy("policy", seen.policies.get(POLICY), &value(&wanted.policy));
    for other in seen.policies.keys().filter(|name| *name != POLICY).chain(&seen.attached) {
        differences.push("policy that somebody added", other, "none");
    }
    differences.tags(&seen.tags, tags);
    differences.0
}

pub(crate) async fn apply(
    session: &Session,
    wanted: &Role,
    tags: &Tags,
    seen: Option<&Seen>,
) -> Result<(), Error> {
    let name = &wanted.name;
    let (trust, policy) = (value(&wanted.trust), value(&wanted.policy));
    match seen {
        None => {
            let create = session.iam.create_role().role_name(name);
            let create = create.assume_role_policy_document(trust.to_string());
            let created = create.set_tags(Some(to_tags(tags)?)).send().await;
            on(session, "iam:CreateRole", name).ok(created)?;
        }
        Some(seen) => {
            if differs(|differences| differences.policy("", Some(&seen.trust), &trust)) {
                let update = session.iam.update_assume_role_policy().role_name(name);
                let updated = update.policy_document(trust.to_string()).send().await;
                on(session, "iam:UpdateAssumeRolePolicy", name).ok(updated)?;
            }
            if !ours(&seen.tags, tags) {
                let tagged =
                    session.iam.tag_role().role_name(name).set_tags(Some(to_tags(tags)?)).send().await;
                on(session, "iam:TagRole", name).ok(tagged)?;
            }
            for other in seen.policies.keys().filter(|name| *name != POLICY) {
                remove(session, name, other).await?;
            }
            for arn in &seen.attached {
                detach(session, name, arn).await?;
            }
        }
    }
    let is = seen.and_then(|seen| seen.policies.get(POLICY));
    if differs(|differences| differences.policy("", is, &policy)) {
        let put = session.iam.put_role_policy().role_name(name).policy_name(POLICY);
        let put = put.policy_document(policy.to_string()).send().await;
        on(session, "iam:PutRolePolicy", name).ok(put)?;
    }
    Ok(())
}

fn differs(compare: impl FnOnce(&mut Differences)) -> bool {
    let mut differences = Differences::default();
    compare(&mut differences);
    !differences.0.is_empty()
}

async fn remove(session: &Session, name: &str, policy: &str) -> Result<(), Error> {
    let removed = session.iam.delete_role_policy().role_name(name).policy_name(policy).send().await;
    on(session, "iam:DeleteRolePolicy", name).found(removed).map(drop)
}

async fn detach(session: &Session, name: &str, arn: &str) -> Result<(), Error> {
    let detached = session.iam.detach_role_policy().role_name(name).policy_arn(arn).send().await;
    on(session, "iam:DetachRolePolicy", name).found(detached).map(drop)
}

/// A role can be deleted when it has no policy left.
pub(crate) async fn delete(session: &Session, name: &str) -> Result<(), Error> {
    for policy in policy_names(session, name).await? {
        remove(session, name, &policy).await?;
    }
    for arn in attached(session, name).await? {
        detach(session, name, &arn).await?;
    }
    let deleted = session.iam.delete_role().role_name(name).send().await;
    on(session, "iam:DeleteRole", name).found(deleted).map(drop)
}

/// Roles whose names begin so, with their tags.
pub(crate) async fn list(session: &Session, prefix: &str) -> Result<Vec<(String, Tags)>, Error> {
    let asked = call("iam:ListRoles", session.role_arn("*"));
    let mut pages = session.iam.list_roles().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = asked.ok(page)?;
        names.extend(page.roles().iter().map(|role| role.role_name().to_owned()));
    }
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| name.starts_with(prefix)) {
        // The list is without tags.
        let answer = session.iam.list_role_tags().role_name(&name).send().await;
        if let Some(answer) = on(session, "iam:ListRoleTags", &name).found(answer)? {
            found.push((name, tags_of(answer.tags())));
        }
    }
    Ok(found)
}
