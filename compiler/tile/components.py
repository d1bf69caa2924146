"""Parts of a kernel that share nothing that is made in it, as both directions of a recurrence: they may run at once."""

from .stage import Kernel, Stage


def components(kernel: Kernel) -> list[Kernel]:
    """Kernels of the same buffers that together do what `kernel` does, in the order of their first stages. Parts of an
    output that nothing reads do not hold their writers together."""
    exchanged = {stage.write.buffer for stage in kernel.stages if kernel.readers(stage.write.buffer)}
    groups: list[tuple[list[Stage], set[str]]] = []
    for stage in kernel.stages:
        shared = exchanged & {access.buffer for access in (*stage.reads, stage.write)}
        together = [group for group in groups if group[1] & shared]
        groups = [group for group in groups if group not in together]
        stages = [each for group in together for each in group[0]]
        groups.append(([*stages, stage], shared.union(*(group[1] for group in together))))
    if len(groups) == 1:
        return [kernel]
    order = {stage.name: number for number, stage in enumerate(kernel.stages)}
    parts = [sorted(stages, key=lambda stage: order[stage.name]) for stages, _ in groups]
    return [_part(kernel, stages) for stages in sorted(parts, key=lambda stages: order[stages[0].name])]


def _part(kernel: Kernel, stages: list[Stage]) -> Kernel:
    touched = {a.buffer for stage in stages for a in (*stage.reads, stage.write)}
    return Kernel(kernel.name, tuple(b for b in kernel.buffers if b.name in touched), tuple(stages))
