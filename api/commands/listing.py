"""Verbs that list: targets, ops, formats, and the machine code of a package."""

from typing import Any

import click

from isthmus.commands.options import Settings, common


@click.command(short_help="List what can be compiled for.")
@common
def targets(settings: Settings) -> None:
    """List the targets that a model can be compiled for."""
    from isthmus import registry
    from isthmus.targets import find_backend

    records: list[dict[str, Any]] = []
    for name in registry.targets():
        chip = find_backend(name).target({})
        memories = {memory.name: memory.bytes for memory in chip.memories.values()}
        engines = {engine.name: engine.does for engine in chip.engines.values()}
        records.append(
            {
                "name": name,
                "kind": chip.kind,
                "clock_mhz": chip.clock_mhz,
                "memories": memories,
                "engines": engines,
            }
        )
    lines = [
        f"{record['name']:<12} {record['kind']}, {record['clock_mhz']:.0f} MHz; memories {_sizes(record['memories'])};"
        f" engines {', '.join(f'{name} ({does})' for name, does in record['engines'].items())}"
        for record in records
    ]
    settings.show(records, "\n".join(lines))


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
