"""The ops: each declaration holds type rule, meaning, stages, cost and samples."""
