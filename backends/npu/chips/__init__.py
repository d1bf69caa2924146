"""The chip files of n1's family: one file a target name."""
