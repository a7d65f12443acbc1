//! What an account may have, as Service Quotas tells it: the values that were applied to it, else AWS's defaults.
//!
//! Nothing depends on the answer but what is said: whoever may not ask, or asks a place that has no such service, is told which
//! quotas are not known and why, and goes on. All of it ends within seconds.
//!
//! Source: Service Quotas API Reference, "`ListServiceQuotas`" (a quota without an applied value is not in it),
//! "`ListAWSDefaultServiceQuotas`".

use crate::error::{Error, call};
use crate::session::Session;
use aws_sdk_servicequotas::types::ServiceQuota;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stepgrad_compiler::bound::quotas::{Need, Short};

/// For all of it.
const ALL: Duration = Duration::from_secs(20);
/// Pages of one list at the most, of up to a hundred quotas.
const PAGES: usize = 10;

/// One quota of an account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quota {
    /// Its name.
    pub name: String,
    /// Its code, by which more can be asked for.
    pub code: String,
    /// Its value, in `unit`.
    pub value: f64,
    /// As Service Quotas writes it, e.g. `Megabytes`; `None` for a number.
    pub unit: String,
    /// Whether it is the account's own; else AWS's default.
    pub applied: bool,
    /// Whether more can be asked for.
    pub adjustable: bool,
}

/// What is needed against what there is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// What is needed.
    #[serde(flatten)]
    pub need: Need,
    /// What there is.
    pub quota: Option<Quota>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_known: Option<String>,
    /// Whether it is enough; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enough: Option<bool>,
}

impl Compared {
    fn of(need: Need, quotas: &Result<Vec<Quota>, String>) -> Self {
        let found = quotas.as_ref().map(|quotas| find(quotas, need.words));
        match found {
            Err(why) => Self { need, quota: None, not_known: Some(why.clone()), enough: None },
            Ok(None) => {
                let why = format!("Service Quotas lists none of this name for {}", need.service);
                Self { need, quota: None, not_known: Some(why), enough: None }
            }
            Ok(Some(quota)) => {
                let have = in_unit(quota, need.unit);
                #[expect(clippy::cast_precision_loss, reason = "quotas are far below 2^53")]
                let enough = need.need as f64 <= have;
                Self { need, quota: Some(quota.clone()), not_known: None, enough: Some(enough) }
            }
        }
    }

    /// Whether it is known that what is needed is more than there is.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.enough == Some(false)
    }

    /// Whether it is known that it cannot work.
    #[must_use]
    pub fn cannot_work(&self) -> bool {
        self.is_short() && self.need.short == Short::Fails
    }

    /// What is short, for people; with what to do.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let quota = self.quota.as_ref().filter(|_| self.is_short())?;
        let Need { service, need, unit, because, .. } = &self.need;
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let more = if quota.adjustable {
            format!(
                "; ask for more: aws service-quotas request-service-quota-increase --service-code {service} --quota-code {} --desired-value …",
                quota.code
            )
        } else {
            String::new()
        };
        Some(format!(
            "{service} quota {} ({}) is {}{unit}, and this needs {need} ({because}){more}",
            quota.name,
            quota.code,
            in_unit(quota, self.need.unit),
        ))
    }
}

/// The quota whose name has all these words; of several the one of the shortest name, as others are of special cases.
fn find<'a>(quotas: &'a [Quota], words: &[&str]) -> Option<&'a Quota> {
    let has = |quota: &&Quota| {
        let name = quota.name.to_lowercase();
        words.iter().all(|word| name.contains(word))
    };
    quotas.iter().filter(has).min_by_key(|quota| (quota.name.len(), &quota.name))
}

/// A quota's value in the unit of a need.
fn in_unit(quota: &Quota, unit: &str) -> f64 {
    let megabytes = match quota.unit.as_str() {
        "Gigabytes" => 1_024.0,
        "Kilobytes" => 1.0 / 1_024.0,
        "Bytes" => 1.0 / 1_048_576.0,
        _ => 1.0,
    };
    if unit == "MB" { quota.value * megabytes } else { quota.value }
}

/// Holds what is needed against what the account has; never fails.
pub async fn compare(session: &Session, needs: Vec<Need>) -> Vec<Compared> {
    let services: BTreeSet<&'static str> = needs.iter().map(|need| need.service).collect();
    let looks = services.into_iter().map(|service| async move {
        let looked = tokio::time::timeout(ALL, of_service(session, service)).await;
        let why = match looked {
            Ok(Ok(quotas)) => return (service, Ok(quotas)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("Service Quotas gave no answer in {} s", ALL.as_secs()),
        };
        (service, Err(why))
    });
    let found: BTreeMap<_, _> = futures::future::join_all(looks).await.into_iter().collect();
    let nobody = Err("nobody asked".to_owned());
    needs
        .into_iter()
        .map(|need| Compared::of(need.clone(), found.get(need.service).unwrap_or(&nobody)))
        .collect()
}

/// The account's own values first, then the defaults of what has none.
async fn of_service(session: &Session, service: &'static str) -> Result<Vec<Quota>, Error> {
    let client = &session.quotas;
    let mut all = Vec::new();
    let asked = call("servicequotas:ListServiceQuotas", service);
    let mut pages = client.list_service_quotas().service_code(service).into_paginator().send();
    for _ in 0..PAGES {
        let Some(page) = pages.next().await else { break };
        all.extend(asked.ok(page)?.quotas().iter().filter_map(|quota| read(quota, true)));
    }
    let known: BTreeSet<String> = all.iter().map(|quota: &Quota| quota.code.clone()).collect();
    let asked = call("servicequotas:ListAWSDefaultServiceQuotas", service);
    let mut pages = client.list_aws_default_service_quotas().service_code(service).into_paginator().send();
    for _ in 0..PAGES {
        let Some(page) = pages.next().await else { break };
        let others = asked.ok(page)?;
        let others = others.quotas().iter().filter_map(|quota| read(quota, false));
        all.extend(others.filter(|quota| !known.contains(&quota.code)));
    }
    Ok(all)
}

fn read(quota: &ServiceQuota, applied: bool) -> Option<Quota> {
    Some(Quota {
        name: quota.quota_name()?.to_owned(),
        code: quota.quota_code()?.to_owned(),
        value: quota.value()?,
        unit: quota.unit().unwrap_or("None").to_owned(),
        applied,
        adjustable: quota.adjustable(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Compared, Quota, find};
    use stepgrad_compiler::bound::quotas::{Need, Short};

    fn quota(name: &str, value: f64, unit: &str) -> Quota {
        let (name, code, unit) = (name.to_owned(), "L-1".to_owned(), unit.to_owned());
        Quota { name, code, value, unit, applied: true, adjustable: true }
    }

    fn need(need: u64, unit: &'static str, words: &'static [&'static str], short: Short) -> Need {
        Need { service: "lambda", name: "it", words, need, unit, because: "it is".to_owned(), short }
    }

    #[test]
    fn a_quota_is_found_by_its_words_and_compared_in_the_unit_of_the_need() {
        let all = [
            quota("StartExecution throttle token bucket size - Express", 6.0, "None"),
            quota("StartExecution throttle token bucket size", 5.0, "None"),
            quota("Function and layer storage", 2.0, "Gigabytes"),
        ];
        assert_eq!(find(&all, &["startexecution", "bucket"]).unwrap().value, 5.0);
        assert_eq!(find(&all, &["open executions"]), None);
        let quotas = Ok(all.to_vec());
        let compare = |mb| Compared::of(need(mb, "MB", &["layer", "storage"], Short::Fails), &quotas);
        assert_eq!((compare(2_048).enough, compare(2_049).enough), (Some(true), Some(false)));
        assert!(compare(2_049).cannot_work() && compare(2_048).warning().is_none());
        let warning = compare(2_049).warning().unwrap();
        assert!(
            warning.contains("(L-1) is 2048 MB, and this needs 2049") && warning.contains("--quota-code L-1")
        );
        let slow = Compared::of(need(9, "", &["startexecution"], Short::Slows), &quotas);
        assert!(slow.is_short() && !slow.cannot_work());
    }

    #[test]
    fn what_is_not_known_is_neither_enough_nor_short() {
        let unasked = Compared::of(need(1, "", &["x"], Short::Fails), &Err("denied".to_owned()));
        assert_eq!((unasked.enough, unasked.not_known.as_deref()), (None, Some("denied")));
        let unlisted = Compared::of(need(1, "", &["x"], Short::Fails), &Ok(Vec::new()));
        assert!(unlisted.not_known.unwrap().contains("lists none of this name") && !unasked.cannot_work());
    }
}
