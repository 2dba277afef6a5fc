"""Gated recurrences of one state: the GRU, its forms, and what remains when parts of it are taken away."""

# pyright: basic
from ifog.compiler.language import affine, concat, hard_sigmoid, part, project, relu, sigmoid, softplus, tanh, weight
from ifog.compiler.tracing import cell


@cell
def gru(x, h):
    """Gated recurrent unit that resets after the matrix, as cuDNN computes it.

    Cho et al. (2014), arXiv:1406.1078, in the form of its first version; the form that `torch.nn.GRU` has.
    """
    r = sigmoid(affine("r", x, h))
    z = sigmoid(affine("z", x, h))
    n = tanh(affine("n", x) + r * (affine("n", h, bias=None) + weight("b_hn")))
    return z * h + (1 - z) * n


@cell
def gru_cho(x, h):
    """Gated recurrent unit that resets before the matrix.

    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder for statistical machine translation,
    arXiv:1406.1078.
    """
    r = sigmoid(affine("r", x, h))
    z = sigmoid(affine("z", x, h))
    n = tanh(affine("n", x=x, h=r * h))
    return z * h + (1 - z) * n


@cell
def gru_colah(x, h):
    """Gated recurrent unit without biases, resetting before the matrix.

    Olah (2015), Understanding LSTM networks.
    """
    r = sigmoid(affine("r", x, h, bias=None))
    z = sigmoid(affine("z", x, h, bias=None))
    n = tanh(affine("n", bias=None, x=x, h=r * h))
    return (1 - z) * h + z * n


@cell
def mgu(x, h):
    """Minimal gated unit: one gate both resets and updates.

    Zhou, Wu, Zhang and Zhou (2016), Minimal gated unit for recurrent neural networks, arXiv:1603.09420.
    """
    f = sigmoid(affine("f", x, h))
    n = tanh(affine("n", x=x, h=f * h))
    return (1 - f) * h + f * n


@cell
def ugrnn(x, h):
    """Update gate RNN: a leaky Elman network whose leak is computed.

    Collins et al. (2017), Capacity and trainability in recurrent neural networks, arXiv:1611.09913.
    """
    g = sigmoid(affine("g", x, h, bias=1.0))
    n = tanh(affine("n", x, h))
    return g * h + (1 - g) * n


@cell
def intersection_rnn(x, h):
    """Intersection RNN: one gate mixes depth into the output, another time into the state.

    Collins et al. (2017), Capacity and trainability in recurrent neural networks, arXiv:1611.09913.
    """
    u = sigmoid(affine("u", x, h, bias=1.0))
    g = sigmoid(affine("g", x, h, bias=1.0))
    y = u * project("p", x, h.size) + (1 - u) * relu(affine("y", x, h))
    return y, g * h + (1 - g) * tanh(affine("n", x, h))


@cell
def ligru(x, h):
    """Light GRU: no reset gate, and rectified candidates; batch normalisation left out.

    Ravanelli, Brakel, Omologo and Bengio (2018), Light gated recurrent units for speech recognition, arXiv:1803.10225.
    """
    z = sigmoid(affine("z", x, h))
    n = relu(affine("n", x, h))
    return z * h + (1 - z) * n


@cell
def lightru(x, h):
    """Light recurrent unit: only the gate reads the state.

    Ye et al. (2024), Light recurrent unit: towards an interpretable recurrent neural network for modeling
    long-range dependency.
    """
    f = sigmoid(affine("f", x, h))
    n = tanh(affine("n", x))
    return (1 - f) * h + f * n


@cell
def miru1(x, h, *, update=0.5):
    """Minion recurrent unit with a reset gate; the update gate is a constant.

    Zyarah and Kudithipudi (2025), Minion gated recurrent unit for continual learning, arXiv:2503.06175.
    """
    r = sigmoid(affine("r", x, h))
    n = tanh(affine("n", x=x, h=r * h))
    return update * h + (1 - update) * n


@cell
def miru2(x, h, *, update=0.5, reset=0.5):
    """Minion recurrent unit with constants for both gates.

    Zyarah and Kudithipudi (2025), Minion gated recurrent unit for continual learning, arXiv:2503.06175.
    """
    n = tanh(affine("n", x=x, h=reset * h))
    return update * h + (1 - update) * n


@cell
def minimal_rnn(x, h):
    """MinimalRNN: the input goes to the state's space first, and one gate mixes the two.

    Chen (2017), MinimalRNN: toward more interpretable and trainable recurrent neural networks, arXiv:1711.06788.
    """
    z = tanh(affine("z", x))
    u = sigmoid(affine("u", h=h, z=z))
    return u * h + (1 - u) * z


@cell
def atr(x, h):
    """Addition-subtraction twin gates: two gates from one pair of products.

    Zhang et al. (2018), Simplifying neural machine translation with addition-subtraction twin-gated recurrent networks,
    arXiv:1810.12546.
    """
    p = affine("p", x)
    q = affine("q", h, bias=None)
    i = sigmoid(p + q)
    f = sigmoid(p - q)
    return i * p + f * h


@cell
def sgrn(x, h):
    """Simple gated recurrent network: one product of each, used for gate and candidate.

    Zu and Wei (2021), A simple gated recurrent network for detection of power quality disturbances.
    """
    p = affine("f", x)
    f = sigmoid(p + affine("f", h, bias=None))
    return tanh((1 - f) * p + f * h)


@cell
def sgu(x, h):
    """Simple gated unit: the input gates the state's own nonlinearity.

    Gao and Glowacka (2016), Deep gate recurrent neural network, arXiv:1604.02910.
    """
    g = tanh(affine("g", h=affine("u", x) * h))
    z = hard_sigmoid(affine("z", x, h))
    return (1 - z) * h + z * softplus(g * h)


@cell
def dsgu(x, h):
    """Deep simple gated unit: one more matrix before the output.

    Gao and Glowacka (2016), Deep gate recurrent neural network, arXiv:1604.02910.
    """
    g = tanh(affine("g", h=affine("u", x) * h))
    z = hard_sigmoid(affine("z", x, h))
    return (1 - z) * h + z * sigmoid(affine("o", bias=None, h=g * h))


@cell
def star(x, h):
    """Stackable recurrent cell: gradients keep their size from layer to layer.

    Turkoglu et al. (2022), Gating revisited: deep multi-layer RNNs that can be trained, arXiv:1911.11033.
    """
    k = sigmoid(affine("k", x, h))
    z = tanh(affine("z", x))
    return tanh((1 - k) * h + k * z)


@cell
def cfn(x, h):
    """Chaos-free network: without input every state falls to zero.

    Laurent and von Brecht (2017), A recurrent neural network without chaos, arXiv:1612.06212.
    """
    f = sigmoid(affine("f", x, h, bias=1.0))
    i = sigmoid(affine("i", x, h, bias=-1.0))
    return f * tanh(h) + i * tanh(affine("g", x, bias=None))


@cell
def fastgrnn(x, h):
    """FastGRNN: gate and candidate share both matrices.

    Kusupati et al. (2018), FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated RNN, arXiv:1901.02358.
    """
    p = affine("p", x, h, bias=None)
    z = sigmoid(p + weight("b_z", init=1.0))
    g = tanh(p + weight("b_g", init=1.0))
    zeta = sigmoid(weight("b_zeta", 1, 1.0))
    nu = sigmoid(weight("b_nu", 1, -4.0))
    return (zeta * (1 - z) + nu) * g + z * h


@cell(sizes={"past": lambda options: options["delay"] * options["hidden_size"]})
def taugru(x, h, past, *, delay=10):
    """GRU with a second candidate from a state `delay` steps further back.

    Erichson et al. (2022), Gated recurrent neural networks with weighted time-delay feedback, arXiv:2212.00228.
    """
    n = h.size
    u = tanh(affine("u", x, h))
    z = tanh(affine("z", x=x, h=part(past, 0, n)))
    g = sigmoid(affine("g", x, h))
    a = sigmoid(affine("a", x, h))
    past = concat(part(past, n, past.size), h) if delay > 1 else h
    return (1 - g) * h + g * (u + a * z), past


@cell
def brc(x, h):
    """Bistable recurrent cell: units that latch, and touch no other.

    Vecoven et al. (2021), A bio-inspired bistable recurrent cell allows for long-lasting memory, arXiv:2006.05252.
    """
    a = 1 + tanh(affine("a", x, bias=None) + weight("w_a", init="uniform") * h)
    c = sigmoid(affine("c", x, bias=None) + weight("w_c", init="uniform") * h)
    return c * h + (1 - c) * tanh(affine("h", x, bias=None) + a * h)


@cell
def nbrc(x, h):
    """Bistable recurrent cell whose units modulate each other.

    Vecoven et al. (2021), A bio-inspired bistable recurrent cell allows for long-lasting memory, arXiv:2006.05252.
    """
    a = 1 + tanh(affine("a", x, h, bias=None))
    c = sigmoid(affine("c", x, h, bias=None))
    return c * h + (1 - c) * tanh(affine("h", x, bias=None) + a * h)
