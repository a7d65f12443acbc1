#!/usr/bin/env python3
"""Run every test and close with one line that counts them: `N passed, N failed, N skipped`.

A test whose outside tool cannot be had on this machine writes `name: reason` into the file that
STEPGRAD_SKIPPED names, and passes; it is counted as skipped here. Arguments go to `cargo test`.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    skipped_file = ROOT / "target" / "skipped-tests.txt"
    skipped_file.parent.mkdir(exist_ok=True)
    skipped_file.write_text("")
    environment = dict(os.environ, STEPGRAD_SKIPPED=str(skipped_file))
    command = [os.environ.get("CARGO", "cargo"), "test", "--workspace", "--locked", "--no-fail-fast", *sys.argv[1:]]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    passed = failed = 0
    for line in process.stdout:
        print(line, end="", flush=True)
        result = re.match(r"test result: .* (\d+) passed; (\d+) failed", line)
        if result:
            passed += int(result[1])
            failed += int(result[2])
    status = process.wait()
    skipped = sorted(set(skipped_file.read_text().splitlines()))
    for line in skipped:
        print(f"skipped {line}")
    if status != 0 and failed == 0:
        print("cargo test failed before or outside a test")
        failed = 1
    if passed == 0 and failed == 0:
        print("no test was run")
        failed = 1
    print(f"{passed - len(skipped)} passed, {failed} failed, {len(skipped)} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
