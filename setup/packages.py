#!/usr/bin/env python3
"""Make every package for Lambda as `stepgrad functions build` and `functions package` make them, and say what came of it.

    python3 setup/packages.py --stepgrad PROGRAM [--arch arm64] [--light-only] [--again] [--run]

For both processors, or those that --arch names: the small zip, the zip with libtorch, and the files of a container image, into
target/packages. --again makes the same of a copy of the sources in another folder, with nothing built there, and compares
the bytes. --run trains with the programs of the zips, unpacked as Lambda unpacks them; those of another processor need
qemu-user. A build of everything takes half an hour on two cores, --again as long once more.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# As AWS Graviton2's, which is the least of Lambda's arm64; libtorch reads what the kernel says of it.
CPUS = {"arm64": "neoverse-n1", "x86_64": "max"}
CPUINFO = """processor\t: {number}
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""
FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI")

SPEC = """version: 1
name: packages
seed: 7
data: {format: synthetic, synthetic: {samples: 96, shape: [12], classes: 3}, validation: 0.25}
model: {architecture: mlp}
training: {epochs: 1, batch_size: 12, optimizer: {sgd: {learning_rate: 0.05}}}
topology: {kind: peer_to_peer, peers: 2}
"""


def stepgrad(program, folder, *arguments, environment=None):
    ended = subprocess.run(
        [program, *arguments, "-o", "json"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode != 0:
        sys.exit(f"stepgrad {' '.join(map(str, arguments))} exits with {ended.returncode}:\n{ended.stdout}")
    return json.loads(ended.stdout)


def libtorch(arch):
    """The folder of a libtorch for a processor; the one of this computer's is the user's, or that of `make setup`."""
    if MACHINES[arch] == platform.machine():
        return pathlib.Path(os.environ.get("LIBTORCH", ROOT / ".libtorch")).absolute()
    folder = TARGET / f"libtorch-{arch}"
    subprocess.run([sys.executable, ROOT / "setup/libtorch.py", "--arch", arch, folder], check=True)
    return folder


def made(program, arch, sources, target, light_only, out):
    """Builds and packages; gives the folder of the binaries, and what stepgrad says of the packages."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target))
    way = ["--arch", arch] + (["--light-only"] if light_only else ["--libtorch", libtorch(arch)])
    built = stepgrad(program, sources, "functions", "build", *way, environment=environment)
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "train.yaml").write_text(SPEC)
        what = ["functions", "package", "train.yaml", *way, "--binaries", built["binaries"]]
        said = stepgrad(program, folder, *what, "--out", out)
        if not light_only:
            image = out.with_name(f"{out.name}-image")
            shutil.rmtree(image, ignore_errors=True)
            images = stepgrad(program, folder, *what, "--image", "--out", image)
            said["package"]["packages"]["image"] = images["package"]["packages"]["bootstrap"]
    return built["binaries"], said["package"]["packages"]


def newest(path):
    """The newest version of each family of symbols that a program asks for."""
    table = subprocess.run(["readelf", "--version-info", "--wide", path], check=True, stdout=subprocess.PIPE, text=True)
    found = {}
    for family, number in re.findall(r"Name: ([A-Z]+)_([\d.]+)\b", table.stdout):
        if family in FAMILIES:
            found[family] = max(found.get(family, []), [int(part) for part in number.split(".")])
    return ", ".join(f"{family}_{'.'.join(map(str, number))}" for family, number in sorted(found.items()))


def tell(arch, binaries, packages):
    for name, package in packages.items():
        print(f"{arch} {name}: {package['bytes']} bytes, {package['unpacked_bytes']} unpacked")
    for name in sorted({name for name in packages if name != "image"}):
        print(f"{arch} {name} needs {newest(pathlib.Path(binaries, name))}", flush=True)


def copied(to):
    """The sources without anything that was built."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)


def again(program, arch, light_only, packages):
    """Whether another folder gives the same bytes."""
    with tempfile.TemporaryDirectory(prefix="stepgrad packages ") as folder:
        folder = pathlib.Path(folder)
        copied(folder / "sources")
        _, others = made(program, arch, folder / "sources", folder / "built", light_only, folder / "packages")
    same = packages == others
    print(f"{arch}: built and packaged in another folder, {'the same bytes' if same else f'OTHER BYTES: {others}'}", flush=True)
    return same


def emulator(arch, folder):
    """The command that runs programs of another processor: qemu, with the system's libraries of that processor."""
    machine = MACHINES[arch]
    qemu = shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")
    if qemu is None:
        sys.exit(f"no qemu-{machine}: install qemu-user-static to run packages for {arch} here")
    system = folder / "system"
    if not system.exists():
        (system / "proc").mkdir(parents=True)
        (system / "lib").symlink_to(f"/usr/{machine}-linux-gnu/lib")
        # Without it libtorch would read of this computer's processor, and end in a segmentation fault.
        if arch == "arm64":
            told = "".join(CPUINFO.format(number=number) for number in range(os.cpu_count()))
            (system / "proc/cpuinfo").write_text(told)
    return f'"{qemu}" -cpu {CPUS[arch]} -L "{system}"'


def run(program, arch, packages):
    """A training with the programs of the zips, as Lambda unpacks them."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "train.yaml").write_text(SPEC)
        programs = folder / "programs"
        programs.mkdir()
        for name in packages:
            place = folder / name
            with zipfile.ZipFile(TARGET / "packages" / arch / f"{name}.zip") as archive:
                for entry in archive.infolist():
                    path = pathlib.Path(archive.extract(entry, place))
                    path.chmod(entry.external_attr >> 16 & 0o777)
            command = f'"{place}/bootstrap"'
            if MACHINES[arch] != platform.machine():
                command = f"{emulator(arch, folder)} {command}"
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            script.chmod(0o755)
        ended = stepgrad(
            program, folder, "run", "train.yaml", "--bootstrap", programs / "bootstrap",
            environment=dict(os.environ, TMPDIR=str(folder)),
        )
    print(f"{arch}: trained by the programs of its zips: {ended['status']}, weights {ended['weights_sha256']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Make every package for Lambda, and say what came of it.")
    parser.add_argument("--stepgrad", required=True, type=pathlib.Path, help="the program")
    parser.add_argument("--arch", action="append", choices=MACHINES, help="for this processor alone; can be given twice")
    parser.add_argument("--light-only", action="store_true", help="only what needs no libtorch")
    parser.add_argument("--again", action="store_true", help="make them in another folder too, and compare")
    parser.add_argument("--run", action="store_true", help="train with the programs of the zips")
    arguments = parser.parse_args()
    if arguments.run and arguments.light_only:
        parser.error("--run needs the functions that compute gradients")
    program = arguments.stepgrad.absolute()
    same = True
    for arch in arguments.arch or MACHINES:
        out = TARGET / "packages" / arch
        binaries, packages = made(program, arch, ROOT, TARGET, arguments.light_only, out)
        tell(arch, binaries, packages)
        if arguments.again:
            same &= again(program, arch, arguments.light_only, packages)
        if arguments.run:
            run(program, arch, [name for name in packages if name != "image"])
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
