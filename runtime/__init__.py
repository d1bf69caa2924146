"""The runtime: loads a package and runs it with numpy and the standard library alone."""
