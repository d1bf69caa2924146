"""Devices that hold overlays: a file each, what they have of each resource."""
