#!/usr/bin/env python3
"""Writes the digits as IDX files (the format of MNIST, gzip) from scikit-learn's digits.csv.gz.

    python3 make_idx.py digits.csv.gz [FOLDER]

The same input and zlib give the same bytes: the gzip header carries neither time nor name.
"""

import gzip
import pathlib
import struct
import sys


def idx(magic: int, sizes: list[int], values: bytes) -> bytes:
    """An IDX file of unsigned bytes: magic number, one big-endian size for each dimension, the values."""
    return struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + values


def write(path: pathlib.Path, content: bytes) -> None:
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content)


def main(source: str, folder: str = ".") -> None:
    opened = gzip.open(source, "rt") if source.endswith(".gz") else open(source)
    with opened as lines:
        rows = [[int(float(value)) for value in line.split(",")] for line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != 65 or not all(0 <= value <= 16 for value in row[:64]) or not 0 <= row[64] <= 9:
            sys.exit(f"{source}:{number}: expected 64 pixels of 0 to 16 and a digit")
    pixels = bytes(value for row in rows for value in row[:64])
    digits = bytes(row[64] for row in rows)
    write(pathlib.Path(folder) / "train-images-idx3-ubyte.gz", idx(0x00000803, [len(rows), 8, 8], pixels))
    write(pathlib.Path(folder) / "train-labels-idx1-ubyte.gz", idx(0x00000801, [len(rows)], digits))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
