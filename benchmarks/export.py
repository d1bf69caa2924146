"""Builds the benchmark models from the public definitions in transformers and exports them to ONNX.

Weights and normalisation statistics are random, so nothing is downloaded; a model that hardly depends on its
input would let any compiler pass, so each file is checked for that with ONNX Runtime before it is kept.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx_ir
import onnx_ir.passes.common as cleanup
import onnxruntime
import torch
import transformers
from onnxscript.optimizer import fold_constants_ir
from torch import nn
from transformers.pytorch_utils import Conv1D

from .models import TOLERANCE, Model, inputs
from .pretrained import Blocks

OPSET = 18
CLASSES = 1000
CALIBRATION_SEEDS = range(1000, 1004)

# "eager" is attention as matrix product, scale, mask, softmax, matrix product: the form that every engine's own fusion
# recognises. The exporter's form of "sdpa" adds a NaN guard between softmax and product.
ATTENTION = "eager"


class Positional(nn.Module):
    """A transformers model with its inputs by position and its outputs as a tuple."""

    def __init__(self, model: nn.Module, names: tuple[str, ...], count: int) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.count = count

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The first `count` outputs of the model."""
        return tuple(
            self.model(**dict(zip(self.names, values, strict=True)), return_dict=False)[: self.count]
        )


class Step(nn.Module):
    """A language model on one token, after keys and values of those before: past [layer, 2, batch, head, token, d]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, past: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        """The logits of the next token."""
        cache = transformers.DynamicCache()
        for number, (keys, values) in enumerate(past):
            cache.update(keys, values, number)
        return (self.model(input_ids=input_ids, past_key_values=cache, use_cache=True).logits,)


class UNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) of four levels, with batch normalisation and padded convolutions."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()
        before = (3, *widths)
        self.down = nn.ModuleList(self._level(a, b) for a, b in zip(before, widths, strict=False))
        pairs = list(zip(widths[1:], widths, strict=False))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs)
        self.joined = nn.ModuleList(self._level(2 * b, b) for _, b in pairs)
        self.head = nn.Conv2d(widths[0], 2, 1)

    @staticmethod
    def _level(inputs: int, outputs: int) -> nn.Module:
        pairs = ((inputs, outputs), (outputs, outputs))
        return nn.Sequential(
            *(
                layer
                for a, b in pairs
                for layer in (nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            )
        )

    def forward(self, pixel_values: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        """Logits of two classes for each pixel."""
        kept, x = [], pixel_values
        for number, level in enumerate(self.down):
            x = level(x if number == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for up, joined, skip in zip(self.up, self.joined, kept[-2::-1], strict=True):
            x = joined(torch.cat((up(x), skip), 1))
        return (self.head(x),)


class Recurrent(nn.Module):
    """Two layers of LSTM in both directions over a sequence [time, batch, features]."""

    def __init__(self, features: int = 256, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.LSTM(features, hidden, num_layers=2, bidirectional=True)

    def forward(self, sequence: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        """The states of both directions at each time."""
        return (self.layers(sequence)[0],)


class Product(nn.Module):
    """A product of 768 features with as many columns as asked for."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.linear = nn.Linear(768, columns, bias=False)

    def forward(self, x: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        """The product."""
        return (self.linear(x),)


def _resnet(layer: str, depths: list[int], widths: list[int]) -> nn.Module:
    config = transformers.ResNetConfig(
        layer_type=layer, depths=depths, hidden_sizes=widths, num_labels=CLASSES
    )
    return transformers.ResNetForImageClassification(config)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: _resnet("basic", [2, 2, 2, 2], [64, 128, 256, 512]),
    "resnet50": lambda: _resnet("bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]),
    "mobilenetv2": lambda: transformers.MobileNetV2ForImageClassification(
        transformers.MobileNetV2Config(tf_padding=False, num_labels=CLASSES)
    ),
    "vit_base": lambda: transformers.ViTForImageClassification(
        transformers.ViTConfig(num_labels=CLASSES, attn_implementation=ATTENTION)
    ),
    "bert_base": lambda: transformers.BertModel(transformers.BertConfig(attn_implementation=ATTENTION)),
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(use_cache=False, attn_implementation=ATTENTION)
    ),
    "convnext_tiny": lambda: transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(num_labels=CLASSES, layer_scale_init_value=0.3)
    ),
    "efficientnet_b0": lambda: transformers.EfficientNetForImageClassification(
        transformers.EfficientNetConfig(
            image_size=224, width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, num_labels=CLASSES
        )
    ),
    "unet": UNet,
    "bilstm": Recurrent,
    "row_3072": lambda: Product(3072),
    "row_50257": lambda: Product(50257),
    "gpt2_step": lambda: Step(
        transformers.GPT2LMHeadModel(transformers.GPT2Config(attn_implementation=ATTENTION))
    ),
}


class InvertedResidual(nn.Module):
    """A block of MobileNetV2 and EfficientNet-Lite: a wide depthwise convolution between two products."""

    def __init__(self, before: int, after: int, expansion: int, kernel: int, stride: int, given: Blocks):
        super().__init__()
        wide = before * expansion
        wider = (*_convolution(before, wide, 1, 1, 1, given), nn.ReLU6()) if expansion > 1 else ()
        depthwise = (*_convolution(wide, wide, kernel, stride, wide, given), nn.ReLU6())
        self.way = nn.Sequential(*wider, *depthwise, *_convolution(wide, after, 1, 1, 1, given))
        self.residual = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's result, added to its operand where both are alike."""
        return x + self.way(x) if self.residual else self.way(x)


def _convolution(
    before: int, after: int, kernel: int, stride: int, groups: int, given: Blocks
) -> tuple[nn.Module, ...]:
    """Padding, convolution and normalisation."""
    pad = kernel - stride if given.same else kernel - 1
    begin = pad // 2 if given.same else kernel // 2
    end = pad - begin if given.same else kernel // 2
    padding = (nn.ZeroPad2d((begin, end, begin, end)),) if begin != end else ()
    conv = nn.Conv2d(before, after, kernel, stride, 0 if padding else begin, groups=groups, bias=False)
    return (*padding, conv, nn.BatchNorm2d(after, given.epsilon))


def _classifier(given: Blocks) -> nn.Module:
    """Of 1000 classes, with the widths of the first and the last layers that both families share."""
    layers: list[nn.Module] = [*_convolution(3, 32, 3, 2, 1, given), nn.ReLU6()]
    before = 32
    for expansion, after, repetitions, stride, kernel in given.rows:
        for number in range(repetitions):
            step = stride if number == 0 else 1
            layers.append(InvertedResidual(before, after, expansion, kernel, step, given))
            before = after
    head = (*_convolution(before, 1280, 1, 1, 1, given), nn.ReLU6())
    return nn.Sequential(*layers, *head, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, CLASSES))


def classifier(given: Blocks, weights: Path, size: int, file: Path) -> None:
    """Write a trained classifier to `file`; its weights are taken in the order in which the layers run."""
    network = _classifier(given).eval()
    trained = torch.load(weights, map_location="cpu", weights_only=True)
    names = list(network.state_dict())
    network.load_state_dict(dict(zip(names, trained.values(), strict=True)))
    file.parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode(), _quiet():
        _save(network, (torch.zeros(1, 3, size, size),), ("image",), ("scores",), file)


def export(model: Model, file: Path, seed: int = 0) -> str:
    """Write the model to `file` and return a line about it; raises RuntimeError where the check fails."""
    torch.manual_seed(seed)
    with torch.inference_mode(), _quiet():
        example = inputs(model.name, 0)
        network = Positional(BUILDERS[model.name](), tuple(example), len(model.outputs)).eval()
        _randomise(network)
        _calibrate(network, model)
        _save(network, _tensors(example), tuple(example), model.outputs, file)
        return _check(model, file, network)


def _save(
    network: nn.Module,
    example: tuple[torch.Tensor, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    file: Path,
) -> None:
    program = torch.onnx.export(
        network,
        example,
        dynamo=True,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
        optimize=False,
    )
    if program is None:
        raise RuntimeError(f"{file.stem}: torch.onnx.export returned no program")
    _tidy(program.model)
    program.save(file, external_data=False)


def _tidy(program: onnx_ir.Model) -> None:
    """Fold constants, no more: the exporter's own optimiser would also fold what is the compiler's work."""
    fold_constants_ir(program)
    onnx_ir.passes.Sequential(
        cleanup.RemoveUnusedNodesPass(),
        cleanup.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        cleanup.DeduplicateInitializersPass(),
        cleanup.CommonSubexpressionEliminationPass(),
        cleanup.NameFixPass(),
        cleanup.ClearMetadataAndDocStringPass(),  # it holds the paths of this machine
    )(program)


def _tensors(arrays: dict[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in arrays.values())


def _randomise(network: nn.Module) -> None:
    """Weights that keep a unit variance through every product, and normalisations away from the identity."""
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, Conv1D)):
            weight = module.weight
            if id(weight) not in embeddings:
                fan_in = weight.shape[0] if isinstance(module, Conv1D) else weight[0].numel()
                weight.normal_(0.0, fan_in**-0.5)
            if module.bias is not None:
                module.bias.normal_(0.0, 0.1)
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0.0, 0.2)
    for module in network.modules():
        norm = getattr(module, "normalization", None)
        linear = isinstance(getattr(module, "activation", norm), (nn.Identity, type(None)))
        if linear and isinstance(norm, nn.BatchNorm2d):
            # The end of a residual branch. At full weight each block would multiply rounding errors, at this depth
            # by hundreds; training (and the usual initialisation with zeros) leaves these weights small too.
            norm.weight.mul_(0.4)


def _calibrate(network: nn.Module, model: Model) -> None:
    """Set batch normalisations' statistics near those of random inputs, so that depth does not change the scale."""

    def observe(norm: nn.BatchNorm2d, operands: tuple[torch.Tensor, ...]) -> None:
        variance, mean = torch.var_mean(operands[0], dim=(0, 2, 3))
        deviation = variance.sqrt()
        norm.get_buffer("running_mean").copy_(mean + 0.2 * deviation * torch.randn_like(mean))
        norm.get_buffer("running_var").copy_(
            (variance + 1e-3) * torch.empty_like(variance).uniform_(0.7, 1.4)
        )

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if norms:
        hooks = [norm.register_forward_pre_hook(observe) for norm in norms]
        batches = [_tensors(inputs(model.name, seed)) for seed in CALIBRATION_SEEDS]
        network(*(torch.cat(operand) for operand in zip(*batches, strict=True)))
        for hook in hooks:
            hook.remove()


def _check(model: Model, file: Path, network: nn.Module) -> str:
    """Compare with torch, and see that two inputs differ in each output by at least 100 tolerances."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    first, second = (session.run(None, inputs(model.name, seed)) for seed in (1, 2))
    wanted = [output.numpy() for output in network(*_tensors(inputs(model.name, 1)))]
    error, contrast = 0.0, np.inf
    for one, two, want in zip(first, second, wanted, strict=True):
        scale = float(np.abs(want).max())
        error = max(error, float(np.abs(one - want).max()) / scale)
        contrast = min(contrast, float(np.abs(one - two).max()) / scale)
    if not error <= TOLERANCE / 10:
        raise RuntimeError(
            f"{model.name}: the ONNX file differs from torch by {error:.1e}, expected 1e-5 at most"
        )
    if not contrast >= 100 * TOLERANCE:
        raise RuntimeError(
            f"{model.name}: two inputs differ by {contrast:.1e}, expected {100 * TOLERANCE:g} or more"
        )
    size = file.stat().st_size / 1e6
    return f"{model.title}: {size:.0f} MB, error to torch {error:.1e}, contrast of two inputs {contrast:.2f}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's progress report, and warnings about parts of the frameworks that are not used here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
