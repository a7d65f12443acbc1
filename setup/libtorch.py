#!/usr/bin/env python3
"""Put a CPU libtorch where cargo finds it, or say which one of the user's is taken.

    python3 setup/libtorch.py [DIR]                  default DIR: .libtorch beside this folder
    python3 setup/libtorch.py --arch arm64 DIR       the one of another processor, for `stepgrad functions build`

Taken from the torch wheel on PyPI, by version and SHA-256, through pip. Downloads 527 MB (x86_64) or
427 MB (aarch64), keeps about 400 MB. Nothing is left half: all work is done in a sibling folder that is
renamed into place at the end, and a second run of the script sees the finished folder and does nothing.

The user's own library goes first: with LIBTORCH or LIBTORCH_USE_PYTORCH set, nothing is downloaded, unless --arch
asks for it.

The x86_64 wheel is a CUDA build whose libtorch_cpu.so names two CUDA libraries for its profiler. A
machine without a GPU needs neither, so two stand-ins with the same symbols are compiled with gcc; every
function of theirs answers "no device". libtorch.so itself is replaced by an empty library that links
torch_cpu and c10, because the wheel's asks for libtorch_cuda.so (470 MB).
"""

import argparse
import fcntl
import glob
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

VERSION = "2.13.0"
WHEELS = {
    "x86_64": (
        "manylinux_2_28_x86_64",
        "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
        "527 MB",
    ),
    "aarch64": (
        "manylinux_2_28_aarch64",
        "092790c696a760c729fd5722835f50b9d81fd7c8f141571f3f3cf4081a8f664c",
        "427 MB",
    ),
}
# Whatever else the wheel's lib folder holds next to these (aarch64 ships OpenBLAS and the Arm Compute
# Library as separate files) is kept when libtorch_cpu.so needs it; see needed_closure.
ROOTS = ["libtorch_cpu.so", "libc10.so"]
CUDA_ERROR_NO_DEVICE = 100
# By Lambda's names.
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}


def say(message):
    print(f"libtorch: {message}", file=sys.stderr, flush=True)


def fail(message):
    say(f"error: {message}")
    sys.exit(1)


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def tool(name, machine):
    """Compiler or binutils for a processor; another one's by the name that Debian and Ubuntu give it."""
    return name if machine == platform.machine() else f"{machine.replace('_', '-')}-linux-gnu-{name}"


def users_own():
    """The library that the user's environment names, or None."""
    if os.environ.get("LIBTORCH_USE_PYTORCH"):
        say("LIBTORCH_USE_PYTORCH is set: the PyTorch of your python3 is taken, nothing to do")
        return True
    own = os.environ.get("LIBTORCH")
    if not own:
        return False
    version_file = pathlib.Path(own, "build-version")
    if not pathlib.Path(own, "lib").is_dir():
        fail(f"LIBTORCH={own} has no folder lib: unset it, or name an unpacked libtorch {VERSION}")
    found = version_file.read_text().strip() if version_file.exists() else "unknown"
    if found.split("+")[0] not in (VERSION, "unknown") and not os.environ.get("LIBTORCH_BYPASS_VERSION_CHECK"):
        fail(f"LIBTORCH={own} is version {found}, tch needs {VERSION}: unset LIBTORCH to have it downloaded")
    say(f"LIBTORCH={own} (version {found}) is taken, nothing to do")
    return True


def complete(folder):
    version_file = folder / "build-version"
    return version_file.exists() and version_file.read_text().strip() == VERSION


def download(machine, scratch):
    tag, digest, size = WHEELS[machine]
    say(f"downloading torch {VERSION} for {machine} from PyPI ({size}, SHA-256 {digest[:12]}…)")
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"torch=={VERSION} --hash=sha256:{digest}\n")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
            "--only-binary=:all:", "--platform", tag, "--python-version", "311",
            "--implementation", "cp", "--abi", "cp311", "--no-cache-dir",
            "--dest", str(scratch / "wheel"), "--requirement", str(requirements),
        ],
        check=True,
        stdout=sys.stderr,
    )
    return next((scratch / "wheel").glob("torch-*.whl"))


def needed(library, machine):
    table = run(tool("readelf", machine), "--dynamic", "--wide", str(library))
    return re.findall(r"\(NEEDED\).*\[(.+)\]", table)


def unpack(wheel, target, machine):
    """Headers, and the libraries that libtorch_cpu.so reaches, from the wheel into `target`."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        beside = {}
        for name in names:
            if re.match(r"(torch/lib|torch\.libs|torch/lib\.libs)/[^/]+\.so[^/]*$", name):
                beside[name.rsplit("/", 1)[1]] = name
        (target / "lib").mkdir(parents=True)
        queue, seen = list(ROOTS), set()
        while queue:
            library = queue.pop(0)
            if library in seen or library not in beside:
                continue
            seen.add(library)
            path = target / "lib" / library
            with archive.open(beside[library]) as source, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            queue.extend(needed(path, machine))
        for name in names:
            if name.startswith("torch/include/") and not name.endswith("/"):
                path = target / name.removeprefix("torch/")
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(path, "wb") as sink:
                    shutil.copyfileobj(source, sink)
    missing = [library for library in ROOTS if library not in seen]
    if missing:
        fail(f"the wheel holds no {', '.join(missing)}")


def stand_in(folder, soname, symbols, machine):
    """Compile `soname`, a library in which each of `symbols` answers CUDA_ERROR_NO_DEVICE."""
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch, "stand_in.c")
        script = pathlib.Path(scratch, "version.map")
        lines = []
        for symbol in sorted(symbols):
            if symbol == "cudaGetErrorString":
                lines.append(f'const char *{symbol}(void) {{ return "no CUDA device"; }}')
            else:
                lines.append(f"int {symbol}(void) {{ return {CUDA_ERROR_NO_DEVICE}; }}")
        source.write_text("\n".join(lines) + "\n")
        script.write_text(f"{soname} {{ global: *; }};\n")
        run(
            tool("gcc", machine), "-shared", "-fPIC", "-O1", "-o", str(folder / soname), str(source),
            f"-Wl,-soname,{soname}", f"-Wl,--version-script={script}",
        )


def shim(folder, machine):
    """Compile libtorch.so, empty, linking torch_cpu and c10."""
    (folder / "libtorch.so").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch, "empty.c")
        source.write_text("")
        run(
            tool("gcc", machine), "-shared", "-fPIC", "-o", str(folder / "libtorch.so"), str(source),
            "-Wl,-soname,libtorch.so", f"-L{folder}", "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10",
            "-Wl,-rpath,$ORIGIN", "-Wl,--allow-shlib-undefined",
        )


def finish(target, machine):
    lib = target / "lib"
    cuda = {}
    table = run(
        tool("nm", machine), "--dynamic", "--undefined-only", "--with-symbol-versions", str(lib / "libtorch_cpu.so")
    )
    for symbol, version in re.findall(r"U (\w+)@@?(libcu\w+\.so\.\d+)", table):
        cuda.setdefault(version, set()).add(symbol)
    for soname, symbols in sorted(cuda.items()):
        stand_in(lib, soname, symbols, machine)
    for library in sorted(glob.glob(str(lib / "*.so*"))):
        run(tool("strip", machine), "--strip-unneeded", library)
    shim(lib, machine)
    (target / "build-version").write_text(VERSION + "\n")


def main():
    parser = argparse.ArgumentParser(description="Put a CPU libtorch where cargo finds it.")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="default: .libtorch beside this folder")
    parser.add_argument("--arch", choices=MACHINES, help="for this processor, in place of this computer's; needs DIR")
    arguments = parser.parse_args()
    if arguments.arch and not arguments.folder:
        parser.error("--arch needs a folder: .libtorch is for this computer's processor")
    if not arguments.arch and users_own():
        return
    machine = MACHINES.get(arguments.arch, platform.machine())
    if platform.system() != "Linux" or machine not in WHEELS:
        fail(
            f"no prebuilt library is pinned for {platform.system()} {machine}: unpack libtorch {VERSION} "
            "yourself and set LIBTORCH to its folder"
        )
    for name in (tool(name, machine) for name in ("gcc", "strip", "nm", "readelf")):
        if shutil.which(name) is None:
            fail(f"{name} is not on the PATH: install gcc and binutils for {machine}")
    default = pathlib.Path(__file__).resolve().parent.parent / ".libtorch"
    folder = pathlib.Path(arguments.folder).absolute() if arguments.folder else default
    if complete(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{folder.name}.lock", "w") as lock:
        # Two clones of make at once: the second waits here and then finds the folder complete.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete(folder):
            return
        for left in folder.parent.glob(f"{folder.name}.partial-*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
        try:
            wheel = download(machine, scratch)
            say("unpacking the libraries and headers, compiling the stand-ins for CUDA")
            unpack(wheel, scratch / "libtorch", machine)
            finish(scratch / "libtorch", machine)
            if folder.exists():
                shutil.rmtree(folder)
            os.rename(scratch / "libtorch", folder)
        except subprocess.CalledProcessError as error:
            fail(f"{error.cmd[0]} exited with {error.returncode}; nothing was installed")
        except OSError as error:
            fail(f"{error}; nothing was installed")
        except KeyboardInterrupt:
            fail("interrupted; nothing was installed")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(f"{folder} is ready ({size // 1_000_000} MB)")


if __name__ == "__main__":
    main()
