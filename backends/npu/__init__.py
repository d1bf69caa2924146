"""The NPU backend: chips of the n1 family, each a file in `chips/`. Importing it is cheap."""

from .backend import NpuBackend

backend = NpuBackend()
