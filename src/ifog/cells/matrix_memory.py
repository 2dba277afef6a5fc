"""Memories that are matrices: keys write values, queries read them; H columns of state become H x H."""

# pyright: basic
from ifog.compiler.language import abs, affine, exp, maximum, repeat, row_sum, sigmoid, softmax, softplus, tile
from ifog.compiler.tracing import cell


@cell(sizes={"c": lambda options: options["hidden_size"] ** 2, "m": lambda options: 1})
def matrix_lstm(x, c, n, m):
    """The xLSTM's matrix memory: no state in its gates, so all of them run before the loop.

    Beck et al. (2024), xLSTM: extended long short-term memory, arXiv:2405.04517.
    """
    q = affine("q", x)
    k = affine("k", x) / n.size**0.5
    v = affine("v", x)
    o = sigmoid(affine("o", x))
    i = affine("i", x, size=1)
    f = -softplus(-affine("f", x, size=1, bias=3.0))
    old, m = m, maximum(f + m, i)
    c = exp(f + old - m) * c + exp(i - m) * (repeat(v, n.size) * tile(k, n.size))
    n = exp(f + old - m) * n + exp(i - m) * k
    y = row_sum(c * tile(q, n.size), groups=n.size) / maximum(abs(row_sum(n * q)), exp(-m))
    return o * y, c, n, m


@cell(sizes={"c": lambda options: options["hidden_size"] ** 2})
def delta_net(x, c):
    """Fast weights by the delta rule: a key's old value is taken out as the new one is written.

    Schlag, Irie and Schmidhuber (2021), Linear transformers are secretly fast weight programmers, arXiv:2102.11174.
    """
    q = softmax(affine("q", x, bias=None))
    k = softmax(affine("k", x, bias=None))
    v = affine("v", x, bias=None)
    b = sigmoid(affine("b", x, bias=None, size=1))
    old = row_sum(c * tile(k, v.size), groups=v.size)
    c = c + repeat(b * (v - old), v.size) * tile(k, v.size)
    return row_sum(c * tile(q, v.size), groups=v.size), c
