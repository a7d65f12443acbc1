//! The AWS side: plan, deploy, run, watch and destroy what a bundle describes.
//!
//! The compiler says what is to be ([`stepgrad_compiler::aws::Resources`]); this crate looks at what is there, finds the
//! difference, and makes it go away. It keeps no state of its own: what a deployment made is known by its names and tags,
//! so a deployment can be interrupted at any call and be finished, or removed, from any computer. It knows bundles, not
//! topologies.

mod deploy;
mod deployed;
mod desired;
mod destroy;
mod difference;
mod error;
mod execution;
mod executions;
mod follow;
mod image;
mod logs;
mod patience;
mod plan;
mod quotas;
mod redrive;
mod session;
mod things;
mod watch;

pub use deploy::{Deployed, deploy};
pub use desired::{Desired, Files, Owned, Package};
pub use destroy::{Remains, destroy};
pub use difference::{Action, Difference, Kind, Step, Tags};
pub use error::{AGAIN, ApiError, Error, Kind as FailureKind};
pub use execution::{Execution, Recorded, Runs};
pub use executions::{LISTED, Listed};
pub use image::{Image, ImageError};
pub use logs::{LogLine, Logs};
pub use plan::Plan;
pub use quotas::{Compared, Quota, compare as compare_quotas};
pub use redrive::NotRedrivable;
pub use session::{Options, Place, Session};
pub use things::object::Upload;
pub use watch::Watch;
