"""From tiled kernels to instruction streams, for chips whose memories software fills: slots, addresses, order, tokens.

Nothing here knows a chip: engines and memories come from the target, instructions from the backend's writer.
"""
