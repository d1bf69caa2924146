"""The compiler: one IR between frameworks and chips, and the passes that take a graph to kernels.

It names no framework and no chip; those register themselves from frontends/ and backends/.
"""
