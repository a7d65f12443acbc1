#!/usr/bin/env python3
"""Install the servers that tests start and that nobody here wrote, each in a virtual environment of its own.

    python3 setup/servers.py [NAME ...]        default: all; into target/servers

By pinned versions, from PyPI, through pip. A second run sees what is there and does nothing. What cannot be installed is
said and left out: the tests that need it are then skipped by name.
"""

import json
import pathlib
import shutil
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "target" / "servers"
SERVERS = {
    "moto": ["moto[server]==5.2.5"],
    "ministack": ["ministack==1.5.33"],
    # Without Docker and without an account: the interpreter of Step Functions works, and its functions are ours.
    "localstack": [
        "localstack-core[base-runtime,runtime]==4.9.2",
        "cbor2<5.8",
        "pyopenssl<25.2",
        "cryptography<46",
        "service-identity",
    ],
}
# Seconds to install one.
LONGEST = 900


def say(message):
    print(f"servers: {message}", file=sys.stderr, flush=True)


def run(*command):
    subprocess.run([str(part) for part in command], check=True, timeout=LONGEST, stdout=subprocess.DEVNULL)


def install(name):
    """Made anew where it is of other versions, was moved or is not whole: scripts in it name its place."""
    folder = FOLDER / name
    mark = json.dumps([str(folder), SERVERS[name]])
    done = folder / "installed"
    if done.is_file() and done.read_text() == mark:
        return
    say(f"installing {name} into {folder} (about a minute)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        run(sys.executable, "-m", "venv", folder)
        run(folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *SERVERS[name])
    except (OSError, subprocess.SubprocessError) as error:
        say(f"{name} could not be installed, and its tests will be skipped: {error}")
        shutil.rmtree(folder, ignore_errors=True)
        return
    done.write_text(mark)


def main():
    unknown = [name for name in sys.argv[1:] if name not in SERVERS]
    if unknown:
        say(f"there is no server {unknown[0]}: there are {', '.join(SERVERS)}")
        sys.exit(2)
    for name in sys.argv[1:] or SERVERS:
        install(name)


if __name__ == "__main__":
    main()
