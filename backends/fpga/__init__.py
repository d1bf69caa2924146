"""The FPGA backend: overlays of the f1 family, each a file in `chips/`. Importing it is cheap."""

from .backend import FpgaBackend

backend = FpgaBackend()
