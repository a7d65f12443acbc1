//! The services that a Task state can call. A service that is not here is refused by name when the machine is loaded.

pub mod endpoint;
pub mod lambda;
pub mod lambda_endpoint;
pub mod lambda_reply;
pub mod s3;
