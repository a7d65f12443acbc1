//! Where the objects of Amazon S3 are that a machine reads and writes.

use crate::exit::Exit;
use crate::failure::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use stepgrad_engine::integrations::s3::{ObjectStore, S3Endpoint, S3Folder};

/// Where objects are.
#[derive(Debug, clap::Args)]
pub(crate) struct ObjectArgs {
    /// Where the objects of S3 are: GET URL/BUCKET/KEY, unsigned.
    #[arg(long, value_name = "URL", conflicts_with = "s3_folder")]
    s3_endpoint: Option<String>,
    /// The folder in which the objects of S3 are: FOLDER/BUCKET/KEY.
    #[arg(long, value_name = "FOLDER")]
    s3_folder: Option<PathBuf>,
}

impl ObjectArgs {
    /// The objects, if it was said where they are.
    pub(crate) fn store(&self) -> Result<Option<Arc<dyn ObjectStore>>, Failure> {
        if let Some(url) = &self.s3_endpoint {
            let endpoint =
                S3Endpoint::new(url).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
            return Ok(Some(Arc::new(endpoint)));
        }
        match &self.s3_folder {
            None => Ok(None),
            Some(folder) if folder.is_dir() => Ok(Some(Arc::new(S3Folder::new(folder)))),
            Some(folder) => Err(Failure::new(Exit::Usage, format!("{} is not a folder", folder.display()))),
        }
    }
}
