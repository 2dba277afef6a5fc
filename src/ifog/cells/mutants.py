"""Three cells that evolution found."""

# pyright: basic
from ifog.compiler.language import affine, project, sigmoid, tanh
from ifog.compiler.tracing import cell


@cell
def mut1(x, h):
    """MUT1: the update gate doesn't read the state.

    Jozefowicz, Zaremba and Sutskever (2015), An empirical exploration of recurrent network architectures.
    """
    z = sigmoid(affine("z", x))
    r = sigmoid(affine("r", x, h))
    return tanh(affine("h", h=r * h) + tanh(project("h", x, h.size))) * z + h * (1 - z)


@cell
def mut2(x, h):
    """MUT2: the reset gate reads the input as it is.

    Jozefowicz, Zaremba and Sutskever (2015), An empirical exploration of recurrent network architectures.
    """
    z = sigmoid(affine("z", x, h))
    r = sigmoid(project("r", x, h.size) + affine("r", h))
    return tanh(affine("h", h=r * h, x=x)) * z + h * (1 - z)


@cell
def mut3(x, h):
    """MUT3: the update gate reads the state through a tanh.

    Jozefowicz, Zaremba and Sutskever (2015), An empirical exploration of recurrent network architectures.
    """
    z = sigmoid(affine("z", x=x, h=tanh(h)))
    r = sigmoid(affine("r", x, h))
    return tanh(affine("h", h=r * h, x=x)) * z + h * (1 - z)
