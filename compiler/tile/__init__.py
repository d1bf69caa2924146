"""The tile IR: stages, schedules, their legality and meaning, and the tiler that picks schedules for a target."""
