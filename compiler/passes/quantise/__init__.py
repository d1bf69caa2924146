"""Post-training quantisation: from a float graph and sample inputs to 8-bit integer arithmetic."""
