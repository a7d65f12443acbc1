//! Scripted modules of the user's: any module of `torch.jit.script(...).save(...)` that takes a batch and
//! gives scores, with its parameters and buffers under their own names.
//!
//! tch's own `TrainableCModule` knows no buffers and renames parameters, so the module is held here.
#![expect(unsafe_code, reason = "libtorch's module is a pointer behind a C interface")]

use super::layers::{Layer, Named};
use crate::torch::invalid_model;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use stepgrad_contract::{ErrorKind, FunctionError};
use tch::{TchError, Tensor};
use torch_sys::{C_tensor, CModule_};

type Take = extern "C" fn(*mut c_void, *const c_char, *mut C_tensor);

unsafe extern "C" {
    /// Calls `take` with each buffer, a tensor to keep; gives an error's text from malloc, or null.
    /// Defined in `torchscript.cpp`.
    fn stepgrad_named_buffers(module: *mut CModule_, data: *mut c_void, take: Take) -> *mut c_char;
}

/// A scripted module.
pub(super) struct Module(NonNull<CModule_>);

// SAFETY: the module is owned by this value alone, and libtorch does not bind it to a thread.
unsafe impl Send for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: the pointer came from atm_load_str and is freed once.
        unsafe { torch_sys::atm_free(self.0.as_ptr()) }
    }
}

/// The module of a file, its trainable parameters, and the rest of its state: buffers and frozen parameters.
/// The tensors are the module's own: changing them changes the module.
pub(super) fn load(file: &[u8]) -> Result<(Module, Named, Named), FunctionError> {
    let refused = || invalid_model("the scripted module cannot be loaded: is it a file of torch.jit.save?");
    // SAFETY: the bytes outlive the call; libtorch copies what it keeps.
    let pointer = unsafe { torch_sys::atm_load_str(file.as_ptr().cast(), file.len()) };
    checked().map_err(refused())?;
    let module = NonNull::new(pointer).map(Module);
    let module =
        module.ok_or_else(|| FunctionError::new(ErrorKind::Internal, "libtorch loaded no module"))?;

    let mut found: Vec<(String, Tensor)> = Vec::new();
    let data: *mut c_void = (&raw mut found).cast();
    // SAFETY: `collect` takes `data` for what it is, and both calls end before `found` is used again.
    unsafe { torch_sys::atm_named_parameters(module.0.as_ptr(), data, collect) };
    checked().map_err(refused())?;
    let (parameters, mut state): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(_, tensor)| tensor.requires_grad());
    let data: *mut c_void = (&raw mut state).cast();
    // SAFETY: as above.
    let error = unsafe { stepgrad_named_buffers(module.0.as_ptr(), data, collect) };
    taken(error).map_err(refused())?;
    if parameters.is_empty() {
        let message = "the scripted module has no trainable parameters: script the module itself, not a frozen or traced function of it";
        return Err(FunctionError::new(ErrorKind::InvalidModel, message));
    }
    Ok((module, parameters.into_iter().collect(), state.into_iter().collect()))
}

extern "C" fn collect(data: *mut c_void, name: *const c_char, tensor: *mut C_tensor) {
    // SAFETY: `data` is the vector that `load` handed in; the name is a C string that lives through the call;
    // the tensor is given to keep.
    unsafe {
        let found = &mut *data.cast::<Vec<(String, Tensor)>>();
        found.push((CStr::from_ptr(name).to_string_lossy().into_owned(), Tensor::from_ptr(tensor)));
    }
}

impl Layer for Module {
    fn forward(&self, input: &Tensor, train: bool) -> Result<Tensor, TchError> {
        // The optimising executor compiles anew after some calls, and a warm process would give other bits
        // than a cold one. The switch belongs to the thread.
        tch::jit::f_set_graph_executor_optimize(false)?;
        let module = self.0.as_ptr();
        // SAFETY: the module is alive.
        unsafe { if train { torch_sys::atm_train(module) } else { torch_sys::atm_eval(module) } }
        checked()?;
        let inputs = [input.as_ptr().cast_mut()];
        // SAFETY: module and input are alive; the output is given to keep.
        let output = unsafe { torch_sys::atm_forward(module, inputs.as_ptr(), inputs.len() as c_int) };
        checked()?;
        // SAFETY: without an error it is a tensor.
        Ok(unsafe { Tensor::from_ptr(output) })
    }
}

/// The error of the last call, if it failed.
fn checked() -> Result<(), TchError> {
    // SAFETY: gives null or a string from malloc, which is ours.
    taken(unsafe { torch_sys::get_and_reset_last_err() })
}

fn taken(error: *mut c_char) -> Result<(), TchError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a C string from malloc that nobody else frees.
    let text = unsafe {
        let text = CStr::from_ptr(error).to_string_lossy().into_owned();
        libc::free(error.cast());
        text
    };
    Err(TchError::Torch(text))
}
