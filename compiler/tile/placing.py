"""Where the work of a kernel goes on a chip: engines of stages, memories of buffers, how far stages lag."""

from collections.abc import Sequence
from functools import cached_property

from ..diagnostics import UnsupportedError
from ..target.description import Engine, Target
from .products import Product, product
from .stage import LOCAL, OUTPUT, PARALLEL, REDUCE, SCAN, Buffer, Kernel, Load, Lookup, Stage


class Placing:
    """One kernel on one target, with so many `spare` places for what passes between engines. UnsupportedError where no
    engine runs a stage as it is."""

    def __init__(self, kernel: Kernel, target: Target, spare: int = 0):
        self.kernel = kernel
        self.target = target
        self.spare = spare
        self.extents = {name: d.size for name, d in kernel.dims.items()}
        self.vector = target.engine("elementwise")
        arrays = [engine for engine in target.engines.values() if engine.does == "contract"]
        self.array = arrays[0] if arrays else None
        self.products: dict[str, Product] = {}
        self._after: dict[frozenset[str], frozenset[str]] = {}
        for stage in kernel.stages:
            found = product(kernel, stage, self.array.types) if self.array is not None else None
            if found is not None:
                self.products[stage.name] = found
        if any(d.kind == SCAN for stage in kernel.stages for d in stage.dims):
            raise UnsupportedError(f"kernel {kernel.name} has a sequential dim")
        for stage in kernel.stages:
            plain = [a.buffer for a in stage.reads if not any(isinstance(part, Lookup) for part in a.index)]
            both = [name for name in plain if self.fetched(stage) is None and self.is_gathered(name)]
            if both:
                raise UnsupportedError(f"'{both[0]}' is read in tiles and by looked-up rows in one kernel")

    @cached_property
    def memory(self) -> dict[str, str]:
        """The memory in which each buffer is held."""
        near = self.vector.writes[0]
        found = {buffer.name: near for buffer in self.kernel.buffers}
        for stage in self.kernel.stages:
            each = self.products.get(stage.name)
            if each is not None:
                assert self.array is not None
                found[each.rows.buffer] = self.array.a
                found[each.columns.buffer] = self.array.b
                found[stage.write.buffer] = self.array.accumulators
        return found

    def room(self, name: str) -> int:
        """Bytes of the memory in which a buffer is held."""
        return self.target.memories[self.memory[name]].bytes

    @cached_property
    def common(self) -> list[str]:
        """Dims that all stages have as parallel ones, as the last stage's result has them, outermost first."""
        shared = [frozenset(d.name for d in s.kind(PARALLEL)) for s in self.kernel.stages]
        common = frozenset.intersection(*shared)
        final = self.kernel.stages[-1]
        order = [d for part in final.write.index for d in getattr(part, "dims", ())]
        order += [d.name for d in final.dims]
        return [name for name in dict.fromkeys(order) if name in common]

    @cached_property
    def loader(self) -> Engine:
        """The engine that copies from home to where the vector engine works."""
        return next(
            engine
            for engine in self.target.engines.values()
            if engine.does == "load" and self.vector.writes[0] in engine.writes
        )

    def engine(self, stage: Stage) -> Engine:
        """The engine that runs a stage."""
        if stage.name in self.products:
            assert self.array is not None
            return self.array
        return self.vector if self.fetched(stage) is None else self.loader

    def user(self, buffer: Buffer) -> str:
        """The engine that reads a loaded tile, or writes one that is stored."""
        stages = (
            self.kernel.writers(buffer.name) if buffer.role == OUTPUT else self.kernel.readers(buffer.name)
        )
        array = self.array is not None and any(stage.name in self.products for stage in stages)
        return self.array.name if array and self.array is not None else self.vector.name

    def queue(self, buffer: Buffer, memory: str) -> str:
        does = "store" if buffer.role == OUTPUT else "load"
        for engine in self.target.engines.values():
            if engine.does == does and memory in (*engine.reads, *engine.writes):
                return engine.name
        raise UnsupportedError(f"{self.target.name} has no engine that {does}s {memory}")

    def is_packed(self, name: str) -> bool:
        """Whether a buffer holds the columns of a product."""
        return any(found.columns.buffer == name for found in self.products.values())

    def is_gathered(self, name: str) -> bool:
        """Whether rows of a buffer are looked up: it stays at home, and what is looked up is fetched."""
        return any(self.fetched(stage) == name for stage in self.kernel.stages)

    @staticmethod
    def fetched(stage: Stage) -> str | None:
        """The buffer at home that a stage copies looked-up rows of."""
        load = stage.body
        if isinstance(load, Load) and any(isinstance(part, Lookup) for part in load.access.index):
            return load.access.buffer
        return None

    @cached_property
    def summed(self) -> frozenset[str]:
        """Dims of the sums of products."""
        return frozenset(name for found in self.products.values() for name in found.k)

    @cached_property
    def is_chain(self) -> bool:
        """Whether products and other stages of different domains follow one another."""
        root = self.kernel.stages[0]
        if not self.products:
            return False
        dims = {d.name for d in root.kind(PARALLEL)}
        alike = all({d.name for d in stage.kind(PARALLEL)} == dims for stage in self.kernel.stages)
        return not alike or set(self.products) != {root.name}

    @cached_property
    def shared(self) -> frozenset[str]:
        """Buffers that two engines use: all but locals of the vector engine."""
        private = {
            buffer.name
            for buffer in self.kernel.role(LOCAL)
            if not any(
                stage.name in self.products or self.fetched(stage) is not None
                for stage in (*self.kernel.writers(buffer.name), *self.kernel.readers(buffer.name))
            )
        }
        return frozenset(buffer.name for buffer in self.kernel.buffers) - private

    # --- under an order of loops -------------------------------------------------------------------------------

    def reduced(self, order: Sequence[str]) -> int:
        """The depth of the first loop that cuts a sum: what reads the sum stands there."""
        reduce = {d.name for stage in self.kernel.stages for d in stage.kind(REDUCE)}
        shared = set(self.common)
        return next((n for n, name in enumerate(order) if name in reduce and name not in shared), len(order))

    def place_depth(self, stage: Stage, order: Sequence[str]) -> int:
        """What depends on a sum that is cut stands outside of the loops that cut it, all else inside all loops."""
        return self.reduced(order) if stage.name in self.after(order) else len(order)

    def cut(self, order: Sequence[str]) -> frozenset[str]:
        """Stages whose sums are cut by a loop."""
        loops = set(order) - set(self.common)
        return frozenset(s.name for s in self.kernel.stages if any(d.name in loops for d in s.kind(REDUCE)))

    def after(self, order: Sequence[str]) -> frozenset[str]:
        """Stages that depend on a sum that is cut."""
        cut = self.cut(order)
        if cut not in self._after:
            found: set[str] = set()
            for stage in self.kernel.stages:
                sources = [w.name for a in stage.reads for w in self.kernel.writers(a.buffer)]
                if any(name in found or name in cut for name in sources):
                    found.add(stage.name)
            self._after[cut] = frozenset(found)
        return self._after[cut]

    @cached_property
    def lags(self) -> dict[str, int]:
        """Iterations by which each stage runs behind: one for each time that work comes back to an engine that it has
        left, so that the engine goes on with the next tile while others are at this one."""
        lags: dict[str, int] = {}
        left: dict[str, dict[str, int]] = {}
        for stage in self.kernel.stages:
            mine = self.engine(stage).name
            before: dict[str, int] = {}
            lag = 0
            for source in (w for a in stage.reads for w in self.kernel.writers(a.buffer) if w.name in lags):
                theirs = self.engine(source).name
                passed = dict(left[source.name])
                if theirs != mine:
                    passed[theirs] = lags[source.name]
                for name, each in passed.items():
                    before[name] = max(before.get(name, 0), each)
                lag = max(lag, lags[source.name])
            lags[stage.name] = max(lag, before.get(mine, -1) + 1)
            left[stage.name] = before
        return lags

    @cached_property
    def slots(self) -> dict[str, int]:
        """Places of each buffer whose tile changes: two for what one engine fills while another uses the last one, more
        where readers lag behind, or of results that are used here with `spare` ones; one for what stays with one
        engine."""
        found = {}
        for buffer in self.kernel.buffers:
            readers, writers = self.kernel.readers(buffer.name), self.kernel.writers(buffer.name)
            first = min((self.lags[stage.name] for stage in writers), default=0)
            behind = max((self.lags[stage.name] for stage in (*readers, *writers)), default=0) - first
            several = 1 + behind if writers else 2 + behind
            spare = self.spare if writers and readers and buffer.name in self.shared else 0
            found[buffer.name] = spare + max(several, 2 if buffer.name in self.shared else 1)
        return found
