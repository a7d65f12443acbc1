//! The desired state in the languages of others: `CloudFormation`, SAM, Terraform, FIS, a container file. Each says what
//! [`super::Resources`] says and decides nothing; JSON throughout, in one order, so that the same spec gives the same
//! bytes.

mod cloudformation;
mod container;
mod fis;
mod terraform;

#[cfg(test)]
mod tests;

pub use container::dockerfile;
pub use fis::{Experiment, experiment};

use crate::bundle::{Bundle, json};
use std::collections::BTreeMap;

/// A language in which a bundle is written a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// A `CloudFormation` template with everything in it.
    CloudFormation,
    /// A SAM template beside the bundle's definitions.
    Sam,
    /// A Terraform configuration in JSON syntax beside the bundle's definitions.
    Terraform,
}

/// The name of each role's one policy.
const POLICY: &str = "stepgrad";

/// The files of a language, by path below the bundle.
#[must_use]
pub fn files(bundle: &Bundle, language: Language) -> BTreeMap<String, Vec<u8>> {
    let (path, value) = match language {
        Language::CloudFormation => {
            ("cloudformation/template.json", cloudformation::template(bundle, cloudformation::Dialect::Plain))
        }
        Language::Sam => {
            ("sam/template.json", cloudformation::template(bundle, cloudformation::Dialect::Sam))
        }
        Language::Terraform => ("terraform/main.tf.json", terraform::configuration(bundle)),
    };
    BTreeMap::from([(path.to_owned(), json(&value))])
}

/// An image that Lambda takes, by its digest and not by a tag, which may be given to another image: a regular expression in which
/// `[.]` is a dot in every language's strings.
const IMAGE: &str = "[0-9]{12}[.]dkr[.]ecr[.][a-z0-9-]+[.]amazonaws[.]com([.]cn)?/[a-z0-9]+([._/-]+[a-z0-9]+)*@sha256:[0-9a-f]{64}";
/// What it says where an image is given otherwise.
const IMAGE_BY_DIGEST: &str =
    "Name an image of Amazon ECR by its digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:...";

/// `gradient` as a part of an identifier: `Gradient`.
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).filter(char::is_ascii_alphanumeric).collect()
}
