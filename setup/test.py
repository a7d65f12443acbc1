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
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent


# The one test that takes as long as many others together, and most of that time waits: it runs beside them, and after them where
# a processor is wanted.
BESIDE = ("chaos", "whatever_happens_the_weights_are_the_same")


class Lane:
    """One `cargo test`; its output is read in a thread, and what it counts is kept."""

    def __init__(self, arguments, environment, shown):
        self.lines, self.passed, self.failed, self.shown = [], 0, 0, shown
        self.process = subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            if self.shown:
                print(line, end="", flush=True)
            else:
                self.lines.append(line)
            result = re.match(r"test result: .* (\d+) passed; (\d+) failed", line)
            if result:
                self.passed += int(result[1])
                self.failed += int(result[2])

    def wait(self):
        self.thread.join()
        print("".join(self.lines), end="", flush=True)
        return self.process.wait()


def main():
    skipped_file = ROOT / "target" / "skipped-tests.txt"
    skipped_file.parent.mkdir(exist_ok=True)
    skipped_file.write_text("")
    environment = dict(os.environ, STEPGRAD_SKIPPED=str(skipped_file))
    command = [os.environ.get("CARGO", "cargo"), "test", "--workspace", "--locked", "--no-fail-fast"]
    if sys.argv[1:]:
        lanes = [Lane([*command, *sys.argv[1:]], environment, True)]
    else:
        # Built once, before anything is run: two builds at once would wait for one another.
        built = subprocess.run([*command, "--no-run"], cwd=ROOT, env=environment, check=False)
        if built.returncode != 0:
            sys.exit(built.returncode)
        target, name = BESIDE
        lanes = [
            Lane([*command, "--", "--skip", name], environment, True),
            Lane(["nice", "-n", "5", *command, "--test", target], environment, False),
        ]
    status = max(abs(lane.wait()) for lane in lanes)
    passed, failed = sum(lane.passed for lane in lanes), sum(lane.failed for lane in lanes)
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
