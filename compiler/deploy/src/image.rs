//! Container images that functions are made of: in Amazon ECR, in the functions' own region, and by digest.
//!
//! Sources: AWS Lambda Developer Guide, "Create a Lambda function using a container image"; Amazon ECR User Guide, "Amazon ECR private
//! registries" and "Quotas" (names of repositories).

use std::str::FromStr;

/// Before the digits of a digest.
const DIGEST: &str = "sha256:";
/// Characters of a repository's name.
const REPOSITORY: std::ops::RangeInclusive<usize> = 2..=256;

/// An image, as `ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    account: String,
    region: String,
    repository: String,
    uri: String,
}

/// Why a text names no image that a function can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// In no registry of Amazon ECR's.
    #[error(
        "{0} is not in Amazon ECR, and Lambda takes no other images: push it to ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY"
    )]
    Registry(String),
    /// A tag, or nothing, in the place of a digest.
    #[error(
        "{0} names no digest, and a tag may be given to another image: write REPOSITORY@sha256:…, as `docker push` says at its end"
    )]
    Tag(String),
    /// No digest.
    #[error("{0} ends in no digest of an image: @sha256: and 64 hexadecimal digits")]
    Digest(String),
    /// No name of a repository.
    #[error("{0} names no repository: lower-case letters, digits, and . _ - / between them, without a tag")]
    Repository(String),
}

impl Image {
    /// The whole name.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Where it is.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The repository's ARN in a partition.
    pub(crate) fn repository_arn(&self, partition: &str) -> String {
        format!("arn:{partition}:ecr:{}:{}:repository/{}", self.region, self.account, self.repository)
    }
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(uri: &str) -> Result<Self, ImageError> {
        let not_ecr = || ImageError::Registry(uri.to_owned());
        let (registry, name) = uri.split_once('/').ok_or_else(not_ecr)?;
        let (account, region) = registry
            .strip_suffix(".amazonaws.com")
            .or_else(|| registry.strip_suffix(".amazonaws.com.cn"))
            .and_then(|registry| registry.split_once(".dkr.ecr."))
            .ok_or_else(not_ecr)?;
        let is_account = account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit());
        let is_region =
            !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_account || !is_region {
            return Err(not_ecr());
        }
        let (repository, digest) = name.split_once('@').ok_or_else(|| ImageError::Tag(uri.to_owned()))?;
        let digits = digest.strip_prefix(DIGEST).unwrap_or_default();
        if digits.len() != 64 || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ImageError::Digest(uri.to_owned()));
        }
        let is_named = repository.split(['/', '.', '_', '-']).all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
        if !REPOSITORY.contains(&repository.len()) || !is_named {
            return Err(ImageError::Repository(uri.to_owned()));
        }
        Ok(Self {
            account: account.to_owned(),
            region: region.to_owned(),
            repository: repository.to_owned(),
            uri: uri.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Image, ImageError};

    const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn an_image_is_in_ecr_and_named_by_its_digest() {
        for (registry, repository) in
            [("eu-west-1.amazonaws.com", "digits"), ("cn-north-1.amazonaws.com.cn", "team-1/digits_2")]
        {
            let uri = format!("123456789012.dkr.ecr.{registry}/{repository}@{DIGEST}");
            let image: Image = uri.parse().unwrap();
            assert_eq!((image.uri(), image.region()), (uri.as_str(), registry.split('.').next().unwrap()));
            let arn = format!("arn:aws:ecr:{}:123456789012:repository/{repository}", image.region());
            assert_eq!(image.repository_arn("aws"), arn);
        }
    }

    #[test]
    fn anything_else_is_refused_by_what_it_lacks() {
        let refused = |uri: &str| uri.parse::<Image>().unwrap_err();
        let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        for uri in [
            "",
            "digits",
            &format!("docker.io/digits@{DIGEST}"),
            &format!("public.ecr.aws/x/digits@{DIGEST}"),
            &format!("12.dkr.ecr.eu-west-1.amazonaws.com/digits@{DIGEST}"),
            &format!("123456789012.dkr.ecr..amazonaws.com/digits@{DIGEST}"),
            &format!("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/digits@{DIGEST}"),
        ] {
            assert_eq!(refused(uri), ImageError::Registry(uri.to_owned()));
        }
        for name in ["digits", "digits:latest"] {
            let uri = format!("{ecr}/{name}");
            assert_eq!(refused(&uri), ImageError::Tag(uri));
        }
        for digest in
            ["", "sha256:", "sha512:00", &DIGEST[..70], &DIGEST.to_uppercase(), &format!("{DIGEST}0")]
        {
            let uri = format!("{ecr}/digits@{digest}");
            assert_eq!(refused(&uri), ImageError::Digest(uri));
        }
        for name in ["", "d", "Digits", "digits:1", "a//b", "/a", "a-", &"a".repeat(257)] {
            let uri = format!("{ecr}/{name}@{DIGEST}");
            assert_eq!(refused(&uri), ImageError::Repository(uri));
        }
    }
}
