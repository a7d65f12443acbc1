#!/usr/bin/env python3
"""How long a training takes to notice a lost peer, to go on without it, and to have it back: a table for 4, 8 and 12
peers. In two rounds the last peer dies, or hangs; `stepgrad rerun` measures. The bound is what timeouts and retries
come to.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEADLINE_S = 600

SPEC = """version: 1
name: recovery
seed: 7
data: {{format: synthetic, synthetic: {{samples: {samples}, shape: [12], classes: 3}}, validation: 0.1}}
model: {{architecture: mlp}}
training:
  epochs: 6
  batch_size: 16
  optimizer: {{sgd: {{learning_rate: 0.05}}}}
topology: {{kind: peer_to_peer, peers: {peers}}}
functions: {{gradient: {{timeout_s: 10}}, combine: {{timeout_s: 10}}, heartbeat: {{timeout_s: 10}}, synchronise: {{timeout_s: 10}}}}
fault_tolerance: {{quorum: {quorum}, retries: {{max_attempts: 1}}}}
"""

FAULTS = """version: 1
faults:
  - id: lost
    at: {{peer: {peers}, rounds: 3..4}}
    {action}
expect: {{status: SUCCEEDED, replicas_equal: true}}
"""

# A process that dies is noticed at once, one that hangs when its time is over.
ACTIONS = {"dies": "outage: {}", "hangs": "pause: {ms: 60000}"}


def stepgrad(command, folder, *arguments):
    ended = subprocess.run(
        [command, *arguments], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    if ended.returncode != 0:
        sys.exit(f"stepgrad {' '.join(arguments)} exits with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout, ended.stderr


def row(command, peers, how):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "train.yaml").write_text(SPEC.format(peers=peers, quorum=peers - 1, samples=40 * peers))
        (folder / "faults.yaml").write_text(FAULTS.format(peers=peers, action=ACTIONS[how]))
        _, explained = stepgrad(command, folder, "compile", "train.yaml", "--explain")
        bound = re.search(r"noticed after at most (\d+) s", explained)
        told, _ = stepgrad(command, folder, "run", "train.yaml", "-o", "json")
        run = json.loads(told.splitlines()[-1])
        told, _ = stepgrad(command, folder, "rerun", run["run"], "--faults", "faults.yaml", "-o", "json")
        again = json.loads(told.splitlines()[-1])
        lost = again["comparison"]["lost_peers"][0]
        rounds = again["comparison"]["rounds"]
        # In the first of its two rounds every call has all its attempts; in the second the peer is asked once.
        failed = [rounds[number - 1]["rerun"]["failures"] for number in (3, 4)]
        normal = sorted(pair["baseline"]["seconds"] for pair in rounds)[len(rounds) // 2]
        return [
            peers,
            how,
            lost["detect_rounds"],
            f"{lost['detect_seconds']:.2f}",
            lost["exclude_rounds"],
            f"{lost['exclude_seconds']:.2f}",
            lost["rejoin_rounds"],
            f"{lost['rejoin_seconds']:.2f}",
            f"{normal:.2f}",
            f"{failed[0]}, {failed[1]}",
            bound[1] if bound else "not told",
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stepgrad", default=str(ROOT / "target/debug/stepgrad"))
    parser.add_argument("--peers", default="4,8,12")
    arguments = parser.parse_args()
    head = [
        "peers",
        "the last",
        "rounds to detect",
        "seconds to detect",
        "rounds to exclude",
        "seconds to exclude",
        "rounds to rejoin",
        "seconds to rejoin",
        "seconds of a normal round",
        "failed calls in its two rounds",
        "bound, seconds",
    ]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for peers in arguments.peers.split(","):
        for how in ACTIONS:
            cells = row(arguments.stepgrad, int(peers), how)
            print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
