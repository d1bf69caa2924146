"""The NPU: a matrix engine and a vector unit between explicitly managed memories, fed by DMA engines."""
