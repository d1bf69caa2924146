"""What the verbs share: settings, options, and how results are printed."""

import json
from collections.abc import Callable
from dataclasses import field, replace
from functools import wraps
from typing import Any

import click

from isthmus.runtime.records import dataclass


@dataclass
class Settings:
    """How to talk: JSON for machines, no progress, tracebacks."""

    json: bool = False
    quiet: bool = False
    debug: bool = False

    def show(self, record: Any, text: object) -> None:
        """Print a result: the record as JSON, or the text for people."""
        click.echo(json.dumps(record, indent=1) if self.json else str(text))


class ShapeType(click.ParamType):
    """NAME=1,3,?,S as (name, (1, 3, None, "S"))."""

    name = "NAME=D,D,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, tuple[int | str | None, ...]]:
        name, equals, dims = str(value).rpartition("=")
        if not equals or not name:
            self.fail(f"'{value}' names no input; write NAME=1,3,224,224", param, ctx)
        return name, tuple(_dim(dim.strip()) for dim in dims.split(",") if dim.strip())


class NumbersType(click.ParamType):
    """NAME=16000 as (name, 16000), NAME=1,2.5 as (name, [1, 2.5]), NAME=1, as (name, [1])."""

    name = "NAME=N,N,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        name, equals, text = str(value).rpartition("=")
        if not equals or not name:
            self.fail(f"'{value}' names no input; write NAME=16000", param, ctx)
        try:
            numbers = [_number(part) for part in text.removesuffix(",").split(",")]
        except ValueError:
            self.fail(f"'{text}' is no number and no list of them", param, ctx)
        return name, numbers if "," in text else numbers[0]


class PairType(click.ParamType):
    """NAME=VALUE as a pair."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"'{value}' has no '='", param, ctx)
        return name, text


def _number(text: str) -> int | float:
    """Raises ValueError where it is none."""
    return int(text) if text.strip().lstrip("-").isdigit() else float(text)


def _dim(text: str) -> int | str | None:
    if text == "?":
        return None
    return int(text) if text.lstrip("-").isdigit() else text


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """--json, --quiet and --debug; the verb gets the Settings as its first argument."""
    texts = {
        "json": "Print the result, or the errors, as JSON.",
        "quiet": "Show no progress.",
        "debug": "Show tracebacks.",
    }
    for name, text in reversed(texts.items()):
        option = click.option(
            f"--{name}", is_flag=True, is_eager=True, expose_value=False, callback=_set, help=text
        )
        function = option(function)
    return click.pass_obj(function)


def _set(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        setattr(context.find_root().obj, str(parameter.name), True)


target = click.option(
    "--target", default="cpu", show_default=True, help="What to compile for; see `isthmus targets`."
)
shapes = click.option(
    "--shapes",
    type=ShapeType(),
    multiple=True,
    callback=lambda _context, _parameter, value: dict(value),
    help="Fix an input's shape; ? leaves a dimension as it is. Once for each input.",
)
constants = click.option(
    "--constant",
    "constants",
    type=NumbersType(),
    multiple=True,
    callback=lambda _context, _parameter, value: dict(value),
    help="Fix an input to numbers; the package does not take it then. N, is a vector of one.",
)
backend_options = click.option(
    "--option",
    "options",
    type=PairType(),
    multiple=True,
    callback=lambda _context, _parameter, value: dict(value),
    help="An option of the target itself, such as level=avx2 or triple=aarch64-linux-gnu for the cpu.",
)
_SYSTEM = (
    click.option(
        "--pin",
        "pins",
        multiple=True,
        metavar="PATTERN=DEVICE",
        help="In a system: nodes whose names fit run on this device, as layer4*=cpu. May be given several times.",
    ),
    click.option("--objective", help="In a system: what is to be best, latency (the default) or throughput."),
)


def system(function: Callable[..., Any]) -> Callable[..., Any]:
    """--pin and --objective, as options of the target."""

    @wraps(function)
    def joined(*arguments: Any, pins: tuple[str, ...], objective: str | None, **rest: Any) -> Any:
        asked = {"pins": pins, "objective": objective}
        rest["options"] = {**rest["options"], **{name: value for name, value in asked.items() if value}}
        return function(*arguments, **rest)

    wrapped: Callable[..., Any] = joined
    for option in reversed(_SYSTEM):
        wrapped = option(wrapped)
    return wrapped


_PRECISION = (
    click.option(
        "--precision",
        help="What to compute in: f32 (the model's own types; the default), bf16, or int8 (the default with any of"
        " the following options).",
    ),
    click.option(
        "--calibration",
        type=click.Path(),
        multiple=True,
        help="For int8: an .npz file with sample inputs, an array for each input, samples along its first axis.",
    ),
    click.option(
        "--ranges", help="For int8: how ranges are chosen from samples: mse, percentile, minmax or entropy."
    ),
    click.option(
        "--float-layer",
        "float_layers",
        multiple=True,
        metavar="NODE",
        help="For int8: a node that stays in floats.",
    ),
    click.option(
        "--budget",
        type=float,
        help="For int8: dB of signal to noise that outputs must have; costly layers stay in floats.",
    ),
    click.option("--rest", help="For int8: what products that stay in floats compute in: f32 or bf16."),
)


@dataclass(frozen=True)
class AskedPrecision:
    """What --precision and the options beside it ask for; `files` are those of --calibration."""

    name: str | None
    files: tuple[str, ...] = ()
    choices: dict[str, Any] = field(default_factory=dict)

    def reporting(self, report: bool) -> "AskedPrecision":
        """The same, with the errors of all layers measured if `report`."""
        return replace(self, choices={**self.choices, "report": True}) if report else self

    @property
    def is_plain(self) -> bool:
        """Whether neither samples nor choices of 8-bit integers are given."""
        return self.name != "int8" and not self.files and not self.choices

    def check(self) -> None:
        """UnsupportedError for what does not go together, before anything is read."""
        from isthmus.precision import find_precision

        find_precision(**self._keywords([{}] if self.files else None))

    def keywords(self, model: Any) -> dict[str, Any]:
        """Keywords of `compile`, `check` and `explain`: the precision, with the samples as the model takes them."""
        from isthmus.calibration import load_samples

        if not self.files:
            return self._keywords(None)
        model.require_bound()
        return self._keywords(load_samples(self.files, model))

    def _keywords(self, samples: Any) -> dict[str, Any]:
        return {"precision": self.name, "calibration": samples, "quantisation": self.choices or None}


def precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """--precision and what belongs to it; the verb gets them as one AskedPrecision."""

    @wraps(function)
    def verb(
        *arguments: Any,
        precision: str | None,
        calibration: tuple[str, ...],
        ranges: str | None,
        float_layers: tuple[str, ...],
        budget: float | None,
        rest: str | None,
        **others: Any,
    ) -> Any:
        given = {"ranges": ranges, "floats": float_layers, "budget": budget, "rest": rest}
        chosen = {name: value for name, value in given.items() if value}
        return function(*arguments, precision=AskedPrecision(precision, calibration, chosen), **others)

    for option in reversed(_PRECISION):
        verb = option(verb)
    return verb


threads = click.option("--threads", type=click.IntRange(1), help="Threads to run on; by default all cores.")
inputs = click.option(
    "--input",
    "inputs",
    type=click.Path(),
    multiple=True,
    required=True,
    help="An .npz file with an array for each input, or NAME=FILE.npy. May be given several times.",
)
