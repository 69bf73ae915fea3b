"""A layer as the laws have it, as a file that check.py can try."""

from faults import Layer

train, generate, decode = Layer().train, Layer().generate, Layer().decode
