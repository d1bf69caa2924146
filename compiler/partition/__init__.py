"""One graph over several devices: which kernels there could be, where each runs, in which order, by predicted time."""
