//! The optimisers, one file each: a step on parameters from gradients, with a state that travels as a tensor
//! file.

pub mod sgd;
