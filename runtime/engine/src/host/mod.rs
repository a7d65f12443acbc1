//! Runs Lambda functions as processes of this machine, behind the Lambda Runtime API.
