//! Runs a state machine on this machine
