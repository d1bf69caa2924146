"""A chip as data: memories, engines and how they are controlled. Numbers only; no code knows a chip's name.

`chipfile.py` reads it from TOML. Units: bytes, bytes per cycle, cycles. A figure that a kind of chip has no use for
keeps its default: caches have no pages, register files no banks.
"""

from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from typing import Any

from ...runtime.records import dataclass
from ..diagnostics import CompileError


@dataclass(frozen=True)
class Memory:
    """`managed` is "explicit" (software places tiles) or "cache" (a hold emits no copy unless it has a layout).

    `usable` is the share of a cache that a tile may count on; `bandwidth` is towards the engines, bytes per cycle.
    `run_overhead`: bytes of bandwidth that starting a contiguous run costs. `banks` serve different accesses at once.
    Of lines of a cache that lie multiples of `alias` bytes apart, only as many stay as that goes into its size.
    DRAM: `channels` take turns every `interleave` bytes; a transfer moves whole bursts of `burst` bytes, opens pages of
    `page` bytes for `page_miss` cycles each, waits `latency` cycles for its first byte, and stops for `refresh_for`
    cycles every `refresh_every`; `outstanding` bursts may be under way at once.
    """

    name: str
    bytes: int = 0
    managed: str = "explicit"
    private: bool = False
    home: bool = False
    usable: float = 1.0
    line: int = 64
    bandwidth: float = 8.0
    run_overhead: float = 0.0
    alias: int = 0
    banks: int = 1
    channels: int = 1
    interleave: int = 256
    latency: int = 0
    burst: int = 64
    page: int = 2048
    page_miss: int = 0
    refresh_every: int = 0
    refresh_for: int = 0
    outstanding: int = 16


@dataclass(frozen=True)
class Dataflow:
    """One way in which an array does a product of m rows, n columns and sums of k.

    `cycles` is how long the array is busy, `load` what passes before that until its first weights stand (hidden behind
    the product before where there are two weight banks), `fill` what passes behind it until the last sum is there, and
    `drain` how much of that sums which stood still take out of the array by the way of those that do not: products of
    mappings without it begin behind.
    Formulas over m (m1 lines of m0 rows), n, k, k_tiles and n_tiles (how many arrays high and wide the weights are),
    `runs` (pieces of the sum that lie apart in the rows operand), `size` (bytes of a factor) and the engine's own
    figures; see `runtime/sim/formula.py`.
    """

    name: str
    cycles: str = "0"
    load: str = "0"
    fill: str = "0"
    drain: str = "0"


@dataclass(frozen=True)
class Engine:
    """What an engine does and what it costs.

    `does`: "contract" (products), "elementwise" (all other work), "load" and "store" (copies from and to home, by a
    port of `bytes_per_cycle` where that is narrower than home's link). `reads` and `writes` name the memories that it
    reaches. An engine with `registers` is an outer-product engine: `lanes`, `issue`, `loads`, `latency` and the
    overheads are explained in `tile/cost.py`; one with `types` does only products of these, `group` neighbours along
    the sum at once, of packed columns with `planes` times their bytes. An array has `rows` (along the sum) and `cols`
    (results), operands `a` and `b` and `accumulators` in memories of their own, and mappings; it handles `pixels` rows
    of a line of operands at once. A vector engine does `lanes` elements a cycle, of one line or of `pixels` lines side
    by side, `mac_per_cycle` elements of sums of products and windows, `special_per_cycle` table look-ups, exponentials
    or divisions; an access across lanes takes `transpose_factor` times as long. `between`: cycles from the end of an
    instruction to the next one's first operation.
    """

    name: str
    does: str
    lanes: int = 1
    registers: int = 0
    issue: float = 1.0
    loads: float = 1.0
    latency: float = 1.0
    accumulators: str = ""
    turn_overhead: float = 0.0
    tile_overhead: float = 0.0
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    group: int = 1
    planes: int = 1
    a: str = ""
    b: str = ""
    pixels: int = 1
    rows: int = 1
    cols: int = 1
    weight_banks: int = 1
    mac_per_cycle: int = 1
    special_per_cycle: int = 1
    transpose_factor: int = 1
    bytes_per_cycle: float = 0.0
    between: int = 0
    mapping: Mapping[str, Dataflow] = field(default_factory=dict)


@dataclass(frozen=True)
class Control:
    """How instructions reach the engines: entries of each queue, semaphores, cycles to issue a word of an instruction,
    and from the end of one to the start of one that waited for its token."""

    queue_depth: int = 8
    semaphores: int = 16
    issue_cycles: int = 1
    signal_cycles: int = 0


@dataclass(frozen=True)
class Target:
    """One chip. `memories` are ordered from the engines outwards; `energy` is in picojoules by what is done.

    `calibration` corrects predicted cycles by what was measured: see `seconds`. `part` names the device that a
    configurable chip is for.
    """

    name: str
    kind: str
    part: str = ""
    cores: int = 1
    clock_mhz: float = 1000.0
    memories: Mapping[str, Memory] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)
    control: Control = Control()
    limits: Mapping[str, int] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    energy: Mapping[str, float] = field(default_factory=dict)
    calibration: Mapping[str, float] = field(default_factory=dict)

    def seconds(self, cycles: float) -> float:
        """What a kernel of so many predicted cycles takes: `scale` times as many, and `kernel` for each kernel."""
        corrected = cycles * self.calibration.get("scale", 1.0) + self.calibration.get("kernel", 0.0)
        return corrected / self.clock_mhz * 1e-6

    def engine(self, does: str) -> Engine:
        """The engine that does one kind of work; CompileError when there is none."""
        for engine in self.engines.values():
            if engine.does == does:
                return engine
        raise CompileError(
            f"target {self.name} has no engine that does '{does}'", hint="add one to the chip file"
        )

    @property
    def home(self) -> Memory:
        """The memory where operands and results live."""
        return next(memory for memory in self.memories.values() if memory.home)

    @property
    def caches(self) -> list[Memory]:
        """The memories between the engines and home that fill themselves, from the engines outwards."""
        return [memory for memory in self.memories.values() if memory.managed == "cache" and not memory.home]

    @property
    def near(self) -> Memory:
        """Where tiles stay: the largest cache that a core has for itself; home where it has none."""
        return ([memory for memory in self.caches if memory.private] or [self.home])[-1]

    @property
    def is_explicit(self) -> bool:
        """Whether software places every tile: no memory but home fills itself."""
        return not any(memory.managed == "cache" for memory in self.memories.values())

    def record(self) -> dict[str, Any]:
        """The chip as JSON values, for its device: tables by name, an engine's mappings as a list in their order."""
        record = _plain(self)
        for memory in record["memories"].values():
            memory["bytes_per_cycle"] = memory.pop("bandwidth")
        for engine in record["engines"].values():
            engine["mappings"] = list(engine.pop("mapping").values())
        return record


def figures(engine: Engine) -> dict[str, float]:
    """The numbers of an engine by name, as formulas use them."""
    values = {each.name: getattr(engine, each.name) for each in fields(engine)}
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
