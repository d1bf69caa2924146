"""Prints how near networks of Keras come to TensorFlow's results in every form of file: one line a network.

    python tests/frontends/tensorflow/compare.py [NAME ...]

TensorFlow writes the files and its results in a process of its own; this one has no framework. Floats: the largest
difference of the logits, relative to the largest one, of compiled code; `own` is how far TensorFlow's own floats are
from its doubles, which tells how much a network's many layers make of roundings. Integers: how many of the results lie
within one step of TFLite's reference kernels, and how many are the same, compiled for the CPU and for chips; `moved` is
the share of results that another input changes.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).parent
TARGETS = ("cpu", "n1-16", "f1-b4096")
"""What integers are compiled for."""

FLOATS = ("saved", "frozen.pb", "model.keras", "model.h5", "float.tflite")
APPLICATIONS = {
    "ResNet50": 64,
    "MobileNetV2": 96,
    "MobileNetV3Small": 96,
    "EfficientNetB0": 64,
    "DenseNet121": 64,
    "InceptionV3": 96,
    "NASNetMobile": 96,
    "Xception": 96,
    "ConvNeXtTiny": 64,
}
"""Extents of their images."""

NETWORKS = ("lstm", "gru", "transformer", "unet")
LOOPS = ("lstm", "gru")
"""TFLite's converter can't calibrate loops: they have no integer form."""


def loaded(path: Path) -> ModuleType:
    """A module by its file: two of them are called `record`."""
    sys.path.insert(0, str(path.parent))
    spec = spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(name: str, folder: Path) -> None:
    """Write a network's files and results into a folder; needs TensorFlow."""
    record, lite = loaded(HERE / "record.py"), loaded(HERE.parent / "tflite" / "record.py")
    keras = record.keras
    keras.utils.set_random_seed(1)
    generator = np.random.default_rng(2)
    if name in APPLICATIONS:
        shape = (APPLICATIONS[name], APPLICATIONS[name], 3)
        application = getattr(keras.applications, name)
        build = partial(application, weights=None, classifier_activation=None, input_shape=shape)
        rows = generator.normal(size=(16, *shape)).astype(np.float32)
        if name.startswith(("MobileNetV3", "EfficientNet", "ConvNeXt")):
            rows = rows * 40 + 127  # these take pixels of 0 to 255
    else:
        build, (first,) = record.NETWORKS[name]
        rows = generator.permuted(np.repeat(first, 8, axis=0), axis=1)
    model = build()
    lite.draw(model, generator)
    for variable in model.variables:
        if variable.path.endswith(
            "beta"
        ):  # random layers that cut half of their values make much of roundings
            variable.assign(variable + 0.5)
    lite.settle(model, rows)
    record.save_all(model, [rows[:1]], folder)
    if name in LOOPS:  # whose lists TFLite's converter takes only with a known batch
        given = keras.Input(batch_shape=(1, *model.inputs[0].shape[1:]), dtype=model.inputs[0].dtype)
        single = keras.models.clone_model(model, input_tensors=given)
        single.set_weights(model.get_weights())
        (folder / "float.tflite").write_bytes(lite.converted(single, rows, integers=False))
    else:
        (folder / "float.tflite").write_bytes(lite.converted(model, rows, integers=False))
        make_integers(lite, model, rows, folder)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    exact = build()
    exact.set_weights(model.get_weights())
    np.save(folder / "exact.npy", exact(rows[:1], training=False).numpy())


def written(name: str, folder: Path) -> None:
    """Have another process make a network's files."""
    subprocess.run([sys.executable, __file__, "--make", name, folder], check=True, capture_output=True)


def make_integers(lite: ModuleType, model: Any, rows: np.ndarray, folder: Path) -> None:
    """Write a network's 8-bit version, with an input and what TFLite makes of it."""
    data = lite.converted(model, rows, integers=True)
    (folder / "int8.tflite").write_bytes(data)
    given, other = (lite.as_input(data, row[None]) for row in (rows[0], rows[1]))
    (want,), (moved,) = lite.results(data, [given]), lite.results(data, [other])
    np.savez(folder / "integers.npz", given=given, want=want, moved=(moved != want).mean())


def compiled(path: Path, x: np.ndarray, target: str = "cpu") -> tuple[np.ndarray, int]:
    """The one result of a file's compiled code, and how many of its steps the host runs."""
    import isthmus

    (name,) = isthmus.read(path).inputs
    package = isthmus.compile(path, target=target, shapes={name: x.shape}, cache=False)
    (y,) = package.run([x]).values()
    return y, len(package.manifest.fallbacks)


def relative(got: np.ndarray, want: np.ndarray) -> str:
    return f"{np.abs(got - want).max() / np.abs(want).max():.1e}"


def figures(name: str, folder: Path) -> Iterator[str]:
    """A network's figures, in the order of the columns."""
    arrays = np.load(folder / "arrays.npz")
    want = arrays["out0"]
    yield f"{want.std():.1g}"
    yield relative(want, np.load(folder / "exact.npy"))
    steps = 0
    for form in FLOATS:
        got, hosts = compiled(folder / form, arrays["in0"])
        yield relative(got, want)
        steps = max(steps, hosts)
    yield str(steps)
    if name in LOOPS:
        return
    arrays = np.load(folder / "integers.npz")
    yield f"{arrays['moved']:.0%}"
    for target in TARGETS:
        got, hosts = compiled(folder / "int8.tflite", arrays["given"], target)
        gap = np.abs(got.astype(int) - arrays["want"])
        yield from (f"{(gap <= 1).mean():.2%}", f"{(gap == 0).mean():.2%}", str(hosts))


def main(names: Sequence[str]) -> None:
    integers = (text for target in TARGETS for text in (f"int8 {target}", "same", "hosts"))
    columns = ("deviation", "own", *FLOATS, "hosts", "moved", *integers)
    print(f"{'':17}" + "".join(f"{column:>14}" for column in columns))
    for name in names or (*APPLICATIONS, *NETWORKS):
        print(f"{name:17}", end="", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            written(name, Path(folder))
            for text in figures(name, Path(folder)):
                print(f"{text:>14}", end="", flush=True)
        print(flush=True)
        assert not {"tensorflow", "keras", "torch"} & set(sys.modules)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(sys.argv[2], Path(sys.argv[3]))
    else:
        main(sys.argv[1:])
