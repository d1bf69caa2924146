"""Verbs that list: targets, ops, formats, and the machine code of a package."""

from collections.abc import Iterator
from typing import Any

import click

from isthmus.commands.options import Settings, common


@click.command(short_help="List what can be compiled for.")
@click.argument("name", default="")
@common
def targets(settings: Settings, name: str) -> None:
    """List the targets that a model can be compiled for; of NAME, a target or chip file, what it takes of its device.

    Resources are estimated; see docs/fpga.md."""
    from isthmus import registry
    from isthmus.targets import find_backend

    records: list[dict[str, Any]] = []
    for each in (name,) if name else registry.targets():
        backend = find_backend(each)
        chip = backend.target({})
        memories = {memory.name: memory.bytes for memory in chip.memories.values()}
        engines = {engine.name: engine.does for engine in chip.engines.values()}
        records.append(
            {
                "name": chip.name if name else each,
                "kind": chip.kind,
                "clock_mhz": chip.clock_mhz,
                "memories": memories,
                "engines": engines,
                "part": chip.part,
                "resources": dict(backend.resources({})) if name else {},
            }
        )
    lines = [
        f"{record['name']:<12} {record['kind']}, {record['clock_mhz']:.0f} MHz; memories {_sizes(record['memories'])};"
        f" engines {', '.join(f'{name} ({does})' for name, does in record['engines'].items())}"
        for record in records
    ]
    for record in records:
        lines += _resources(record["resources"])
    settings.show(records, "\n".join(lines))


def _resources(rows: dict[str, dict[str, float]]) -> Iterator[str]:
    """A line for each part of a design, with a head."""
    for number, (name, use) in enumerate(rows.items()):
        if not number:
            yield f"{'estimated':<16}" + "".join(f"{kind:>9}" for kind in use)
        yield f"{name:<16}" + "".join(f"{count:>9,.10g}" for count in use.values())


def _sizes(memories: dict[str, int]) -> str:
    return ", ".join(
        f"{name} {size // 1024} KiB" if size >= 1024 else f"{name} {size} B"
        for name, size in memories.items()
    )


@click.command(short_help="List the operations of the IR.")
@click.argument("pattern", default="")
@common
def ops(settings: Settings, pattern: str) -> None:
    """List the ops of the IR, those whose name contains PATTERN."""
    from isthmus.compiler.ops import REGISTRY

    records: list[dict[str, Any]] = [
        {
            "name": name,
            "operands": [f"{part.name}{'?' * part.optional}{'*' * part.variadic}" for part in op.operands],
            "attributes": {part.name: _default(part) for part in op.attributes},
            "staged": op.stages is not None,
            "meaning": _sentence(op.__doc__),
        }
        for name, op in sorted(REGISTRY.items())
        if pattern in name
    ]
    if not records:
        raise click.UsageError(f"no op's name contains '{pattern}'")
    lines = []
    for record in records:
        attributes = [f"{name}={value}" if value else name for name, value in record["attributes"].items()]
        lines.append(f"{record['name']}({', '.join([*record['operands'], *attributes])})")
        lines.append(f"    {record['meaning']}")
    settings.show(records, "\n".join([*lines, f"{len(records)} ops; ? is optional, * any number"]))


def _default(part: Any) -> str:
    return "" if part.required else repr(part.default)


def _sentence(text: str | None) -> str:
    return " ".join((text or "").strip().partition("\n\n")[0].split())


@click.command(short_help="List the model formats that can be read.")
@common
def formats(settings: Settings) -> None:
    """List the model formats that can be read."""
    from isthmus import registry

    records = [
        {"name": frontend.name, "description": frontend.description, "objects_of": list(frontend.packages)}
        for frontend in registry.frontends()
    ]
    lines = [
        f"{record['name']:<12} {record['description']}; objects of {', '.join(record['objects_of']) or 'no package'}"
        for record in records
    ]
    settings.show(records, "\n".join(lines))


@click.command(short_help="Print the machine code in a package.")
@click.argument("package")
@click.option("--device", help="Which device's code; by default that of the only one.")
@common
def disasm(settings: Settings, package: str, device: str | None) -> None:
    """Print the machine code in PACKAGE (.isth), through objdump of binutils."""
    from isthmus.disassembly import disassemble

    listing = disassemble(package, device)
    settings.show({"device": listing.device, "listing": listing.text}, listing.text)
