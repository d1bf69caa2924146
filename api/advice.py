"""What a user may want to change in how a model was compiled, though it runs as it is."""

from isthmus.compiler.pipeline import Built
from isthmus.compiler.target.description import Target
from isthmus.compiler.tile.products import product

_FLOATS = "f32*f32+f32"


def idle_array(built: Built, chip: Target) -> str | None:
    """That products run element by element because the chip's array multiplies no f32; None where none do.

    Such a chip is right and slow in a model's own types: what it was made for has to be asked for.
    """
    arrays = [engine for engine in chip.engines.values() if engine.does == "contract"]
    types = [type for array in arrays for type in array.types]
    if not all(array.types for array in arrays) or not types or _FLOATS in types:
        return None  # an engine without types does them all
    kernels = {id(report.kernel): report.kernel for report in built.reports}.values()
    slow = sum(any(product(each, s, (_FLOATS,)) is not None for s in each.stages) for each in kernels)
    if not slow:
        return None
    given = (("bf16", "bf16*bf16"), ("int8 (with sample inputs)", "i8*i8"))
    ways = [name for name, start in given if any(each.startswith(start) for each in types)]
    return (
        f"{slow} kernel{'s' if slow > 1 else ''} multiply f32 element by element: the array of {chip.name}"
        f" does {', '.join(types)}; compile for precision {' or '.join(ways)}"
    )
