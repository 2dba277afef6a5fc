"""Recurrences whose memory never meets a matrix: products read the input, or it and the one before."""

# pyright: basic
from ifog.compiler.language import affine, exp, project, relu, sigmoid, softplus, sqrt, square, tanh, weight
from ifog.compiler.tracing import cell


@cell
def indrnn(x, h):
    """IndRNN: each unit remembers itself alone.

    Li, Li, Cook, Zhu and Gao (2018), Independently recurrent neural network (IndRNN), arXiv:1803.04831.
    """
    return relu(affine("h", x) + weight("u", init="unit interval") * h)


@cell
def mingru(x, h):
    """minGRU: gate and candidate read the input alone, so time can run in parallel.

    Feng et al. (2024), Were RNNs all we needed?, arXiv:2410.01201.
    """
    z = sigmoid(affine("z", x))
    n = affine("n", x)
    return (1 - z) * h + z * n


@cell
def minlstm(x, h):
    """minLSTM: two gates of the input alone, made to sum to one.

    Feng et al. (2024), Were RNNs all we needed?, arXiv:2410.01201.
    """
    f = sigmoid(affine("f", x, bias=1.0))
    i = sigmoid(affine("i", x))
    n = affine("n", x)
    return f / (f + i) * h + i / (f + i) * n


@cell
def sru(x, c, *, scale=3**0.5):
    """Simple recurrent unit: light recurrence beside a highway.

    Lei et al. (2018), Simple recurrent units for highly parallelizable recurrence, arXiv:1709.02755.
    """
    f = sigmoid(affine("f", x) + weight("v_f", init="uniform") * c)
    r = sigmoid(affine("r", x) + weight("v_r", init="uniform") * c)
    c = f * c + (1 - f) * affine("c", x, bias=None)
    return r * c + (1 - r) * (scale * project("p", x, c.size)), c


@cell(sizes={"past": "input_size"})
def qrnn(x, c, past):
    """Quasi-recurrent network: a convolution of width two, then pooling with forget and output gates.

    Bradbury, Merity, Xiong and Socher (2017), Quasi-recurrent neural networks, arXiv:1611.01576.
    """
    z = tanh(affine("z", x, p=past))
    f = sigmoid(affine("f", x, p=past))
    o = sigmoid(affine("o", x, p=past))
    c = f * c + (1 - f) * z
    return o * c, c, x


@cell
def trnn(x, h):
    """Strongly typed RNN: states and inputs are never added in one space.

    Balduzzi and Ghifary (2016), Strongly-typed recurrent neural networks, arXiv:1602.02218.
    """
    f = sigmoid(affine("f", x))
    return f * h + (1 - f) * affine("z", x, bias=None)


@cell(sizes={"past": "input_size"})
def tgru(x, h, past):
    """Strongly typed GRU: gates read this input and the one before.

    Balduzzi and Ghifary (2016), Strongly-typed recurrent neural networks, arXiv:1602.02218.
    """
    z = affine("z", x, p=past)
    f = sigmoid(affine("f", x, p=past))
    o = tanh(affine("o", x, p=past))
    return f * h + z * o, x


@cell(sizes={"past": "input_size"})
def tlstm(x, c, past):
    """Strongly typed LSTM: gates read this input and the one before, the memory is a mean.

    Balduzzi and Ghifary (2016), Strongly-typed recurrent neural networks, arXiv:1602.02218.
    """
    z = affine("z", x, p=past)
    f = sigmoid(affine("f", x, p=past))
    o = tanh(affine("o", x, p=past))
    c = f * c + (1 - f) * z
    return c * o, c, x


@cell
def rg_lru(x, h):
    """Real-gated linear recurrent unit: the input decides how fast each unit decays.

    De et al. (2024), Griffin: mixing gated linear recurrences with local attention for efficient language models,
    arXiv:2402.19427.
    """
    r = sigmoid(affine("r", x))
    i = sigmoid(affine("i", x))
    a = exp(-8 * softplus(-weight("lambda", init=5.0)) * r)
    return a * h + sqrt(1 - square(a)) * (i * project("p", x, h.size))
