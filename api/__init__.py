"""The public face of isthmus."""
