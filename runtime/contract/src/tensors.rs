//! Tensor files: safetensors whose metadata carries the sample count, the sums of the loss, and a checksum.
//!
//! The header is written here and not by the safetensors crate, whose metadata is a hash map and would give
//! other bytes from run to run; files are read back by the crate, which checks every offset.

use crate::digest::sha256_of_parts;
use crate::error::{ErrorKind, FunctionError};
use crate::progress::Sums;
use bytes::Bytes;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dtype {
    /// Unsigned bytes.
    U8,
    /// 64-bit integers.
    I64,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Dtype {
    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::U8 => "U8",
            Self::I64 => "I64",
            Self::F32 => "F32",
            Self::F64 => "F64",
        }
    }
}

/// One tensor: row-major, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The type of the elements.
    pub dtype: Dtype,
    /// The shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// `product(shape) × dtype.size()` bytes. Of a file that was read, a part of that file's bytes, which
    /// stay in memory until the last of its tensors is dropped.
    pub data: Bytes,
}

impl Tensor {
    /// A single-precision tensor; `values` in row-major order.
    #[must_use]
    pub fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        Self { dtype: Dtype::F32, shape, data: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }

    /// A tensor of 64-bit integers; `values` in row-major order.
    #[must_use]
    pub fn i64(shape: Vec<usize>, values: &[i64]) -> Self {
        Self { dtype: Dtype::I64, shape, data: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }

    /// The elements of an `F32` tensor, in order; `None` for another type.
    #[must_use]
    pub fn as_f32(&self) -> Option<Vec<f32>> {
        (self.dtype == Dtype::F32).then(|| {
            let (values, _) = self.data.as_chunks::<4>();
            values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        })
    }

    /// Whether all elements are finite numbers.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        match self.dtype {
            Dtype::U8 | Dtype::I64 => true,
            Dtype::F32 => {
                self.data.as_chunks::<4>().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite())
            }
            Dtype::F64 => {
                self.data.as_chunks::<8>().0.iter().all(|bytes| f64::from_le_bytes(*bytes).is_finite())
            }
        }
    }

    /// The elements of an `I64` tensor, in order; `None` for another type.
    #[must_use]
    pub fn as_i64(&self) -> Option<Vec<i64>> {
        (self.dtype == Dtype::I64).then(|| {
            let (values, _) = self.data.as_chunks::<8>();
            values.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
        })
    }
}

/// A tensor file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorFile {
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// What the tensors are an average over; zero where that has no meaning (a replica).
    pub sums: Sums,
}

const FORMAT: &str = "stepgrad/1";
/// The metadata's key for what the file is.
const OBJECT: &str = "object";

/// Bytes of the length that a file begins with.
pub const LENGTH: u64 = 8;
/// Bytes of a header at the most; the largest model's has 100 kB.
const HEADER: u64 = 1 << 24;

/// The size of the header from the first [`LENGTH`] bytes of a file; the header follows them.
///
/// # Errors
/// [`ErrorKind::ChecksumMismatch`] where they are no length, or one that no header has.
pub fn header_size(length: &[u8]) -> Result<u64, FunctionError> {
    let size = length.try_into().map(u64::from_le_bytes);
    size.ok().filter(|size| *size <= HEADER).ok_or_else(|| damaged("it does not begin with a header"))
}

fn damaged(what: impl Into<String>) -> FunctionError {
    FunctionError::new(ErrorKind::ChecksumMismatch, what)
}

fn is_object(expected: Option<&str>, found: Option<&str>) -> Result<(), FunctionError> {
    match expected {
        Some(expected) if found != Some(expected) => Err(FunctionError::new(
            ErrorKind::StaleObject,
            format!("it is {} and not {expected}", found.unwrap_or("a file of another run's layout")),
        )),
        _ => Ok(()),
    }
}

fn sums(texts: &impl Fn(&str) -> Option<String>) -> Result<Sums, FunctionError> {
    let text = |key: &str| texts(key).ok_or_else(|| damaged(format!("no {key} in the metadata")));
    let number = |key: &str| text(key)?.parse().map_err(|_| damaged(format!("{key} is not a count")));
    Ok(Sums {
        samples: number("samples")?,
        correct: number("correct")?,
        loss: text("loss")?.parse().map_err(|_| damaged("loss is not a number"))?,
    })
}

impl TensorFile {
    /// The file's bytes; the same for the same content. A copy: what is large is written by its
    /// [`TensorFile::parts`].
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.parts().concat().into()
    }

    /// The file's bytes in parts that follow each other: the header, and each tensor's own, not copied.
    #[must_use]
    pub fn parts(&self) -> Vec<Bytes> {
        self.parts_as(None)
    }

    /// The file's bytes in parts, with what the file is (see [`crate::keys::identity`]).
    #[must_use]
    pub fn parts_as(&self, object: Option<&str>) -> Vec<Bytes> {
        let mut metadata = BTreeMap::from([
            ("correct", self.sums.correct.to_string()),
            ("format", FORMAT.to_owned()),
            ("loss", float(self.sums.loss)),
            ("samples", self.sums.samples.to_string()),
        ]);
        if let Some(object) = object {
            metadata.insert(OBJECT, object.to_owned());
        }
        let unsigned = self.header(&metadata);
        let checksum = sha256_of_parts(
            [unsigned.as_bytes()].into_iter().chain(self.tensors.values().map(|tensor| &*tensor.data)),
        );
        metadata.insert("checksum", checksum);
        let header = self.signed(&metadata);
        let tensors = self.tensors.values().map(|tensor| tensor.data.clone());
        std::iter::once(Bytes::from(header)).chain(tensors).collect()
    }

    /// Reads a file and checks its checksum. The tensors are parts of `bytes`, not copied.
    ///
    /// # Errors
    /// [`ErrorKind::ChecksumMismatch`] where the bytes are torn, cut or altered.
    pub fn decode(bytes: &Bytes) -> Result<Self, FunctionError> {
        Ok(Self::decode_with(bytes)?.0)
    }

    /// Reads a file that has to be `object` (see [`crate::keys::identity`]); anything where that is `None`.
    ///
    /// # Errors
    /// As [`TensorFile::decode`]; [`ErrorKind::StaleObject`] where it is another one.
    pub fn decode_as(bytes: &Bytes, object: Option<&str>) -> Result<Self, FunctionError> {
        let (file, found) = Self::decode_with(bytes)?;
        is_object(object, found.as_deref())?;
        Ok(file)
    }

    /// The file, and what it says that it is.
    fn decode_with(bytes: &Bytes) -> Result<(Self, Option<String>), FunctionError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|error| damaged(format!("not a whole tensor file: {error}")))?;
        let views = SafeTensors::deserialize(bytes)
            .map_err(|error| damaged(format!("not a whole tensor file: {error}")))?;
        let texts = metadata.metadata().clone().unwrap_or_default();
        let text =
            |key: &str| texts.get(key).cloned().ok_or_else(|| damaged(format!("no {key} in the metadata")));
        let mut file = Self::default();
        for name in views.names() {
            let view = views.tensor(name).map_err(|error| damaged(error.to_string()))?;
            let dtype = match view.dtype() {
                safetensors::Dtype::U8 => Dtype::U8,
                safetensors::Dtype::I64 => Dtype::I64,
                safetensors::Dtype::F32 => Dtype::F32,
                safetensors::Dtype::F64 => Dtype::F64,
                other => return Err(damaged(format!("tensor {name} has elements of type {other:?}"))),
            };
            let tensor = Tensor { dtype, shape: view.shape().to_vec(), data: bytes.slice_ref(view.data()) };
            file.tensors.insert(name.to_owned(), tensor);
        }
        file.sums = sums(&|key| texts.get(key).cloned())?;
        let mut metadata = BTreeMap::from([
            ("correct", text("correct")?),
            ("format", text("format")?),
            ("loss", text("loss")?),
            ("samples", text("samples")?),
        ]);
        let object = texts.get(OBJECT).cloned();
        if let Some(object) = &object {
            metadata.insert(OBJECT, object.clone());
        }
        let unsigned = file.header(&metadata);
        let found = sha256_of_parts(
            [unsigned.as_bytes()].into_iter().chain(file.tensors.values().map(|tensor| &*tensor.data)),
        );
        let expected = text("checksum")?;
        if found != expected {
            return Err(damaged(format!("checksum {found} is not the file's own {expected}")));
        }
        metadata.insert("checksum", expected);
        // White space too: whoever makes the file again would otherwise find an intact one with other bytes.
        if !bytes.starts_with(&file.signed(&metadata)) {
            return Err(damaged("the header is written in another way".to_owned()));
        }
        Ok((file, object))
    }

    /// The sums from a file's header (see [`header_size`]) alone: for a file whose checksum another step has
    /// verified.
    ///
    /// # Errors
    /// [`ErrorKind::ChecksumMismatch`] where it is no such header, [`ErrorKind::StaleObject`] where it is another
    /// file's than `object`'s.
    pub fn sums_of_header(header: &[u8], object: Option<&str>) -> Result<Sums, FunctionError> {
        #[derive(Deserialize)]
        struct Header {
            #[serde(rename = "__metadata__")]
            metadata: BTreeMap<String, String>,
        }
        let Header { metadata } = serde_json::from_slice(header)
            .map_err(|error| damaged(format!("not the header of a tensor file: {error}")))?;
        is_object(object, metadata.get(OBJECT).map(String::as_str))?;
        sums(&|key| metadata.get(key).cloned())
    }

    /// The header behind its length, as it stands in the file.
    fn signed(&self, metadata: &BTreeMap<&str, String>) -> Vec<u8> {
        let mut header = self.header(metadata).into_bytes();
        // The format asks for tensors aligned to eight bytes; trailing spaces are its padding.
        header.resize(header.len().next_multiple_of(8), b' ');
        header.splice(..0, (header.len() as u64).to_le_bytes());
        header
    }

    fn header(&self, metadata: &BTreeMap<&str, String>) -> String {
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".to_owned(), serde_json::json!(metadata));
        let mut offset = 0;
        for (name, tensor) in &self.tensors {
            let end = offset + tensor.data.len();
            let entry = serde_json::json!({
                "dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [offset, end],
            });
            header.insert(name.clone(), entry);
            offset = end;
        }
        serde_json::Value::Object(header).to_string()
    }
}

/// A float that parses back to the same bits; JSON would refuse infinities and NaN.
fn float(value: f64) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::{Tensor, TensorFile};
    use crate::error::ErrorKind;
    use crate::progress::Sums;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn file() -> TensorFile {
        TensorFile {
            tensors: BTreeMap::from([
                (
                    "linear.weight".to_owned(),
                    Tensor::f32(vec![2, 3], &[1.0, -2.5, 0.0, f32::MIN_POSITIVE, 4.0, 5.0]),
                ),
                ("count".to_owned(), Tensor::i64(vec![], &[7])),
            ]),
            sums: Sums { samples: 32, loss: 0.1 + 0.2, correct: 30 },
        }
    }

    #[test]
    fn finite_is_what_all_elements_are() {
        assert!(file().tensors.values().all(Tensor::is_finite));
        assert!(!Tensor::f32(vec![2], &[0.0, f32::NAN]).is_finite());
        assert!(!Tensor::f32(vec![1], &[f32::INFINITY]).is_finite());
    }

    #[test]
    fn a_file_comes_back_as_it_was() {
        let bytes = file().encode();
        assert_eq!(bytes, file().encode());
        assert_eq!(TensorFile::decode(&bytes).unwrap(), file());
        let size = super::header_size(&bytes[..8]).unwrap() as usize;
        assert_eq!(TensorFile::sums_of_header(&bytes[8..8 + size], None).unwrap(), file().sums);
        assert_eq!(
            TensorFile::sums_of_header(&bytes[8..7 + size / 2], None).unwrap_err().kind,
            ErrorKind::ChecksumMismatch
        );
        let empty = TensorFile::default();
        assert_eq!(TensorFile::decode(&empty.encode()).unwrap(), empty);
    }

    #[test]
    fn a_file_in_anothers_place_is_noticed() {
        let bytes = file().parts_as(Some("round-000002/replica")).concat().into();
        assert_eq!(TensorFile::decode(&bytes).unwrap(), file());
        assert_eq!(TensorFile::decode_as(&bytes, Some("round-000002/replica")).unwrap(), file());
        let stale = TensorFile::decode_as(&bytes, Some("round-000003/replica")).unwrap_err();
        assert_eq!(stale.kind, ErrorKind::StaleObject);
        let unnamed = TensorFile::decode_as(&file().encode(), Some("round-000003/replica"));
        assert_eq!(unnamed.unwrap_err().kind, ErrorKind::StaleObject);
        let header = &bytes[8..8 + super::header_size(&bytes[..8]).unwrap() as usize];
        assert!(TensorFile::sums_of_header(header, Some("round-000002/replica")).is_ok());
        assert!(TensorFile::sums_of_header(header, Some("round-000003/replica")).is_err());
    }

    proptest! {
        #[test]
        fn any_changed_or_missing_byte_is_noticed(place in 0_usize..10_000, flip in 1_u8.., cut in any::<bool>()) {
            let mut bytes = file().encode().to_vec();
            let place = place % bytes.len();
            if cut {
                bytes.truncate(place);
            } else {
                bytes[place] ^= flip;
            }
            let Err(error) = TensorFile::decode(&bytes.into()) else {
                return Err(TestCaseError::fail(format!("byte {place} changed unnoticed")));
            };
            prop_assert_eq!(error.kind, ErrorKind::ChecksumMismatch);
        }

        #[test]
        fn other_white_space_is_noticed(digits in 0_u32..8) {
            let sums = Sums { samples: 10_u64.pow(digits), ..file().sums };
            let mut bytes = TensorFile { sums, ..file() }.encode().to_vec();
            if let Some(padding) = bytes.windows(2).position(|pair| pair == b"} ") {
                bytes[padding + 1] = b'\t';
                prop_assert!(TensorFile::decode(&bytes.into()).is_err());
            }
        }

        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(TensorFile::decode(&bytes.into()).is_err());
        }
    }
}
