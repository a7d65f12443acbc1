//! The command `stepgrad`.

fn main() {}
