//! What AWS bills for the units that a training uses, by region.
//!
//! Sources: "AWS Lambda Pricing", "AWS Step Functions Pricing", "Amazon S3 Pricing", "Amazon CloudWatch Pricing"; all list prices
//! without any discount or free tier, rounded up to a nano-dollar. One region's are known. Others differ, and by how much is
//! not said here: a price that nobody looked up would be an invention.

use serde::Serialize;

/// Prices of one region, in nano-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Prices {
    /// The region whose prices they are.
    pub region: &'static str,
    /// When they were written down.
    pub as_of: &'static str,
    /// A GB-second of a function on `x86_64`.
    pub gb_second_x86_64: u64,
    /// A GB-second of a function on `arm64`.
    pub gb_second_arm64: u64,
    /// A GB-second of `/tmp` beyond the 512 MB that cost nothing.
    pub storage_gb_second: u64,
    /// A request of a function.
    pub request: u64,
    /// A state transition of a Standard state machine.
    pub transition: u64,
    /// A PUT, COPY, POST or LIST request to S3 Standard.
    pub s3_write: u64,
    /// A GET (or any other) request to S3 Standard. DELETE costs nothing.
    pub s3_read: u64,
    /// A GB in S3 Standard for a month, of the first 50 TB.
    pub s3_gb_month: u64,
    /// A GB that CloudWatch Logs takes in.
    pub log_gb: u64,
    /// A GB that CloudWatch Logs keeps for a month.
    pub log_gb_month: u64,
}

/// The region whose prices are known.
pub const US_EAST_1: Prices = Prices {
    region: "us-east-1",
    as_of: "2026-11-21",
    gb_second_x86_64: 16_667,
    gb_second_arm64: 13_334,
    storage_gb_second: 31,
    request: 200,
    transition: 25_000,
    s3_write: 5_000,
    s3_read: 400,
    s3_gb_month: 23_000_000,
    log_gb: 500_000_000,
    log_gb_month: 30_000_000,
};

impl Prices {
    /// Whose prices they are, for people; with what to think of them in another region.
    #[must_use]
    pub fn whose(&self, region: Option<&str>) -> String {
        let Self { region: known, as_of, .. } = self;
        match region {
            Some(region) if region != *known => format!(
                "prices: list prices of {known} as of {as_of}, without free tier and discounts; those of {region} differ and are not known here"
            ),
            _ => format!(
                "prices: list prices of {known} as of {as_of}, without free tier and discounts; other regions differ"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::US_EAST_1;

    #[test]
    fn another_region_is_told_that_its_prices_are_not_known() {
        assert!(
            US_EAST_1.whose(Some("eu-west-3")).contains("those of eu-west-3 differ and are not known here")
        );
        assert!(US_EAST_1.whose(Some("us-east-1")).ends_with("other regions differ"));
    }
}
