//! tch hands no rpath down to the binaries that link it: libtorch is looked for where it was linked from,
//! then in `lib` beside the binary, which is how a Lambda package lays it out.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Cargo sets this from the `links` metadata of torch-sys.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
}
