//! The data formats: what is written comes back as batches, what is malformed is refused with the place, and
//! nothing panics.
#![expect(clippy::disallowed_methods, reason = "writes the data that is read")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod driver;

use driver::training;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Write;
use stepgrad_contract::manifest::Transform;
use stepgrad_contract::training::{Data, Format, Partition, Preprocess, Training, Validation};
use stepgrad_contract::{ErrorKind, FunctionError};
use stepgrad_runtime::data::{Batch, Place, Prepared, Root, Sources, prepare};

type Files<'a> = &'a [(&'a str, Vec<u8>)];

fn data(format: Format, source: &str) -> Data {
    Data {
        source: source.to_owned(),
        format,
        validation: None,
        preprocess: Vec::new(),
        partition: Partition::Iid,
        label: None,
        synthetic: None,
    }
}

fn read(data: Data, files: Files<'_>) -> Result<Prepared, FunctionError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let training = Training { data, peers: 2, batch_size: 2, ..training() };
    prepare(&training, &Sources::at(folder.path().to_owned()))
}

fn refused(data: Data, files: Files<'_>) -> String {
    let error = read(data, files).map(|prepared| prepared.manifest).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidData, "{error}");
    error.message
}

/// Every sample that peers hold, as the model sees it, with its class; sorted.
fn samples(prepared: &Prepared) -> Vec<(Vec<f32>, String)> {
    collect(prepared, |place| matches!(place, Place::Shard { .. }))
}

fn collect(prepared: &Prepared, wanted: impl Fn(Place) -> bool) -> Vec<(Vec<f32>, String)> {
    let mut samples = Vec::new();
    for (_, file) in prepared.batches(0).filter(|(place, _)| wanted(*place)) {
        let batch = Batch::load(&file.unwrap(), &prepared.manifest).unwrap();
        let classes = Vec::<i64>::try_from(&batch.y).unwrap();
        for (place, class) in classes.iter().enumerate() {
            let row = Vec::<f32>::try_from(batch.x.get(place as i64).flatten(0, -1)).unwrap();
            samples.push((row, prepared.manifest.classes[*class as usize].clone()));
        }
    }
    samples.sort_by(|one, other| one.partial_cmp(other).unwrap());
    samples
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn expected(rows: &[(&[f32], &str)]) -> Vec<(Vec<f32>, String)> {
    rows.iter().map(|(row, class)| (row.to_vec(), (*class).to_owned())).collect()
}

#[test]
fn idx_plain_and_packed() {
    let images = idx(&[3, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]);
    let labels = idx(&[3], &[7, 3, 7]);
    let rows = expected(&[
        (&[0.0, 1.0, 2.0, 3.0], "7"),
        (&[4.0, 5.0, 6.0, 7.0], "3"),
        (&[8.0, 9.0, 10.0, 255.0], "7"),
    ]);
    for pack in [<[u8]>::to_vec, gzip] {
        let files =
            [("d/train-images-idx3-ubyte", pack(&images)), ("d/train-labels-idx1-ubyte", pack(&labels))];
        for source in ["d", "d/train-images-idx3-ubyte"] {
            let prepared = read(data(Format::Idx, source), &files).unwrap();
            assert_eq!(prepared.manifest.shape, [1, 2, 2]);
            assert_eq!(prepared.manifest.classes, ["3", "7"]);
            assert_eq!(prepared.manifest.shards.iter().map(|shard| shard.samples).sum::<u64>(), 3);
            assert_eq!(samples(&prepared), rows);
        }
    }
    // MNIST's folder has both sets.
    let files = [
        ("d/train-images-idx3-ubyte", images.clone()),
        ("d/train-labels-idx1-ubyte", labels.clone()),
        ("d/t10k-images-idx3-ubyte", idx(&[1, 2, 2], &[9, 9, 9, 9])),
        ("d/t10k-labels-idx1-ubyte", idx(&[1], &[3])),
    ];
    let validation = Some(Validation::Source("d".to_owned()));
    let prepared = read(Data { validation, ..data(Format::Idx, "d") }, &files).unwrap();
    assert_eq!(samples(&prepared), rows);
    let held_out = collect(&prepared, |place| place == Place::Validation { batch: 1 });
    assert_eq!(held_out, expected(&[(&[9.0; 4], "3")]));
}

#[test]
fn idx_that_is_malformed() {
    let refused = |images: Vec<u8>, labels: Vec<u8>| {
        refused(data(Format::Idx, "d"), &[("d/images", images), ("d/labels", labels)])
    };
    let (images, labels) = (idx(&[2, 1, 2], &[1, 2, 3, 4]), idx(&[2], &[0, 1]));
    assert!(
        refused(images[..17].to_vec(), labels.clone()).contains("announces 4 bytes of data and 1 follow")
    );
    assert!(refused(gzip(&images[..17]), labels.clone()).contains("byte 16"));
    assert!(refused([images.clone(), vec![1]].concat(), labels.clone()).contains("5 follow"));
    assert!(refused(gzip(&[images.clone(), vec![1]].concat()), labels.clone()).contains("more data follows"));
    assert!(refused(images.clone(), idx(&[1], &[0])).contains("labels for 2 samples"));
    assert!(refused(idx(&[u32::MAX, u32::MAX, u32::MAX], &[]), idx(&[u32::MAX], &[])).contains("samples of"));
    assert!(refused(gzip(&idx(&[u32::MAX, 1, 1], &[])), gzip(&idx(&[u32::MAX], &[]))).contains("ends"));
    assert!(refused(b"PNG and more".to_vec(), labels.clone()).contains("not the beginning of an IDX file"));
    assert!(refused(gzip(&images)[..20].to_vec(), labels).contains("images"));
    assert!(refused(idx(&[2, 1, 2], &[1, 2, 3, 4]), idx(&[2], &[5, 5])).contains("two classes"));
}

#[test]
fn cifar10() {
    let record = |label: u8, value: u8| [vec![label], vec![value; 3_072]].concat();
    let files = [
        ("c/data_batch_1.bin", [record(3, 1), record(9, 2)].concat()),
        ("c/data_batch_2.bin", gzip(&record(3, 5))),
        ("c/test_batch.bin", record(0, 7)),
    ];
    let validation = Some(Validation::Source("c".to_owned()));
    let prepared = read(Data { validation, ..data(Format::Cifar10, "c") }, &files).unwrap();
    assert_eq!(prepared.manifest.shape, [3, 32, 32]);
    assert_eq!(prepared.manifest.classes.len(), 10);
    let first: Vec<_> =
        samples(&prepared).into_iter().map(|(row, class)| (row[0], row.len(), class)).collect();
    assert_eq!(
        first,
        [(1.0, 3_072, "3".to_owned()), (2.0, 3_072, "9".to_owned()), (5.0, 3_072, "3".to_owned())]
    );
    assert_eq!(prepared.manifest.validation.samples, 1);

    let refused = |bytes: Vec<u8>| refused(data(Format::Cifar10, "x.bin"), &[("x.bin", bytes)]);
    assert!(refused(record(1, 1)[..3_000].to_vec()).contains("3073"));
    assert!(refused(gzip(&record(1, 1)[..3_000])).contains("ends"));
    assert!(refused(record(10, 1)).contains("label 10"));
    assert!(refused(Vec::new()).contains("no samples"));
}

#[test]
fn csv() {
    let text = "a,label,b\n1.5,yes,-2\n3,no,4e2\n\"5\" , yes ,6\n";
    let rows = expected(&[(&[1.5, -2.0], "yes"), (&[3.0, 400.0], "no"), (&[5.0, 6.0], "yes")]);
    for bytes in [text.as_bytes().to_vec(), gzip(text.as_bytes()), text.replace('\n', "\r\n").into_bytes()] {
        let prepared = read(data(Format::Csv, "t.csv"), &[("t.csv", bytes)]).unwrap();
        assert_eq!((prepared.manifest.shape.as_slice(), samples(&prepared)), (&[2_i64][..], rows.clone()));
        assert_eq!(prepared.manifest.classes, ["no", "yes"]);
    }
    let numbers = "x,kind\n1,10\n2,9\n3,-1\n";
    let named = Data { label: Some("kind".to_owned()), ..data(Format::Csv, "t.csv") };
    let prepared = read(named, &[("t.csv", numbers.into())]).unwrap();
    assert_eq!(prepared.manifest.classes, ["-1", "9", "10"], "sorted as numbers");

    let refused = |text: &str| refused(data(Format::Csv, "t.csv"), &[("t.csv", text.as_bytes().to_vec())]);
    assert!(refused("a,b\n1,2\n").contains("data.label"));
    assert!(refused("a,label\n1,x\ntwo,y\n").contains("t.csv:3: \"two\" in column a"));
    assert!(refused("a,label\n1,x\nNaN,y\n").contains("not a finite number"));
    assert!(refused("a,label\n1,x\n1e39,y\n").contains("not a finite number"));
    assert!(refused("a,label\n1,x\n1,2,3\n").contains("t.csv:3"));
    assert!(refused("a,label\n1,\n").contains("empty"));
    assert!(refused("label\nx\n").contains("no column"));
    assert!(refused("").contains("0 columns"));
}

#[test]
fn csv_labels_with_more_digits_than_a_float() {
    let table =
        "a,label\n1,9007199254740992\n2,9007199254740993\n3,+09007199254740993\n4,-9007199254740993\n";
    let prepared = read(data(Format::Csv, "t.csv"), &[("t.csv", table.into())]).unwrap();
    let classes = ["-9007199254740993", "9007199254740992", "9007199254740993"];
    assert_eq!(prepared.manifest.classes, classes);
}

#[test]
fn csv_labels_that_are_numbers() {
    let table = "a,label\n1,1\n2,1.0\n3,+1e0\n4,0\n5,-0\n6,2.50\n";
    let prepared = read(data(Format::Csv, "t.csv"), &[("t.csv", table.into())]).unwrap();
    assert_eq!(prepared.manifest.classes, ["0", "1", "2.5"]);

    // As many classes as the samples have values of a measurement.
    let rows = |classes: usize, samples: usize| -> Vec<u8> {
        let rows: String = (0..samples).map(|row| format!("{row},{}.5\n", row % classes)).collect();
        format!("a,label\n{rows}").into_bytes()
    };
    let continuous = refused(data(Format::Csv, "t.csv"), &[("t.csv", rows(21, 41))]);
    assert!(continuous.contains("21 different values in 41 samples"), "{continuous}");
    for (classes, samples) in [(21, 42), (20, 20)] {
        let prepared = read(data(Format::Csv, "t.csv"), &[("t.csv", rows(classes, samples))]).unwrap();
        assert_eq!(prepared.manifest.classes.len(), classes);
    }
}

#[test]
fn constants_that_single_precision_does_not_hold_are_refused() {
    for (step, low, high) in [
        (Preprocess::MinMax, "1e-45", "0"),
        (Preprocess::MinMax, "-3e38", "3e38"),
        (Preprocess::Standardize, "1e-45", "0"),
    ] {
        let one = Data { preprocess: vec![step], ..data(Format::Csv, "t.csv") };
        let table = format!("a,b,label\n1,{low},x\n2,{high},y\n");
        let message = refused(one, &[("t.csv", table.into_bytes())]);
        assert!(message.contains("feature or channel 1") && message.contains("data.preprocess"), "{message}");
    }
}

#[test]
fn libsvm_dense_and_sparse() {
    let text = "+1 1:0.5 3:-2 # first\n\n-1 2:7\n1.0\n-1 1:1 2:2 3:3\n";
    let rows = expected(&[
        (&[0.0, 0.0, 0.0], "1"),
        (&[0.0, 7.0, 0.0], "-1"),
        (&[0.5, 0.0, -2.0], "1"),
        (&[1.0, 2.0, 3.0], "-1"),
    ]);
    let prepared = read(data(Format::Libsvm, "t"), &[("t", text.into())]).unwrap();
    assert_eq!(samples(&prepared), rows);
    assert_eq!(prepared.manifest.classes, ["-1", "1"]);
    let (_, file) = prepared.batches(0).next().unwrap();
    assert!(file.unwrap().tensors.contains_key("x"), "half of the values are there");

    // Few values of many: batches stay sparse, preprocessing sees the zeros.
    let sparse = "1 100:4\n-1 1:2\n1 50:1\n-1 100:-4\n";
    for preprocess in [
        vec![],
        vec![Preprocess::MinMax],
        vec![Preprocess::Standardize],
        vec![Preprocess::MinMax, Preprocess::Standardize],
    ] {
        let dense: String = sparse
            .lines()
            .map(|line| {
                let (label, entry) = line.split_once(' ').unwrap();
                let (index, value) = entry.split_once(':').unwrap();
                let row: Vec<_> =
                    (1..=100).map(|place| if place.to_string() == index { value } else { "0" }).collect();
                format!("{label},{}\n", row.join(","))
            })
            .collect();
        let header: Vec<_> = (1..=100).map(|place| format!("f{place}")).collect();
        let table = format!("label,{}\n{dense}", header.join(","));
        let one = Data { preprocess: preprocess.clone(), ..data(Format::Libsvm, "t") };
        let one = read(one, &[("t", gzip(sparse.as_bytes()))]).unwrap();
        let (_, file) = one.batches(0).next().unwrap();
        assert!(file.unwrap().tensors.contains_key("indptr"));
        let other =
            read(Data { preprocess, ..data(Format::Csv, "t") }, &[("t", table.into_bytes())]).unwrap();
        assert_eq!(samples(&one), samples(&other));
        assert_eq!(one.manifest, other.manifest);
    }

    // A held-out set with an index that training has not.
    let validation = Some(Validation::Source("v".to_owned()));
    let files = [("t", text.into()), ("v", "1 5:1\n".into())];
    let prepared = read(Data { validation, ..data(Format::Libsvm, "t") }, &files).unwrap();
    assert_eq!(prepared.manifest.shape, [5]);

    let refused = |text: &str| refused(data(Format::Libsvm, "t"), &[("t", text.as_bytes().to_vec())]);
    assert!(refused("1 1:2\n1 2:3 2:4\n").contains("t:2: index 2 after 2"));
    assert!(refused("1 0:2\n").contains("ascend from 1"));
    assert!(refused("1 4294967295:2\n").contains("at most"));
    assert!(refused("1 x:2\n").contains("index:value"));
    assert!(refused("1 1:inf\n").contains("finite"));
    assert!(refused("1 1:1e39\n").contains("finite"));
    assert!(refused("a 1:2\n").contains("label \"a\""));
    assert!(refused("1.5 1:2\n").contains("whole number"));
    assert!(refused("\u{0}\u{1}\n").contains("t:1"));
}

fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), values].concat()
}

#[test]
fn npy_of_every_type() {
    let numbers = [1.0, -2.0, 3.0, 0.0, 5.0, 6.0];
    let f4 = |value: &f64| (*value as f32).to_le_bytes().to_vec();
    let f8 = |value: &f64| value.to_le_bytes().to_vec();
    let i4 = |value: &f64| (*value as i32).to_le_bytes().to_vec();
    let i8 = |value: &f64| (*value as i64).to_le_bytes().to_vec();
    type Encode<'a> = &'a dyn Fn(&f64) -> Vec<u8>;
    let kinds: [(&str, Encode<'_>); 4] = [("<f4", &f4), ("<f8", &f8), ("<i4", &i4), ("<i8", &i8)];
    for (kind, encode) in kinds {
        let x = npy(kind, "3, 2", &numbers.iter().flat_map(encode).collect::<Vec<_>>());
        let y = npy(kind, "3,", &[4.0, -1.0, 4.0].iter().flat_map(encode).collect::<Vec<_>>());
        let prepared = read(data(Format::Npy, "a"), &[("a/x.npy", x), ("a/y.npy", gzip(&y))]).unwrap();
        let rows = expected(&[(&[1.0, -2.0], "4"), (&[3.0, 0.0], "-1"), (&[5.0, 6.0], "4")]);
        assert_eq!(samples(&prepared), rows, "{kind}");
    }
    let x = npy("|u1", "2, 3, 1, 2", &(0..12).collect::<Vec<u8>>());
    let y = npy("|u1", "2,", &[0, 1]);
    let prepared = read(data(Format::Npy, "a"), &[("a/x.npy", x), ("a/y.npy", y)]).unwrap();
    assert_eq!(prepared.manifest.shape, [3, 1, 2]);
    assert_eq!(samples(&prepared)[1].0, [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);

    let refused = |x: Vec<u8>| {
        refused(data(Format::Npy, "a"), &[("a/x.npy", x), ("a/y.npy", npy("|u1", "2,", &[0, 1]))])
    };
    assert!(refused(npy("<f4", "2, 2", &[0; 15])).contains("announces 16 bytes of data and 15 follow"));
    assert!(refused(npy("<f4", "2, 99999999999999999999", &[])).contains("no shape"));
    assert!(refused(npy("<f4", "2, 9999999999999", &[])).contains("samples of shape"));
    assert!(refused(npy("<f4", "18446744073709551615, 2", &[])).contains("labels of shape"));
    assert!(refused(npy("<c8", "2, 1", &[0; 16])).contains("<c8"));
    assert!(refused(npy("<f4", "2, 1", &[0, 0, 0, 0, 0, 0, 0xc0, 0x7f])).contains("not finite"));
    let large = [1.0_f64, 1e39].map(f64::to_le_bytes).concat();
    assert!(refused(npy("<f8", "2, 1", &large)).contains("not finite in single precision"));
    assert!(refused(npy("<f4", "", &[0; 4])).contains("single number"));
    assert!(refused(b"hello, world".to_vec()).contains("numpy.save"));
}

#[test]
fn the_held_out_share_is_no_ones_and_constants_are_the_trainings() {
    let rows: String = (0..100).map(|place| format!("{place},{}\n", place % 2)).collect();
    let table = Data {
        validation: Some(Validation::Share(0.25)),
        preprocess: vec![Preprocess::MinMax],
        ..data(Format::Csv, "t")
    };
    let prepared = read(table.clone(), &[("t", format!("x,label\n{rows}").into_bytes())]).unwrap();
    let [Transform::Affine { shift, scale }] = prepared.manifest.transforms.as_slice() else { panic!() };
    let raw = |rows: Vec<(Vec<f32>, String)>| -> Vec<i64> {
        rows.iter().map(|(row, _)| (f64::from(row[0]) / scale[0] + shift[0]).round() as i64).collect()
    };
    let (training, held_out) =
        (raw(samples(&prepared)), raw(collect(&prepared, |place| matches!(place, Place::Validation { .. }))));
    assert_eq!((training.len(), held_out.len()), (75, 25));
    let mut all = [training.clone(), held_out].concat();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert_eq!(shift[0], training[0] as f64);
    assert!((1.0 / scale[0] - (training[74] - training[0]) as f64).abs() < 1e-9);
    for share in [0.0, 1.0, 0.001, f64::NAN] {
        let validation = Some(Validation::Share(share));
        let message =
            refused(Data { validation, ..table.clone() }, &[("t", format!("x,label\n{rows}").into_bytes())]);
        assert!(message.contains("data.validation"), "{message}");
    }
    let validation = Some(Validation::Source("v".to_owned()));
    let files = [("t", format!("x,label\n{rows}").into_bytes()), ("v", b"x,label\n1,7\n".to_vec())];
    assert!(refused(Data { validation, ..table }, &files).contains("class 7"));
}

#[test]
fn preprocessing_of_images_is_by_image_and_by_channel() {
    // Two samples of two channels of 1×2.
    let x = npy("|u1", "2, 2, 1, 2", &[0, 2, 10, 20, 4, 6, 30, 40]);
    let y = npy("|u1", "2,", &[0, 1]);
    let files = [("a/x.npy", x), ("a/y.npy", y)];
    let with = |preprocess| Data { preprocess, ..data(Format::Npy, "a") };
    let min_max = read(with(vec![Preprocess::MinMax]), &files).unwrap();
    assert_eq!(
        min_max.manifest.transforms,
        [Transform::Affine { shift: vec![0.0], scale: vec![1.0 / 40.0] }]
    );
    let standardize = read(with(vec![Preprocess::Standardize]), &files).unwrap();
    let [Transform::Affine { shift, scale }] = standardize.manifest.transforms.as_slice() else { panic!() };
    assert_eq!(shift.as_slice(), [3.0, 25.0]);
    assert_eq!(scale.as_slice(), [1.0 / 5_f64.sqrt(), 1.0 / 125_f64.sqrt()]);
    let normalize = read(with(vec![Preprocess::Normalize]), &files).unwrap();
    for (row, _) in samples(&normalize) {
        assert!((row.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn missing_sources_are_named() {
    assert!(refused(data(Format::Csv, "nowhere.csv"), &[]).contains("nowhere.csv: there is no such file"));
    assert!(refused(data(Format::Csv, "s3://bucket/x.csv"), &[]).contains("s3:// is not built yet"));
    let error = Root::open("gs://bucket/data", |_| None).unwrap_err();
    assert!(
        error.message.contains("no data over gs://: use file:///folder or s3://bucket/prefix"),
        "{error}"
    );
    assert!(
        refused(data(Format::Idx, "d"), &[("d/readme", Vec::new())]).contains("0 files are named for images")
    );
    assert!(refused(data(Format::Npy, "d"), &[("d/x.npy", Vec::new())]).contains("y.npy"));
    assert!(refused(data(Format::Synthetic, ""), &[]).contains("data.synthetic"));
}

/// Valid files of every format.
fn valid(format: Format) -> Vec<(&'static str, Vec<u8>)> {
    match format {
        Format::Idx => {
            vec![("d/images", idx(&[3, 1, 2], &[1, 2, 3, 4, 5, 6])), ("d/labels", idx(&[3], &[0, 1, 0]))]
        }
        Format::Cifar10 => {
            vec![("d/data_batch_1.bin", [vec![1], vec![7; 3_072], vec![2], vec![9; 3_072]].concat())]
        }
        Format::Csv => vec![("d", b"a,label\n1,x\n2,y\n3,x\n".to_vec())],
        Format::Libsvm => vec![("d", b"1 1:2 3:4\n-1 2:1e3\n1 1:5\n".to_vec())],
        _ => vec![
            ("d/x.npy", npy("<f4", "3, 1", &[0; 12])),
            ("d/y.npy", npy("<i4", "3,", &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])),
        ],
    }
}

const FORMATS: [Format; 5] = [Format::Idx, Format::Cifar10, Format::Csv, Format::Libsvm, Format::Npy];

/// Reads files and takes every batch; only errors of the data are errors.
fn take_all(format: Format, files: Files<'_>) {
    match read(data(format, "d"), files) {
        Ok(prepared) => prepared.batches(0).for_each(|(_, file)| {
            Batch::load(&file.unwrap(), &prepared.manifest).unwrap();
        }),
        Err(error) => assert_eq!(error.kind, ErrorKind::InvalidData, "{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        ..ProptestConfig::with_cases(512)
    })]

    #[test]
    fn garbage_never_panics(which in 0_usize..5, bytes in proptest::collection::vec(any::<u8>(), 0..400), packed in any::<bool>()) {
        let format = FORMATS[which];
        let mut files: BTreeMap<&str, Vec<u8>> = valid(format).into_iter().collect();
        let name = *files.keys().next().unwrap();
        files.insert(name, if packed { gzip(&bytes) } else { bytes });
        take_all(format, &files.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn damaged_files_never_panic(which in 0_usize..5, place in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        let format = FORMATS[which];
        let mut files = valid(format);
        let chosen = place % files.len();
        let bytes = &mut files[chosen].1;
        let place = place % bytes.len();
        if cut { bytes.truncate(place) } else { bytes[place] = byte }
        take_all(format, &files);
    }
}
