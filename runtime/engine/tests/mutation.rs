//! The fuzz targets on mutations of their corpus: always the same ones in the same order, so that a failure comes again.
//! How many of them there are depends on the machine, between two bounds. A longer search is cargo-fuzz's, in `fuzz`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "reads the corpus and measures how long an input takes")]

#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Mutations of every target at the most.
const MUTATIONS: usize = 6_000;
/// Mutations of every target at the least, however slow the machine is.
const LEAST: usize = 500;
/// After so long a target has had enough, if it has had [`LEAST`].
const ENOUGH: Duration = Duration::from_secs(15);
/// JSONata bounds an evaluation to 5 seconds; a target evaluates twice. The rest is for slow machines.
const LONGEST: Duration = Duration::from_secs(60);
const MAX_BYTES: usize = 65_536;

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// What grammars of the targets are made of.
const TOKENS: &[&str] = &[
    "$",
    "$$",
    "..",
    "[*]",
    "[?(@.a)]",
    "[-1]",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "{%",
    "%}",
    "'",
    "\\",
    "\"",
    "States.Format(",
    "null",
    "1e308",
    "-0",
    "9223372036854775808",
    "$states",
    "function($x){$x}",
    "~>",
    "^(",
    "?:",
    ":=",
    "/a/",
    "*",
    "%",
    "\u{0}",
    "\u{10ffff}",
    "é",
    "States.ALL",
    "Next",
];

fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below((bytes.len() - at).min(64) + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.insert(at, u8::try_from(random.below(256)).unwrap()),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let chunk = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, chunk));
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let chunk = other[from..].to_vec();
                drop(bytes.splice(at..end, chunk));
            }
            // Deep and long: the same thing many times.
            5 => {
                let token = TOKENS[random.below(TOKENS.len())].repeat(1 << random.below(14));
                drop(bytes.splice(at..at, token.into_bytes()));
            }
            _ => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].bytes())),
        }
        bytes.truncate(MAX_BYTES);
    }
    bytes
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn search(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    let mut random = Random(7);
    let begin = Instant::now();
    for number in 0..corpus.len() + MUTATIONS {
        let mutations = number.saturating_sub(corpus.len());
        if mutations >= LEAST && begin.elapsed() > ENOUGH {
            println!("{name}: {mutations} of {MUTATIONS} mutations in {:?}", begin.elapsed());
            return;
        }
        let bytes = corpus.get(number).cloned().unwrap_or_else(|| mutated(&corpus, &mut random));
        let start = Instant::now();
        let ended = catch_unwind(|| target(&bytes));
        let shown = || String::from_utf8_lossy(&bytes).chars().take(2_000).collect::<String>();
        assert!(ended.is_ok(), "{name} panics on {:?}", shown());
        assert!(start.elapsed() < LONGEST, "{name} takes {:?} for {:?}", start.elapsed(), shown());
    }
    println!("{name}: {MUTATIONS} mutations in {:?}", begin.elapsed());
}

#[test]
fn definition() {
    search("definition", targets::definition);
}

#[test]
fn input() {
    search("input", targets::input);
}

#[test]
fn path() {
    search("path", targets::path);
}

#[test]
fn intrinsic() {
    search("intrinsic", targets::intrinsic);
}

#[test]
fn jsonata() {
    search("jsonata", targets::jsonata);
}
