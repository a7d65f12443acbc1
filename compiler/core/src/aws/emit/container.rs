//! The container file: the way for functions that are too large for a zip archive.
//!
//! Source: AWS Lambda Developer Guide, "Create a Lambda function using a container image" (10 GB) and "Building Lambda
//! functions with Rust"; the base image starts `bootstrap` in `LAMBDA_RUNTIME_DIR` with its first argument as the handler.

use crate::bundle::Index;

/// The container file of a bundle. Its context is a folder with `bootstrap` and `lib/`, both built for the architecture.
#[must_use]
pub fn dockerfile(index: &Index) -> String {
    let architecture = index.functions.first().map_or("arm64", |function| function.architecture.as_str());
    let platform = if architecture == "arm64" { "linux/arm64" } else { "linux/amd64" };
    let first = index.functions.first().map_or("prepare", |function| function.handler.as_str());
    format!(
        "# The functions of {name} as one image. Each function names its handler as the image's command.\n\
         # Build it in a folder that holds `bootstrap` and, in `lib/`, the libraries of libtorch for {architecture}:\n\
         #   docker build --platform {platform} --provenance=false -f Dockerfile FOLDER\n\
         # (Lambda takes no manifest lists, which --provenance would make.)\n\
         FROM --platform={platform} public.ecr.aws/lambda/provided:al2023\n\
         COPY lib/ ${{LAMBDA_RUNTIME_DIR}}/lib/\n\
         COPY --chmod=755 bootstrap ${{LAMBDA_RUNTIME_DIR}}/bootstrap\n\
         CMD [\"{first}\"]\n",
        name = index.name
    )
}
