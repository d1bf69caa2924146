"""Single operators against TFLite's reference kernels: integers byte by byte, floats within rounding."""

import numpy as np

from isthmus.compiler.ops.interpret import evaluate


def test_operator(crafted, recordings):
    recording = recordings.get(crafted)
    got = evaluate(recordings.read(crafted), recording.inputs)
    for array, want in zip(got.values(), recording.outputs, strict=True):
        assert (array.dtype, array.shape) == (want.dtype, want.shape)
        if want.dtype.kind == "f":
            np.testing.assert_allclose(array, want, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(array, want)
