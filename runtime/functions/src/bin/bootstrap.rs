//! The AWS Lambda custom runtime.

fn main() {}
