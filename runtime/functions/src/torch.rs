//! The bridge to libtorch: tensor files to tensors and back, and computation that gives the same bits each
//! time. What is computed stands elsewhere.

use std::sync::{Mutex, Once, PoisonError};
use stepgrad_contract::tensors::{Dtype, Tensor as Stored};
use stepgrad_contract::{ErrorKind, FunctionError};
use tch::{Kind, TchError, Tensor};

/// Elements of a slice, where large tensors are worked on by slices so that nothing as large stands beside them.
pub const SLICE: i64 = 1 << 21;

/// Runs `work` on one thread with libtorch's generator at `seed`.
///
/// Gradients are the same from run to run only at one thread count, and the generator belongs to the whole
/// process: computations in it take turns.
pub fn deterministic<T>(seed: i64, work: impl FnOnce() -> T) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    one_thread();
    tch::manual_seed(seed);
    work()
}

/// Keeps libtorch to the calling thread.
pub fn one_thread() {
    static INTEROP: Once = Once::new();
    // libtorch refuses a second call.
    INTEROP.call_once(|| tch::set_num_interop_threads(1));
    tch::set_num_threads(1);
}

/// The error of a model that libtorch cannot compute; `what` says what was tried.
pub fn invalid_model(what: impl Into<String>) -> impl FnOnce(TchError) -> FunctionError {
    let what = what.into();
    move |error| FunctionError::new(ErrorKind::InvalidModel, format!("{what}: {}", first_line(&error)))
}

/// The first line of libtorch's message; a C++ stack trace follows it.
#[must_use]
pub fn first_line(error: &TchError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// A tensor of a file as libtorch's, copied.
///
/// # Errors
/// [`ErrorKind::InvalidModel`] where its bytes are not what its shape needs.
pub fn load(name: &str, stored: &Stored) -> Result<Tensor, FunctionError> {
    let (kind, shape) = form(name, stored)?;
    Tensor::f_from_data_size(&stored.data, &shape, kind)
        .map_err(invalid_model(format!("cannot load tensor {name}")))
}

/// Copies a tensor of a file into one of libtorch's, a slice at a time: beside the two there is no third.
///
/// # Errors
/// [`ErrorKind::InvalidModel`] where shape or type are not the same.
pub fn load_into(name: &str, stored: &Stored, tensor: &Tensor) -> Result<(), FunctionError> {
    let (kind, shape) = form(name, stored)?;
    if tensor.size() != shape || tensor.f_kind().ok() != Some(kind) {
        let message = format!("tensor {name} has another shape or type: the file is of another model");
        return Err(FunctionError::new(ErrorKind::InvalidModel, message));
    }
    let copy = || -> Result<(), TchError> {
        if !tensor.is_contiguous() {
            return tensor.f_detach()?.f_copy_(&Tensor::f_from_data_size(&stored.data, &shape, kind)?);
        }
        let (flat, mut start) = (tensor.f_detach()?.f_view([-1])?, 0);
        for slice in stored.data.chunks(SLICE as usize * stored.dtype.size()) {
            let length = (slice.len() / stored.dtype.size()) as i64;
            flat.f_narrow(0, start, length)?.f_copy_(&Tensor::f_from_data_size(slice, &[length], kind)?)?;
            start += length;
        }
        Ok(())
    };
    tch::no_grad(copy).map_err(invalid_model(format!("cannot load tensor {name}")))
}

/// The type and shape of a file's tensor, checked against its bytes.
fn form(name: &str, stored: &Stored) -> Result<(Kind, Vec<i64>), FunctionError> {
    let kind = match stored.dtype {
        Dtype::U8 => Kind::Uint8,
        Dtype::I64 => Kind::Int64,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
    };
    let misfit = || {
        FunctionError::new(ErrorKind::InvalidModel, format!("tensor {name} has not the size of its shape"))
    };
    let needed = stored.shape.iter().try_fold(stored.dtype.size(), |size, length| size.checked_mul(*length));
    if needed != Some(stored.data.len()) {
        return Err(misfit());
    }
    let shape = stored.shape.iter().map(|length| i64::try_from(*length));
    Ok((kind, shape.collect::<Result<_, _>>().map_err(|_| misfit())?))
}

/// A tensor of libtorch's as a file holds it, copied.
///
/// # Errors
/// [`ErrorKind::InvalidModel`] where its elements are of a type that tensor files do not have.
pub fn store(name: &str, tensor: &Tensor) -> Result<Stored, FunctionError> {
    let cannot = || invalid_model(format!("cannot store tensor {name}"));
    let dtype = match tensor.f_kind().map_err(cannot())? {
        Kind::Uint8 => Dtype::U8,
        Kind::Int64 => Dtype::I64,
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        other => {
            let message = format!(
                "tensor {name} has elements of type {other:?}; use single precision for parameters and 64-bit integers for counts"
            );
            return Err(FunctionError::new(ErrorKind::InvalidModel, message));
        }
    };
    let elements = tensor.numel();
    let mut data = vec![0; elements * dtype.size()];
    tensor.f_copy_data_u8(&mut data, elements).map_err(cannot())?;
    let shape = tensor.size().iter().map(|length| usize::try_from(*length).unwrap_or_default()).collect();
    Ok(Stored { dtype, shape, data: data.into() })
}

/// The sum of a tensor's elements in double precision.
///
/// # Errors
/// What libtorch refuses.
pub fn total(tensor: &Tensor) -> Result<f64, TchError> {
    tensor.f_sum(Kind::Double)?.f_double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::{load, store};
    use stepgrad_contract::ErrorKind;
    use stepgrad_contract::tensors::Tensor;

    #[test]
    fn tensors_come_back_as_they_were() {
        for tensor in [
            Tensor::f32(vec![2, 3], &[1.0, -0.0, f32::MAX, 4.5, f32::NAN, 0.1]),
            Tensor::i64(vec![], &[-3]),
            Tensor::f32(vec![0, 4], &[]),
        ] {
            assert_eq!(store("x", &load("x", &tensor).unwrap()).unwrap(), tensor);
        }
        // More than a slice, and not a whole number of them.
        let values: Vec<f32> = (0..(super::SLICE + 3)).map(|value| value as f32).collect();
        let stored = Tensor::f32(vec![values.len()], &values);
        let target = tch::Tensor::zeros([values.len() as i64], (tch::Kind::Float, tch::Device::Cpu));
        super::load_into("x", &stored, &target.set_requires_grad(true)).unwrap();
        assert_eq!(store("x", &target).unwrap(), stored);
        let across = tch::Tensor::zeros([2, 3], (tch::Kind::Float, tch::Device::Cpu)).transpose(0, 1);
        let stored = Tensor::f32(vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        super::load_into("x", &stored, &across).unwrap();
        assert_eq!(store("x", &across).unwrap(), stored);
        assert!(super::load_into("x", &stored, &target).is_err());

        let torn = Tensor { data: vec![0; 5].into(), ..Tensor::f32(vec![2], &[1.0, 2.0]) };
        assert_eq!(load("x", &torn).unwrap_err().kind, ErrorKind::InvalidModel);
        let halves = tch::Tensor::zeros([2], (tch::Kind::Half, tch::Device::Cpu));
        assert!(store("x", &halves).unwrap_err().message.contains("Half"));
    }
}
