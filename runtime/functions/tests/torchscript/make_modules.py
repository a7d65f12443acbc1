#!/usr/bin/env python3
"""Writes the scripted modules that the tests load, without PyTorch: a file of torch.jit.save is a zip of a
pickled object, TorchScript source, and raw storages (PyTorch, "torch/csrc/jit/docs/serialization.md").

    python3 make_modules.py [FOLDER]

normalised.pt takes [samples, 1, 8, 8] and gives scores of 10 classes: BatchNorm with a count of its batches, a
rectifier, dropout, a linear layer, a frozen scale and a parameter that nothing uses.
constant.pt gives zeros and has no parameters.
"""

import collections
import io
import pathlib
import pickle
import random
import struct
import sys
import types
import zipfile

NORMALISED = """\
class Net(Module):
  __parameters__ = ["temperature", "unused", ]
  __buffers__ = []
  temperature : Tensor
  unused : Tensor
  training : bool
  norm : __torch__.Norm
  output : __torch__.Linear
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    flat = torch.flatten(x, 1)
    normed = torch.relu((self.norm).forward(flat, ))
    dropped = torch.dropout(normed, 0.20000000000000001, self.training)
    scores = (self.output).forward(dropped, )
    return torch.mul(scores, self.temperature)
class Norm(Module):
  __parameters__ = ["weight", "bias", ]
  __buffers__ = ["running_mean", "running_var", "num_batches_tracked", ]
  weight : Tensor
  bias : Tensor
  running_mean : Tensor
  running_var : Tensor
  num_batches_tracked : Tensor
  training : bool
  def forward(self: __torch__.Norm,
    x: Tensor) -> Tensor:
    if self.training:
      count = torch.add_(self.num_batches_tracked, 1)
    else:
      pass
    normed = torch.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, self.training, 0.10000000000000001, 1.0000000000000001e-05, False)
    return normed
class Linear(Module):
  __parameters__ = ["weight", "bias", ]
  __buffers__ = []
  weight : Tensor
  bias : Tensor
  training : bool
  def forward(self: __torch__.Linear,
    x: Tensor) -> Tensor:
    return torch.linear(x, self.weight, self.bias)
"""

CONSTANT = """\
class Net(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    return torch.zeros([torch.size(x, 0), 10])
"""


def module(name):
    made = sys.modules[name] = types.ModuleType(name)
    return made


def placed(cls, where, name):
    cls.__module__, cls.__qualname__, cls.__name__ = where.__name__, name, name
    setattr(where, name, cls)
    return cls


def rebuild(*_):
    raise NotImplementedError


TORCH, UTILS, CODE = module("torch"), module("torch._utils"), module("__torch__")
FLOAT = placed(type("FloatStorage", (), {}), TORCH, "FloatStorage")
LONG = placed(type("LongStorage", (), {}), TORCH, "LongStorage")
REBUILD = placed(rebuild, UTILS, "_rebuild_tensor_v2")
NET, NORM, LINEAR = (placed(type(name, (), {}), CODE, name) for name in ("Net", "Norm", "Linear"))


class Storage:
    def __init__(self, kind, values):
        self.kind, self.values = kind, values


class Tensor:
    def __init__(self, values, shape, trained=True, kind=FLOAT):
        self.storage, self.shape, self.trained = Storage(kind, values), tuple(shape), trained

    def __reduce__(self):
        strides, stride = [], 1
        for length in reversed(self.shape):
            strides.insert(0, stride)
            stride *= length
        return REBUILD, (self.storage, 0, self.shape, tuple(strides), self.trained, collections.OrderedDict())


def save(path, source, root):
    storages = []

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            storages.append(value)
            return ("storage", value.kind, str(len(storages) - 1), "cpu", len(value.values))

    pickled = io.BytesIO()
    Pickler(pickled, 2).dump(root)
    name = path.stem
    parts = {"data.pkl": pickled.getvalue(), "code/__torch__.py": source.encode()}
    for place, storage in enumerate(storages):
        letter = "f" if storage.kind is FLOAT else "q"
        parts[f"data/{place}"] = struct.pack(f"<{len(storage.values)}{letter}", *storage.values)
    parts |= {"constants.pkl": pickle.dumps((), 2), "version": b"3\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(zipfile.ZipInfo(f"{name}/{part}", (1980, 1, 1, 0, 0, 0)), content)


def filled(cls, **attributes):
    made = cls()
    made.__dict__.update(attributes)
    return made


def main(folder="."):
    numbers = random.Random(7)
    norm = filled(
        NORM,
        weight=Tensor([1.0] * 64, [64]),
        bias=Tensor([0.0] * 64, [64]),
        running_mean=Tensor([0.0] * 64, [64], trained=False),
        running_var=Tensor([1.0] * 64, [64], trained=False),
        num_batches_tracked=Tensor([0], [], trained=False, kind=LONG),
        training=True,
    )
    output = filled(
        LINEAR,
        weight=Tensor([numbers.uniform(-0.125, 0.125) for _ in range(640)], [10, 64]),
        bias=Tensor([0.0] * 10, [10]),
        training=True,
    )
    net = filled(
        NET,
        temperature=Tensor([2.0], [1], trained=False),
        unused=Tensor([1.0, 2.0], [2]),
        training=True,
        norm=norm,
        output=output,
    )
    save(pathlib.Path(folder) / "normalised.pt", NORMALISED, net)
    save(pathlib.Path(folder) / "constant.pt", CONSTANT, filled(NET, training=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
