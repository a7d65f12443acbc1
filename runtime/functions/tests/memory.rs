//! A training set larger than memory is not loaded whole. Alone in its process: the peak of memory is the
//! process's.
#![expect(clippy::disallowed_methods, reason = "writes the data that is read and looks at the process")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod driver;

use driver::training;
use std::io::{Seek, SeekFrom, Write};
use stepgrad_contract::training::{Data, Format, Partition, Preprocess, Training, Validation};
use stepgrad_runtime::data::{Sources, prepare};

const SAMPLES: u64 = 300_000;

/// The most memory that the process has held, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

#[test]
fn images_of_300_megabytes_take_a_tenth_of_that() {
    let folder = tempfile::tempdir().unwrap();
    let header = |shape: &str| {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}\n");
        [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat()
    };
    let mut x = std::fs::File::create(folder.path().join("x.npy")).unwrap();
    x.write_all(&header(&format!("{SAMPLES}, 1, 32, 32"))).unwrap();
    // A hole: the file takes no room on the disk.
    let start = x.stream_position().unwrap();
    x.set_len(start + SAMPLES * 1_024).unwrap();
    x.seek(SeekFrom::End(-1)).unwrap();
    x.write_all(&[255]).unwrap();
    let labels: Vec<u8> = (0..SAMPLES).map(|sample| (sample % 2) as u8).collect();
    std::fs::write(folder.path().join("y.npy"), [header(&format!("{SAMPLES},")), labels].concat()).unwrap();

    let before = peak();
    let data = Data {
        source: String::new(),
        format: Format::Npy,
        validation: Some(Validation::Share(0.1)),
        preprocess: vec![Preprocess::MinMax],
        partition: Partition::Iid,
        label: None,
        synthetic: None,
    };
    let training = Training { data, batch_size: 256, ..training() };
    let prepared = prepare(&training, &Sources::at(folder.path().to_owned())).unwrap();
    let samples: u64 = prepared.batches(0).map(|(_, file)| file.unwrap().sums.samples).sum();
    assert_eq!(samples, SAMPLES);
    let grown = peak() - before;
    assert!(grown < SAMPLES * 1_024 / 10, "{} MB", grown / 1_000_000);
}
