"""Recurrences with a way around the nonlinearity: carry gates and sums."""

# pyright: basic
from ifog.compiler.language import affine, named, project, sigmoid, tanh
from ifog.compiler.tracing import cell


@cell
def highway_rnn(x, h):
    """A carry gate between the input and an Elman candidate.

    Srivastava, Greff and Schmidhuber (2015), Highway networks, arXiv:1505.00387.
    """
    g = tanh(affine("g", x, h))
    t = sigmoid(affine("t", x, h, bias=-1.0))
    return t * g + (1 - t) * project("y", x, h.size)


@cell
def residual_rnn(x, h):
    """An Elman candidate added to the input.

    He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition, arXiv:1512.03385.
    """
    g = tanh(affine("g", x, h))
    return g + project("y", x, h.size)


@cell
def recurrent_highway(x, h, *, depth=3):
    """Recurrent highway network: each step goes through `depth` highway layers.

    Zilly, Srivastava, Koutník and Schmidhuber (2017), Recurrent highway networks, arXiv:1607.03474.
    """
    for layer in range(1, depth + 1):
        u, v = (affine("g1", x, bias=None), affine("t1", x, bias=None)) if layer == 1 else (0, 0)
        g = named(f"g{layer}", tanh(u + affine(f"g{layer}", h=h)))
        t = named(f"t{layer}", sigmoid(v + affine(f"t{layer}", bias=-2.0, h=h)))
        h = named(f"h{layer}", g * t + h * (1 - t))
    return h
