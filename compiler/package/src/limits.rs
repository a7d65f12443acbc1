//! What Lambda takes (AWS Lambda, "Lambda quotas" and "Lambda runtimes"), and what stepgrad promises beyond it.

/// Bytes of a zip with everything unpacked, layers included.
pub const UNPACKED: u64 = 250 << 20;
/// Bytes of a zip that is sent with the call; a larger one goes by way of S3.
pub const DIRECT_UPLOAD: u64 = 50 << 20;
/// Bytes of `/tmp` that every function has.
pub const TEMPORARY: u64 = 512 << 20;
/// Bytes of the zip of the functions that need no libtorch; stepgrad's own promise.
pub const LIGHT: u64 = 10 << 20;

/// The newest symbol versions that `provided.al2023` has, by their family: glibc 2.34, and libstdc++ of GCC 11.
pub const SYMBOLS: [(&str, &[u32]); 3] =
    [("GLIBC", &[2, 34]), ("GLIBCXX", &[3, 4, 29]), ("CXXABI", &[1, 3, 13])];

/// Libraries that `provided.al2023` has.
pub const SYSTEM: [&str; 10] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
];
