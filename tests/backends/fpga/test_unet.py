"""A small U-Net in int8: convolutions, pooling, upsampling, joined maps on the chip, every byte that of its graph."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from isthmus import compile


def unet() -> onnx.ModelProto:
    """Three scales of 8, 16 and 32 channels over 16 x 16 pixels."""
    random = np.random.default_rng(0)
    nodes, weights = [], [numpy_helper.from_array(np.float32([1, 1, 2, 2]), "twice")]

    def conv(x: str, name: str, inputs: int, outputs: int, size: int = 3, last: bool = False) -> str:
        w = random.standard_normal((outputs, inputs, size, size)) * np.sqrt(2 / (inputs * size * size))
        weights.append(numpy_helper.from_array(w.astype(np.float32), f"{name}.w"))
        weights.append(
            numpy_helper.from_array(random.standard_normal(outputs).astype(np.float32) / 8, f"{name}.b")
        )
        sums = f"{name}.sums"
        nodes.append(
            helper.make_node("Conv", [x, f"{name}.w", f"{name}.b"], [sums], name=name, pads=[size // 2] * 4)
        )
        if last:
            return sums
        nodes.append(helper.make_node("Relu", [sums], [name], name=f"{name}.relu"))
        return name

    def pool(x: str) -> str:
        nodes.append(
            helper.make_node(
                "MaxPool", [x], [f"{x}.pool"], name=f"{x}.pool", kernel_shape=[2, 2], strides=[2, 2]
            )
        )
        return f"{x}.pool"

    def up(x: str, inputs: int, outputs: int) -> str:
        nodes.append(
            helper.make_node(
                "Resize", [x, "", "twice"], [f"{x}.up"], name=f"{x}.up", mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor",
            )
        )  # fmt: skip
        return conv(f"{x}.up", f"{x}.narrow", inputs, outputs, size=1)

    def joined(a: str, b: str) -> str:
        nodes.append(helper.make_node("Concat", [a, b], [f"{b}.both"], name=f"{b}.both", axis=1))
        return f"{b}.both"

    top = conv("image", "down0", 3, 8)
    middle = conv(pool(top), "down1", 8, 16)
    bottom = conv(pool(middle), "down2", 16, 32)
    middle = conv(joined(middle, up(bottom, 32, 16)), "up1", 32, 16)
    top = conv(joined(top, up(middle, 16, 8)), "up0", 16, 8)
    conv(top, "classes", 8, 4, size=1, last=True)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
    classes = helper.make_tensor_value_info("classes.sums", TensorProto.FLOAT, [1, 4, 16, 16])
    graph = helper.make_graph(nodes, "unet", [image], [classes], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_unet_equals_its_quantised_graph(tmp_path) -> None:
    path = tmp_path / "unet.onnx"
    path.write_bytes(unet().SerializeToString())
    random = np.random.default_rng(1)
    samples = [{"image": random.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(3)]
    package = compile(str(path), "f1-b4096", precision="int8", calibration=samples[1:])
    profile = package.profile(samples[0])
    wanted = package.graph.evaluate(samples[0])
    assert np.array_equal(profile.outputs["classes.sums"], wanted["classes.sums"])
    assert profile.chips[0].summary["macs"] > 0
    kinds = ("quant.quantize", "quant.dequantize")  # the borders to floats: upsampling is on the chip too
    assert all(any(kind in each for kind in kinds) for each in map(str, package.manifest.fallbacks))
