"""The tile IR: stages, kernels, schedules and the tiler."""
