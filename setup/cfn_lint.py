#!/usr/bin/env python3
"""Put cfn-lint where the tests find it: target/cfn-lint, a virtual environment with pinned versions.

Where it cannot be had (no network, no venv) this says so and ends well: the test that needs it is skipped by name.
"""

import pathlib
import shutil
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "target" / "cfn-lint"
PINNED = [
    "cfn-lint==1.58.0",
    "jsonpatch==1.47",
    "jsonpointer==3.12",
    "mpmath==1.3.0",
    "networkx==3.6.1",
    "PyYAML==6.0.3",
    "regex==2026.11.15",
    "sympy==1.14.0",
    "typing_extensions==4.16.0",
]
# Seconds for the whole of it.
LONGEST = 300


def say(message):
    print(f"cfn-lint: {message}", file=sys.stderr, flush=True)


def main():
    # The folder's own name stands in it: a virtual environment that was moved does not run.
    mark = "\n".join([str(FOLDER), *PINNED])
    done = FOLDER / "installed"
    if done.is_file() and done.read_text() == mark:
        return
    say(f"installing {PINNED[0]} into {FOLDER}")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    pip = [FOLDER / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True, timeout=LONGEST)
        subprocess.run([*pip, *PINNED], check=True, timeout=LONGEST)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"cannot be installed, so the test of CloudFormation templates is skipped: {error}")
        return
    done.write_text(mark)


if __name__ == "__main__":
    main()
