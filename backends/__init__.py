"""Backends: one folder a chip family, from tiled kernels to its code."""
