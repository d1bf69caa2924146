"""The models that the frontend is tried on: small random configurations of public definitions, and layers of torch.

Each entry builds a module in inference mode and its example inputs by name. Needs torch and transformers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import nn

Example = Mapping[str, torch.Tensor]


class Tensors(nn.Module):
    """A transformers model whose outputs are the tensors among the named fields, as a tuple."""

    def __init__(self, model: nn.Module, fields: tuple[str, ...]):
        super().__init__()
        self.model, self.fields = model, fields

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = self.model(**inputs, return_dict=True)
        return tuple(getattr(out, field) for field in self.fields)


class Positional(nn.Module):
    """A module with its inputs by position, which tracing asks for."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.module, self.names = module, names

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.module(**dict(zip(self.names, values, strict=True)))


class Recurrent(nn.Module):
    """Two bidirectional layers, batch first, and what becomes of their last states."""

    def __init__(self, layer: Callable[..., nn.Module], **options: Any):
        super().__init__()
        self.layer = layer(5, 6, batch_first=True, **options)
        self.head = nn.Linear(6 * (2 if options.get("bidirectional") else 1), 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, states = self.layer(x)
        return self.head(y), states[0] if isinstance(states, tuple) else states


@torch.no_grad()
def _draw(module: nn.Module) -> None:
    """Weights with which every output depends on every input: initial ones hardly let it."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, parameter[0].numel() ** -0.5)
        else:
            parameter.add_(torch.randn_like(parameter) * 0.2)
        parameter.copy_((parameter * 64).round() / 64)  # few bits, so that fixtures are small


@torch.no_grad()
def _settle(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> None:
    """Statistics of inputs: with others the results of many layers would depend on no input."""
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.train().momentum = 1.0
    module(**{name: torch.randn(16, *value.shape[1:]) for name, value in inputs.items()})
    for norm in norms:
        for statistics in (norm.running_mean, norm.running_var):
            statistics.copy_(statistics.half())  # few bits here too
        norm.eval()


@dataclass(frozen=True)
class Model:
    """How to build a module and its inputs; `fields` name the outputs of a transformers model that are compared."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, torch.Tensor]]
    fields: tuple[str, ...] = ()
    scripted: bool = True
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def make(self) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        """The module, its statistics and weights drawn from a fixed seed, and its example inputs."""
        torch.manual_seed(0)
        module = self.build()
        _draw(module)
        module = (Tensors(module, self.fields) if self.fields else module).eval()
        torch.manual_seed(1)
        inputs = self.inputs()
        _settle(module, inputs)
        return module, inputs


def image(size: int = 32, channels: int = 3) -> Callable[[], dict[str, torch.Tensor]]:
    return lambda: {"pixel_values": torch.randn(1, channels, size, size)}


def text(length: int = 7, vocabulary: int = 32, **more: Any) -> Callable[[], dict[str, torch.Tensor]]:
    """Token numbers, with a mask that leaves out the last one."""

    def inputs() -> dict[str, torch.Tensor]:
        mask = torch.ones(1, length, dtype=torch.long)
        mask[:, -1] = 0
        tokens = torch.randint(3, vocabulary, (1, length))
        return {"input_ids": tokens, "attention_mask": mask, **{name: make() for name, make in more.items()}}

    return inputs


def decoder_tokens() -> torch.Tensor:
    return torch.randint(3, 32, (1, 4))


T = transformers
TEXT = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
ENCODER = {**TEXT, "intermediate_size": 24, "max_position_embeddings": 16}
PATCHES = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2}
VISION = {**PATCHES, "num_attention_heads": 2, "intermediate_size": 24}

MODELS: dict[str, Model] = {
    "resnet": Model(
        lambda: T.ResNetForImageClassification(
            T.ResNetConfig(
                embedding_size=8, hidden_sizes=[8, 12], depths=[2, 1], layer_type="basic", num_labels=5
            )
        ),
        image(),
        ("logits",),
    ),
    "mobilenetv2": Model(
        lambda: T.MobileNetV2ForImageClassification(
            T.MobileNetV2Config(depth_multiplier=0.1, min_depth=4, image_size=32, finegrained_output=False)
        ),
        image(),
        ("logits",),
    ),
    "efficientnet": Model(
        lambda: T.EfficientNetForImageClassification(
            T.EfficientNetConfig(
                image_size=32,
                width_coefficient=0.2,
                depth_coefficient=0.5,
                hidden_dim=256,
                num_hidden_layers=8,
                in_channels=[32, 16, 24],
                out_channels=[16, 24, 40],
                kernel_sizes=[3, 3, 5],
                strides=[1, 2, 2],
                num_block_repeats=[1, 2, 2],
                expand_ratios=[1, 6, 6],
                depthwise_padding=[],
            )
        ),
        image(),
        ("logits",),
    ),
    "convnext": Model(
        lambda: T.ConvNextForImageClassification(
            T.ConvNextConfig(hidden_sizes=[8, 12], depths=[1, 1], num_stages=2, image_size=32, num_labels=5)
        ),
        image(),
        ("logits",),
    ),
    "vit": Model(
        lambda: T.ViTForImageClassification(T.ViTConfig(**VISION, num_labels=5)), image(), ("logits",)
    ),
    "swin": Model(
        lambda: T.SwinForImageClassification(
            T.SwinConfig(
                image_size=32, patch_size=4, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4
            )
        ),
        image(),
        ("logits",),
    ),
    "yolos": Model(
        lambda: T.YolosForObjectDetection(
            T.YolosConfig(**{**VISION, "image_size": [32, 32]}, num_detection_tokens=5, num_labels=3)
        ),
        image(),
        ("logits", "pred_boxes"),
    ),
    "segformer": Model(
        lambda: T.SegformerForSemanticSegmentation(
            T.SegformerConfig(
                num_encoder_blocks=2,
                depths=[1, 1],
                sr_ratios=[2, 1],
                hidden_sizes=[8, 16],
                patch_sizes=[7, 3],
                strides=[4, 2],
                num_attention_heads=[1, 2],
                mlp_ratios=[2, 2],
                decoder_hidden_size=8,
                num_labels=4,
            )
        ),
        image(),
        ("logits",),
    ),
    "bert": Model(
        lambda: T.BertModel(T.BertConfig(**ENCODER)),
        text(token_type_ids=lambda: torch.zeros(1, 7, dtype=torch.long)),
        ("last_hidden_state", "pooler_output"),
    ),
    "distilbert": Model(
        lambda: T.DistilBertModel(
            T.DistilBertConfig(
                vocab_size=32, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=16
            )
        ),
        text(),
        ("last_hidden_state",),
    ),
    "t5": Model(
        lambda: T.T5ForConditionalGeneration(
            T.T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, use_cache=False)
        ),
        text(decoder_input_ids=decoder_tokens),
        ("logits", "encoder_last_hidden_state"),
    ),
    "gpt2": Model(
        lambda: T.GPT2LMHeadModel(
            T.GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=16, use_cache=False)
        ),
        text(),
        ("logits",),
    ),
    "llama": Model(
        lambda: T.LlamaForCausalLM(
            T.LlamaConfig(**{**ENCODER, "num_attention_heads": 4}, num_key_value_heads=2, use_cache=False)
        ),
        text(),
        ("logits",),
    ),
    "mixtral": Model(
        lambda: T.MixtralForCausalLM(
            T.MixtralConfig(
                **{**ENCODER, "num_attention_heads": 4},
                num_key_value_heads=2,
                num_local_experts=4,
                num_experts_per_tok=2,
                use_cache=False,
            )
        ),
        text(),
        ("logits",),
        scripted=False,
    ),
    "whisper": Model(
        lambda: T.WhisperForConditionalGeneration(
            T.WhisperConfig(
                vocab_size=32,
                num_mel_bins=8,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=24,
                decoder_ffn_dim=24,
                d_model=16,
                max_source_positions=10,
                max_target_positions=8,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                decoder_start_token_id=1,
                use_cache=False,
            )
        ),
        lambda: {"input_features": torch.randn(1, 8, 20), "decoder_input_ids": decoder_tokens()},
        ("logits", "encoder_last_hidden_state"),
    ),
    "wav2vec2": Model(
        lambda: T.Wav2Vec2ForCTC(
            T.Wav2Vec2Config(
                **{**TEXT, "num_hidden_layers": 1},
                intermediate_size=24,
                conv_dim=(8, 8),
                conv_stride=(5, 2),
                conv_kernel=(10, 3),
                num_feat_extract_layers=2,
                num_conv_pos_embeddings=8,
                num_conv_pos_embedding_groups=2,
                mask_time_prob=0.0,
            )
        ),
        lambda: {"input_values": torch.randn(1, 200)},
        ("logits",),
    ),
    "lstm": Model(
        lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True), lambda: {"x": torch.randn(2, 7, 5)}
    ),
    "gru": Model(lambda: Recurrent(nn.GRU, num_layers=2), lambda: {"x": torch.randn(2, 7, 5)}),
}
