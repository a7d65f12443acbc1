//! The core by itself: what it asks for and what it writes down.
