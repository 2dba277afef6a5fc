"""The cells that tests of the compiler look at, written as they stand on the lectures' slides.

Owns its own copies, so that a change of the catalogue changes no golden file.
"""

from __future__ import annotations

from ifog.compiler.language import affine, project, relu, sigmoid, tanh, weight
from ifog.compiler.tracing import cell


@cell
def elman(x, h):
    return tanh(affine("h", x, h))


@cell
def lstm(x, h, c):
    i = sigmoid(affine("i", x, h))
    f = sigmoid(affine("f", x, h, bias=1.0))
    o = sigmoid(affine("o", x, h))
    g = tanh(affine("g", x, h))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def gru_cudnn(x, h):
    r = sigmoid(affine("r", x, h))
    z = sigmoid(affine("z", x, h))
    n = tanh(affine("n", x) + r * affine("m", h))
    return (1 - z) * n + z * h


@cell
def gru_cho(x, h):
    r = sigmoid(affine("r", x, h))
    z = sigmoid(affine("z", x, h))
    n = tanh(affine("n", x=x, h=r * h))
    return z * h + (1 - z) * n


@cell
def mut1(x, h):
    z = sigmoid(affine("z", x))
    r = sigmoid(affine("r", x, h))
    n = tanh(affine("n", h=r * h, bias=0.0) + tanh(project("in", x, h.size)))
    return n * z + h * (1 - z)


@cell
def mgu(x, h):
    f = sigmoid(affine("f", x, h))
    n = tanh(affine("n", x=x, h=f * h))
    return (1 - f) * h + f * n


@cell
def indrnn(x, h):
    return relu(affine("h", x) + weight("u", init="unit interval") * h)


@cell
def mingru(x, h):
    z = sigmoid(affine("z", x))
    n = affine("n", x)
    return (1 - z) * h + z * n
