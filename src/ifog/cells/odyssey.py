"""The LSTM of the search space odyssey and its eight variants, each one change away from it.

Greff, Srivastava, Koutník, Steunebrink and Schmidhuber (2017), LSTM: a search space odyssey, arXiv:1503.04069.
"""

# pyright: basic
from ifog.compiler.language import affine, sigmoid, tanh, weight
from ifog.compiler.tracing import cell


@cell
def odyssey(x, h, c):
    """The vanilla LSTM with peepholes that the eight variants are compared with.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    z = tanh(affine("z", x, h))
    i = sigmoid(affine("i", x, h) + weight("p_i") * c)
    f = sigmoid(affine("f", x, h, bias=1.0) + weight("p_f") * c)
    c = z * i + c * f
    o = sigmoid(affine("o", x, h) + weight("p_o") * c)
    return tanh(c) * o, c


@cell
def odyssey_nig(x, h, c):
    """No input gate.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    z = tanh(affine("z", x, h))
    f = sigmoid(affine("f", x, h, bias=1.0) + weight("p_f") * c)
    c = z + c * f
    o = sigmoid(affine("o", x, h) + weight("p_o") * c)
    return tanh(c) * o, c


@cell
def odyssey_nfg(x, h, c):
    """No forget gate.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    z = tanh(affine("z", x, h))
    i = sigmoid(affine("i", x, h) + weight("p_i") * c)
    c = z * i + c
    o = sigmoid(affine("o", x, h) + weight("p_o") * c)
    return tanh(c) * o, c


@cell
def odyssey_nog(x, h, c):
    """No output gate.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    z = tanh(affine("z", x, h))
    i = sigmoid(affine("i", x, h) + weight("p_i") * c)
    f = sigmoid(affine("f", x, h, bias=1.0) + weight("p_f") * c)
    c = z * i + c * f
    return tanh(c), c


@cell
def odyssey_niaf(x, h, c):
    """No input activation function.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    z = affine("z", x, h)
    i = sigmoid(affine("i", x, h) + weight("p_i") * c)
    f = sigmoid(affine("f", x, h, bias=1.0) + weight("p_f") * c)
    c = z * i + c * f
    o = sigmoid(affine("o", x, h) + weight("p_o") * c)
    return tanh(c) * o, c


@cell
def odyssey_noaf(x, h, c):
    """No output activation function.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    z = tanh(affine("z", x, h))
    i = sigmoid(affine("i", x, h) + weight("p_i") * c)
    f = sigmoid(affine("f", x, h, bias=1.0) + weight("p_f") * c)
    c = z * i + c * f
    o = sigmoid(affine("o", x, h) + weight("p_o") * c)
    return c * o, c


@cell
def odyssey_np(x, h, c):
    """No peepholes.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    z = tanh(affine("z", x, h))
    i = sigmoid(affine("i", x, h))
    f = sigmoid(affine("f", x, h, bias=1.0))
    c = z * i + c * f
    o = sigmoid(affine("o", x, h))
    return tanh(c) * o, c


@cell
def odyssey_cifg(x, h, c):
    """Coupled input and forget gate.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    z = tanh(affine("z", x, h))
    f = sigmoid(affine("f", x, h, bias=1.0) + weight("p_f") * c)
    c = z * (1 - f) + c * f
    o = sigmoid(affine("o", x, h) + weight("p_o") * c)
    return tanh(c) * o, c


@cell
def odyssey_fgr(x, h, c, i, f, o):
    """Full gate recurrence: every gate reads all gates of the step before.

    Greff et al. (2017), LSTM: a search space odyssey, arXiv:1503.04069.
    """
    gates = (i, f, o)
    z = tanh(affine("z", x, h))
    i = sigmoid(affine("i", x, h, *gates) + weight("p_i") * c)
    f = sigmoid(affine("f", x, h, *gates, bias=1.0) + weight("p_f") * c)
    c = z * i + c * f
    o = sigmoid(affine("o", x, h, *gates) + weight("p_o") * c)
    return tanh(c) * o, c, i, f, o
