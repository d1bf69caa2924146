"""The op of examples/add_an_op: refused before its module is imported, compiled code after."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "add_an_op"

SCRIPT = """
import numpy, isthmus
try:
    isthmus.read("soft_limit.pt2")
except isthmus.IsthmusError as error:
    print(error)
import soft_limit
package = isthmus.compile("soft_limit.pt2")
assert not package.manifest.fallbacks
x = numpy.random.default_rng(0).normal(size=(2, 4)).astype("f")
got, want = (run([x])["output_0"] for run in (package.run, package.graph.evaluate))
numpy.testing.assert_allclose(got, want, rtol=1e-6)
assert (got <= 1).all() and (got > 0).any() and (got == 0).any()
print("agrees")
"""


def test_op_is_known_once_its_module_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    refusal, agreement = done.stdout.splitlines()
    assert refusal.startswith(
        "soft_limit.pt2:soft_limit: acme.soft_limit is not supported: this build has no converter"
    )
    assert "at export.py:" in refusal
    assert agreement == "agrees"
