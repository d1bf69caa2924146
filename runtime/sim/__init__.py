"""The simulators' kit: declaring instructions, decoding them, timing them, checking them. It knows no chip."""
