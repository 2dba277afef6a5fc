"""Cells that a controller network found by reinforcement learning."""

# pyright: basic
from ifog.compiler.language import affine, relu, sigmoid, tanh
from ifog.compiler.tracing import cell


@cell
def nas(x, h, c):
    """The base-8 cell: a tree over eight pairs, whose fourth leaf multiplies input and state.

    Zoph and Le (2017), Neural architecture search with reinforcement learning, arXiv:1611.01578.
    """
    a = tanh(sigmoid(affine("0", x, h, bias=None)) * relu(affine("1", x, h, bias=None)))
    b = tanh(sigmoid(affine("2", x, h, bias=None)) + relu(affine("3", x, bias=None) * affine("3", h, bias=None)))
    d = tanh(tanh(affine("4", x, h, bias=None)) * sigmoid(affine("5", x, h, bias=None)))
    e = sigmoid(tanh(affine("6", x, h, bias=None)) + sigmoid(affine("7", x, h, bias=None)))
    c = tanh(a + c) * b
    return tanh(c * tanh(d + e)), c
