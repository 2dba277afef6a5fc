"""Recurrences that are time steps of differential equations."""

# pyright: basic
from ifog.compiler.language import affine, matrix, product, sigmoid, tanh, weight
from ifog.compiler.tracing import cell


@cell
def antisymmetric_rnn(x, h, *, step=0.1, gamma=0.01):
    """AntisymmetricRNN: an Euler step of an equation that neither grows nor dies.

    Chang et al. (2019), AntisymmetricRNN: a dynamical system view on recurrent neural networks, arXiv:1902.09689.
    """
    W = matrix("W", h.size, h.size)
    u = product(W, h) - product(W.T, h) - gamma * h
    return h + step * tanh(u + affine("h", x))


@cell
def gated_antisymmetric_rnn(x, h, *, step=0.1, gamma=0.01):
    """AntisymmetricRNN with a gate on the step.

    Chang et al. (2019), AntisymmetricRNN: a dynamical system view on recurrent neural networks, arXiv:1902.09689.
    """
    W = matrix("W", h.size, h.size)
    u = product(W, h) - product(W.T, h) - gamma * h
    z = sigmoid(u + affine("z", x))
    return h + step * z * tanh(u + affine("h", x))


@cell
def cornn(x, h, z, *, step=0.1, gamma=1.0, epsilon=1.0):
    """Coupled oscillators: position h, velocity z, driven and damped.

    Rusch and Mishra (2021), Coupled oscillatory recurrent neural network (coRNN), arXiv:2010.00951.
    """
    z = z + step * (tanh(affine("z", x, h, z)) - gamma * h - epsilon * z)
    return h + step * z, z


@cell
def unicornn(x, h, z, *, step=0.1, alpha=1.0):
    """Undamped independent oscillators, each with a trained step.

    Rusch and Mishra (2021), UnICORNN: a recurrent model for learning very long time dependencies, arXiv:2103.05487.
    """
    s = step * sigmoid(weight("c", init="uniform"))
    z = z - s * (tanh(affine("h", x) + weight("w", init="unit interval") * h) + alpha * h)
    return h + s * z, z


@cell
def lem(x, h, z, *, step=1.0):
    """Long expressive memory: two states, each with time steps of its own.

    Rusch, Mishra, Erichson and Mahoney (2022), Long expressive memory for sequence modeling, arXiv:2110.04744.
    """
    s = step * sigmoid(affine("s", x, h))
    t = step * sigmoid(affine("t", x, h))
    z = (1 - s) * z + s * tanh(affine("z", x, h))
    return (1 - t) * h + t * tanh(affine("h", x=x, z=z)), z
