//! tch hands no rpath down to the binaries that link it: libtorch is looked for where it was linked from,
//! then in `lib` beside the binary, which is how a Lambda package lays it out. And a few lines of C++ reach
//! what torch-sys does not: a scripted module's buffers.

#![expect(clippy::disallowed_methods, reason = "a build script is told by its environment")]

use std::path::Path;

fn main() {
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/models/torchscript.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=STEPGRAD_PACKAGE");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings(false).file("src/models/torchscript.cpp");
    // As torch-sys compiles its own.
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    if let Ok(abi) = std::env::var("LIBTORCH_CXX11_ABI") {
        build.define("_GLIBCXX_USE_CXX11_ABI", abi.as_str());
    }
    // Cargo sets this from the `links` metadata of torch-sys.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        // What goes into a package finds its libraries beside itself, and its bytes do not tell where it was linked.
        let way = if std::env::var_os("STEPGRAD_PACKAGE").is_some() { "-rpath-link" } else { "-rpath" };
        println!("cargo:rustc-link-arg=-Wl,{way},{lib}");
        let root = std::env::var("LIBTORCH_INCLUDE").ok().map(Into::into);
        if let Some(root) = root.or_else(|| Path::new(&lib).parent().map(Path::to_path_buf)) {
            build.include(root.join("include"));
        }
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
    build.compile("stepgrad_torchscript");
}
