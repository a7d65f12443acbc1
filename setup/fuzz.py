#!/usr/bin/env python3
"""Fuzz the states language with libFuzzer, on the stable compiler.

    python3 setup/fuzz.py [--seconds N] [TARGET ...]

Builds the targets of fuzz/ with the coverage that libFuzzer steers by (the flags are those of cargo-fuzz without a
sanitizer: this project has no unsafe code of its own) and runs each for so many seconds, on the lowest priority, from
fuzz/corpus and from what earlier runs found (target/fuzz/corpus). An input that panics, takes longer than 25 s or more
than 2 GiB ends the run: it is kept in target/fuzz/artifacts, and belongs into fuzz/corpus once its cause is mended.
"""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "fuzz"
TARGETS = sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs"))
COVERAGE = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Ccodegen-units=1",
]
# An evaluation of JSONata may take 5 s, and a target makes several.
LIMITS = ["-timeout=25", "-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-max_len=16384"]
GRACE = 60


def say(message):
    print(f"fuzz: {message}", file=sys.stderr, flush=True)


def host():
    text = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return re.search(r"^host: (.+)$", text, re.M).group(1)


def build(triple):
    # With a target of its own, build scripts and macros are built without these flags.
    environment = {
        **os.environ,
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(COVERAGE),
        "CARGO_TARGET_DIR": str(TARGET),
    }
    command = [os.environ.get("CARGO", "cargo"), "build", "--locked", "--release", "--bins", "--target", triple]
    subprocess.run([*command, "--manifest-path", FUZZ / "Cargo.toml"], check=True, env=environment, cwd=ROOT)


def fuzz(name, triple, seconds):
    """Whether nothing was found."""
    found, artifacts = TARGET / "corpus" / name, TARGET / "artifacts" / name
    for folder in (found, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    log = TARGET / f"{name}.log"
    command = [TARGET / triple / "release" / name, found, FUZZ / "corpus" / name]
    command += [f"-max_total_time={seconds}", f"-artifact_prefix={artifacts}/", "-print_final_stats=1", *LIMITS]
    with open(log, "w") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.nice(19),
        )
        try:
            # It reads its corpus before its time begins to count.
            code = process.wait(seconds + 2 * GRACE)
        except subprocess.TimeoutExpired:
            code = "no end"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(GRACE)
    text = log.read_text(errors="replace")
    ran = re.search(r"number_of_executed_units: (\d+)", text)
    covered = re.findall(r"\bcov: (\d+)", text)
    say(f"{name}: {ran.group(1) if ran else '?'} inputs, {covered[-1] if covered else '?'} edges covered")
    if code != 0:
        last = [line for line in text.splitlines() if re.search(r"ERROR|panicked|SUMMARY|Test unit written", line)]
        say(f"{name} failed ({code}); see {log}")
        for line in last:
            say(f"  {line}")
    return code == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    arguments = parser.parse_args()
    for name in arguments.targets:
        if name not in TARGETS:
            parser.error(f"{name} is not a target: {', '.join(TARGETS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    triple = host()
    say("building (some minutes the first time)")
    build(triple)
    failed = [name for name in arguments.targets or TARGETS if not fuzz(name, triple, arguments.seconds)]
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"fuzz: {error}")
    except KeyboardInterrupt:
        sys.exit("fuzz: interrupted")
