//! The Amazon States Language
