//! From a training spec to Step Functions state machines
