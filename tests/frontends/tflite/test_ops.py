"""Single operators against TFLite's reference kernels: integers byte by byte, floats within rounding."""

import numpy as np

from isthmus.compiler.ops.interpret import evaluate


def test_operator(crafted, recordings):
    recording = recordings.get(crafted)
    got = evaluate(recordings.read(crafted), recording.inputs)
    # with weights of 8 bits TFLite rounds the floats beside them to 8 bits too
    rounded = crafted.startswith("hybrid")
    for array, want in zip(got.values(), recording.outputs, strict=True):
        assert (array.dtype, array.shape) == (want.dtype, want.shape)
        if want.dtype.kind == "f":
            near = 0.03 * abs(want).max() if rounded else 1e-5
            np.testing.assert_allclose(array, want, rtol=1e-5, atol=near)
        else:
            np.testing.assert_array_equal(array, want)
