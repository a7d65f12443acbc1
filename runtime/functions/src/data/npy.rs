//! NumPy arrays (NumPy, "numpy.lib.format"): a folder with `x.npy`, [samples, features], [samples, height,
//! width] or [samples, channels, height, width], and `y.npy`, whole numbers, [samples]. Little-endian f4, f8,
//! u1, i4 and i8 in C order.

use super::invalid;
use super::source::Stream;
use super::spool::{Element, Samples, Writer};
use std::path::Path;
use stepgrad_contract::FunctionError;

pub(super) fn read(path: &Path) -> Result<Samples, FunctionError> {
    if !path.is_dir() {
        return Err(invalid(format!("{}: a folder with x.npy and y.npy is expected", path.display())));
    }
    let (mut x, mut y) = (Stream::open(&path.join("x.npy"))?, Stream::open(&path.join("y.npy"))?);
    let (inputs, classes) = (Header::read(&mut x)?, Header::read(&mut y)?);
    let (&count, sample) =
        inputs.shape.split_first().ok_or_else(|| x.invalid("the array is a single number"))?;
    if classes.shape != [count] {
        return Err(y.invalid(format!("labels of shape {:?} for {count} samples", classes.shape)));
    }
    let values = sample.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
    let values = values.filter(|values| (1..=1 << 28).contains(values));
    let values = values.ok_or_else(|| x.invalid(format!("samples of shape {sample:?}")))?;
    let size = values * inputs.kind.size() as u64;
    x.expect(size.checked_mul(count))?;
    y.expect(count.checked_mul(classes.kind.size() as u64))?;
    let shape: Vec<i64> = sample.iter().map(|size| i64::try_from(*size).unwrap_or(i64::MAX)).collect();
    let (shape, image) = match shape.as_slice() {
        [_] => (shape, false),
        &[height, width] => (vec![1, height, width], true),
        [_, _, _] => (shape, true),
        _ => return Err(x.invalid(format!("samples of shape {shape:?}: tables and images are read"))),
    };
    let element = if image && inputs.kind == Kind::U1 { Element::U8 } else { Element::F32 };
    let mut spool = Writer::dense(element, shape)?;
    let (mut record, mut label) = (Vec::new(), vec![0; classes.kind.size()]);
    let mut narrowed: Vec<f32> = Vec::new();
    for sample in 0..count {
        x.read(size, &mut record)?;
        y.read_exact(&mut label)?;
        let class = classes.kind.numbers(&label).next().filter(|class| class.fract() == 0.0);
        let class =
            class.ok_or_else(|| y.invalid(format!("the label of sample {sample} is not a whole number")))?;
        let class = format!("{:.0}", class + 0.0);
        if element == Element::U8 {
            spool.push_bytes(&record, &class)?;
            continue;
        }
        narrowed.clear();
        #[expect(clippy::cast_possible_truncation, reason = "models compute in single precision")]
        narrowed.extend(inputs.kind.numbers(&record).map(|value| value as f32));
        // Only now: double precision holds values that single precision does not.
        if narrowed.iter().any(|value| !value.is_finite()) {
            return Err(x.invalid(format!(
                "sample {sample} has a value that is not finite in single precision: fill it in, scale it or drop it"
            )));
        }
        spool.push(narrowed.iter().copied(), &class)?;
    }
    x.end()?;
    y.end()?;
    spool.finish()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    F4,
    F8,
    U1,
    I4,
    I8,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Self::U1 => 1,
            Self::F4 | Self::I4 => 4,
            Self::F8 | Self::I8 => 8,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "what is read ends in single precision")]
    fn numbers(self, bytes: &[u8]) -> Box<dyn Iterator<Item = f64> + '_> {
        let (fours, eights) = (bytes.as_chunks::<4>().0.iter(), bytes.as_chunks::<8>().0.iter());
        match self {
            Self::U1 => Box::new(bytes.iter().map(|value| f64::from(*value))),
            Self::F4 => Box::new(fours.map(|value| f64::from(f32::from_le_bytes(*value)))),
            Self::I4 => Box::new(fours.map(|value| f64::from(i32::from_le_bytes(*value)))),
            Self::F8 => Box::new(eights.map(|value| f64::from_le_bytes(*value))),
            Self::I8 => Box::new(eights.map(|value| i64::from_le_bytes(*value) as f64)),
        }
    }
}

struct Header {
    kind: Kind,
    shape: Vec<u64>,
}

impl Header {
    /// The magic string, the version, the length of the header, and the header: a Python dictionary such as
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn read(stream: &mut Stream) -> Result<Self, FunctionError> {
        let mut magic = [0; 8];
        stream.read_exact(&mut magic)?;
        let [0x93, b'N', b'U', b'M', b'P', b'Y', major, _] = magic else {
            return Err(stream.invalid("not a file of numpy.save"));
        };
        let mut length = [0; 4];
        if major == 1 {
            stream.read_exact(&mut length[..2])?;
        } else {
            stream.read_exact(&mut length)?;
        }
        let length = u32::from_le_bytes(length);
        if length > 1 << 16 {
            return Err(stream.invalid(format!("a header of {length} bytes")));
        }
        let mut header = Vec::new();
        stream.read(u64::from(length), &mut header)?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let value = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
        let kind =
            value("descr").and_then(|text| text.strip_prefix('\'')).and_then(|text| text.split('\'').next());
        let kind = match kind {
            Some("<f4") => Kind::F4,
            Some("<f8") => Kind::F8,
            Some("|u1") => Kind::U1,
            Some("<i4") => Kind::I4,
            Some("<i8") => Kind::I8,
            other => {
                let found = other.unwrap_or("none");
                let what = format!("values of type {found}: save as float32, float64, uint8, int32 or int64");
                return Err(stream.invalid(what));
            }
        };
        if !value("fortran_order").is_some_and(|text| text.starts_with("False")) {
            return Err(stream.invalid("the array is in Fortran order: save numpy.ascontiguousarray of it"));
        }
        let shape =
            value("shape").and_then(|text| text.strip_prefix('(')).and_then(|text| text.split(')').next());
        let sizes = shape.map(|text| {
            text.split(',')
                .map(str::trim)
                .filter(|size| !size.is_empty())
                .map(str::parse)
                .collect::<Result<_, _>>()
        });
        match sizes {
            Some(Ok(shape)) => Ok(Self { kind, shape }),
            _ => Err(stream.invalid("the header has no shape")),
        }
    }
}
