"""The CPU device through the whole runtime: values, threads, concurrency, arenas, refusals, a bare process."""

import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest

from isthmus.backends.cpu import cpuinfo
from isthmus.backends.cpu.device import device
from isthmus.runtime import DeviceError, LoadedPackage, PackageError, load


@pytest.fixture
def package(sample_artefact):
    return LoadedPackage(sample_artefact(), {"cpu": device()})


@pytest.mark.parametrize("threads", [None, 1, 2, 64])
def test_values_do_not_depend_on_threads(package, x, sample_output, threads):
    for _ in range(50):
        assert np.array_equal(package.run({"x": x}, threads=threads)["y"], sample_output(x))


def test_saved_package_runs(sample_artefact, tmp_path, x, sample_output):
    sample_artefact().save(tmp_path / "sample.isth")
    package = load(tmp_path / "sample.isth", {"cpu": device()}, threads=2)
    assert np.array_equal(package.run([x])["y"], sample_output(x))
    package.verify()


def test_unaligned_and_strided_inputs(package, x, sample_output):
    raw = np.zeros(4 * x.size + 1, np.uint8)
    unaligned = raw[1:].view(np.float32)
    unaligned[:] = x
    strided = np.repeat(x, 2)[::2]
    for given in (unaligned, strided):
        assert np.array_equal(package.run({"x": given})["y"], sample_output(x))


def test_concurrent_runs_do_not_meet(package, sample_output):
    """Each thread has its own input; a shared arena or counter would mix them."""
    failures: Counter[int] = Counter()
    done: Counter[int] = Counter()

    def work(seed: int) -> None:
        mine = np.random.default_rng(seed).standard_normal(4096).astype(np.float32)
        expected = sample_output(mine)
        for turn in range(200):
            if not np.array_equal(package.run({"x": mine}, threads=1 + turn % 2)["y"], expected):
                failures[seed] += 1
            done[seed] += 1

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    assert sum(done.values()) == 800


def test_contexts_are_reused(package, x):
    for _ in range(5):
        package.run({"x": x})
    assert len(package.executable._idle["cpu"]) == 1


def test_arena_is_aligned_zero_and_kept(package, x):
    context = package.executable.code["cpu"].context()
    assert context.arena.ctypes.data % 64 == 0
    assert context.arena.size == 4 * 4096
    assert not context.arena.any()
    package.run({"x": x})
    kept = package.executable._idle["cpu"][0].arena
    assert kept.any()
    package.run({"x": x})
    assert package.executable._idle["cpu"][0].arena is kept


def test_outputs_are_aligned_and_private(package, x):
    first = package.run({"x": x})["y"]
    before = first.copy()
    second = package.run({"x": -x})["y"]
    assert first.ctypes.data % 64 == 0
    assert not np.shares_memory(first, second)
    assert np.array_equal(first, before)


def test_many_packages_come_and_go(sample_artefact, x, sample_output):
    for _ in range(30):
        package = LoadedPackage(sample_artefact(), {"cpu": device()})
        assert np.array_equal(package.run({"x": x}, threads=2)["y"], sample_output(x))
        del package


def test_profile_times_the_steps_of_a_segment(package, x, sample_output):
    profile = package.profile({"x": x}, threads=1)
    assert np.array_equal(profile.outputs["y"], sample_output(x))
    assert [step.name for step in profile.steps] == ["all", "relu", "mirror"]
    whole, *parts = profile.steps
    assert whole.sources == ("m.onnx:Relu_0",)
    assert all(0 < part.seconds <= whole.seconds for part in parts)
    assert sum(part.seconds for part in parts) <= whole.seconds * 1.001
    assert whole.seconds < profile.seconds


def test_code_without_a_pool_runs_on_the_calling_thread(sample_artefact, x, sample_output):
    package = LoadedPackage(sample_artefact(pool=()), {"cpu": device()})
    assert np.array_equal(package.run({"x": x}, threads=2)["y"], sample_output(x))


def test_missing_features_are_listed(sample_artefact):
    with pytest.raises(DeviceError) as caught:
        LoadedPackage(sample_artefact(features=["sse2", "avx1024", "amx-future"]), {"cpu": device()})
    assert str(caught.value) == (
        "sample.onnx: compiled for CPU features that this machine lacks: amx-future, avx1024; "
        "recompile the model on this machine, or for fewer features"
    )


def test_another_architecture_is_refused(sample_artefact):
    with pytest.raises(DeviceError, match="compiled for aarch64, this machine is x86-64; recompile"):
        LoadedPackage(sample_artefact(triple="aarch64-unknown-linux-gnu"), {"cpu": device()})


@pytest.mark.parametrize(
    "facts",
    [
        {"entries": (1 << 40,)},
        {"fixups": ((1 << 40, 0),)},
        {"arena": -1},
        {"size": "many"},
        {"entries": None},
        {"size": 10, "entries": (0,), "pool": (), "writable": 10},
    ],
)
def test_bad_facts_are_refused(sample_artefact, facts):
    with pytest.raises(PackageError, match="recompile the model"):
        LoadedPackage(sample_artefact(**facts), {"cpu": device()})


def test_features_of_this_machine_agree_with_llvm():
    """LLVM reads cpuid, the device reads the kernel: they must name the same features alike."""
    import llvmlite.binding as llvm

    common = "sse2 sse3 ssse3 sse4.1 sse4.2 avx avx2 fma f16c bmi bmi2 lzcnt popcnt avx512f avx512bw avx512vl avx512dq"
    common += " avx512vnni avx512bf16 avx512fp16 amx-tile amx-bf16 amx-int8 avxvnni cx16 sha aes pclmul movbe"
    host = llvm.get_host_cpu_features()
    wrong = [name for name in common.split() if host.get(name, False) != cpuinfo.has(name)]
    assert wrong == []


def test_runs_without_compiler_and_llvmlite(sample_artefact, tmp_path, x, sample_output):
    sample_artefact().save(tmp_path / "sample.isth")
    np.save(tmp_path / "x.npy", x)
    script = """
import sys
import numpy as np
from isthmus.backends.cpu.device import device
from isthmus.runtime import load
package = load("sample.isth", {"cpu": device()})
np.save("y.npy", package.run([np.load("x.npy")], threads=2)["y"])
loaded = sorted(name for name in sys.modules if name.split(".")[0] in ("llvmlite", "onnx", "lark", "ml_dtypes"))
loaded += sorted(name for name in sys.modules if name.startswith(("isthmus.compiler", "isthmus.frontends")))
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)
    assert np.array_equal(np.load(tmp_path / "y.npy"), sample_output(x))
