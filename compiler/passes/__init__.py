"""The passes over the graph IR, each a frozen dataclass."""
