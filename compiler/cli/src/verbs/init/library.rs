//! The fault files of `examples/faults`, for users who have the command alone.

/// A fault file of the library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Example {
    /// Its name, without `.yaml`.
    pub(super) name: &'static str,
    /// The whole file.
    pub(super) text: &'static str,
}

impl Example {
    /// What it is about: the comment after the line for editors.
    pub(super) fn title(&self) -> &'static str {
        self.text.lines().nth(1).unwrap_or_default().trim_start_matches("# ")
    }
}

macro_rules! library {
    ($($name:literal,)+) => {
        /// Every fault file, by name.
        pub(super) const LIBRARY: &[Example] = &[$(Example {
            name: $name,
            text: include_str!(concat!("../../../../../examples/faults/", $name, ".yaml")),
        },)+];
    };
}

library! {
    "cold-starts",
    "duplicates",
    "engine-dies",
    "exits",
    "flipped-bits",
    "flipped-labels",
    "free-rider",
    "killed-after",
    "killed-before",
    "killed-while-writing",
    "large-gradients",
    "lost-ack",
    "lost-writes",
    "noise",
    "not-a-number",
    "one-after-the-other",
    "out-of-memory",
    "partition",
    "partition-bridge",
    "partition-minority",
    "paused",
    "peer-joins",
    "peer-leaves",
    "peer-outage",
    "quorum-lost",
    "refused-calls",
    "sign-flip",
    "slow-objects",
    "slow-quarter",
    "stale-objects",
    "store-unavailable",
    "throttled",
    "torn-objects",
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the library is a folder")]
mod tests {
    use super::LIBRARY;
    use std::collections::BTreeSet;
    use std::path::Path;
    use stepgrad_compiler::diagnostic::Source;
    use stepgrad_compiler::faults::{Act, parse};

    #[test]
    fn the_library_is_the_folder_and_every_file_is_understood() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/faults");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let known: BTreeSet<String> =
            LIBRARY.iter().map(|example| format!("{}.yaml", example.name)).collect();
        assert_eq!(files, known);
        let mut actions = BTreeSet::new();
        for example in LIBRARY {
            let source = Source { name: example.name, text: example.text };
            let (file, warnings) =
                parse(&source).unwrap_or_else(|findings| panic!("{}: {findings:#?}", example.name));
            assert_eq!(warnings, [], "{}", example.name);
            assert!(example.title().ends_with('.') && example.title().len() > 20, "{}", example.name);
            actions.extend(file.faults.iter().map(|entry| Act::name(&entry.act.value)));
        }
        assert!(LIBRARY.len() >= 20);
        assert_eq!(actions.len(), 27, "every action has an example: {actions:?}");
    }
}
