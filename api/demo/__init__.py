"""The data of `isthmus demo`: digits.onnx and digits.npz, both written by examples/digits/train.py."""
