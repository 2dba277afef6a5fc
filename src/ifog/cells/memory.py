"""The long short-term memory and its kin: a state that is added to, behind gates."""

# pyright: basic
from ifog.compiler.language import affine, exp, maximum, named, project, sigmoid, softplus, tanh, weight
from ifog.compiler.tracing import cell


@cell
def lstm(x, h, c, *, forget_bias=1.0, input_bias=0.0):
    """Long short-term memory, remembering by default.

    Hochreiter and Schmidhuber (1997), Long short-term memory; forget gate: Gers et al. (2000), Learning to forget.
    """
    i = sigmoid(affine("i", x, h, bias=input_bias))
    f = sigmoid(affine("f", x, h, bias=forget_bias))
    o = sigmoid(affine("o", x, h))
    g = tanh(affine("g", x, h))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def lstm_original(x, h, c):
    """Long short-term memory as first published: it can't forget.

    Hochreiter and Schmidhuber (1997), Long short-term memory.
    """
    i = sigmoid(affine("i", x, h))
    o = sigmoid(affine("o", x, h))
    g = 4 * sigmoid(affine("g", x, h)) - 2
    c = c + i * g
    return o * (2 * sigmoid(c) - 1), c


@cell(sizes={"h": "proj_size"})
def lstm_projected(x, h, c, *, proj_size=None):
    """Long short-term memory whose output is projected to fewer columns.

    Sak, Senior and Beaufays (2014), Long short-term memory based recurrent neural network architectures for large
    vocabulary speech recognition, arXiv:1402.1128.
    """
    i = sigmoid(affine("i", x, h))
    f = sigmoid(affine("f", x, h, bias=1.0))
    o = sigmoid(affine("o", x, h))
    g = tanh(affine("g", x, h))
    c = f * c + i * g
    return affine("r", bias=None, size=h.size, h=o * tanh(c)), c


@cell
def lstm_peephole(x, h, c):
    """Long short-term memory whose gates see the cell.

    Gers, Schraudolph and Schmidhuber (2002), Learning precise timing with LSTM recurrent networks.
    """
    i = sigmoid(affine("i", x, h) + weight("p_i") * c)
    f = sigmoid(affine("f", x, h, bias=1.0) + weight("p_f") * c)
    g = tanh(affine("g", x, h))
    c = f * c + i * g
    o = sigmoid(affine("o", x, h) + weight("p_o") * c)
    return o * tanh(c), c


@cell
def janet(x, h, *, beta=1.0):
    """JANET: the forget gate is all an LSTM needs.

    Van der Westhuizen and Lasenby (2018), The unreasonable effectiveness of the forget gate, arXiv:1804.04849.
    """
    s = affine("f", x, h, bias="chrono")
    g = tanh(affine("g", x, h))
    return sigmoid(s) * h + (1 - sigmoid(s - beta)) * g


@cell
def multiplicative_lstm(x, h, c):
    """Multiplicative LSTM: gates read a state that the input has chosen the matrix for.

    Krause, Lu, Murray and Renals (2016), Multiplicative LSTM for sequence modelling, arXiv:1609.07959.
    """
    m = affine("m", x, bias=None) * affine("m", h, bias=None)
    i = sigmoid(affine("i", x, m=m))
    f = sigmoid(affine("f", x, bias=1.0, m=m))
    o = sigmoid(affine("o", x, m=m))
    g = tanh(affine("g", x, m=m))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def mogrifier_lstm(x, h, c, *, rounds=5):
    """Mogrifier LSTM: input and state gate each other in turn before the LSTM reads them.

    Melis, Kočiský and Blunsom (2020), Mogrifier LSTM, arXiv:1909.01792.
    """
    u, v = x, h
    for r in range(1, rounds + 1):
        if r % 2:
            u = named(f"u{r}", 2 * sigmoid(affine(f"q{r}", bias=None, size=u.size, h=v)) * u)
        else:
            v = named(f"v{r}", 2 * sigmoid(affine(f"r{r}", bias=None, size=v.size, x=u)) * v)
    i = sigmoid(affine("i", x=u, h=v))
    f = sigmoid(affine("f", bias=1.0, x=u, h=v))
    o = sigmoid(affine("o", x=u, h=v))
    g = tanh(affine("g", x=u, h=v))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def residual_lstm(x, h, c):
    """Residual LSTM: the output gate lets the input pass beside the projected cell.

    Kim, El-Khamy and Lee (2017), Residual LSTM: design of a deep recurrent architecture for distant
    speech recognition, arXiv:1701.03360.
    """
    i = sigmoid(affine("i", x, h) + weight("p_i") * c)
    f = sigmoid(affine("f", x, h, bias=1.0) + weight("p_f") * c)
    c = f * c + i * tanh(affine("g", x, h))
    o = sigmoid(affine("o", x, h) + weight("p_o") * c)
    m = affine("m", bias=None, c=tanh(c))
    return o * (m + project("r", x, h.size)), c


@cell
def mclstm(x, v, c):
    """Memory-controller LSTM: what the gates read is not what the network says.

    Shwartz-Ziv and Ben-Ari (2017), Sequence modeling using a memory controller extension for LSTM.
    """
    i = sigmoid(affine("i", x, v))
    f = sigmoid(affine("f", x, v, bias=1.0))
    o = sigmoid(affine("o", x, v))
    m = sigmoid(affine("m", x, v))
    c = f * c + i * tanh(affine("g", x, v))
    return o * tanh(c), m * tanh(c), c


@cell
def wmclstm(x, h, c):
    """Working memory connections: gates see the cell through a matrix and a tanh.

    Landi, Baraldi, Cornia and Cucchiara (2021), Working memory connections for LSTM, arXiv:2109.00020.
    """
    i = sigmoid(affine("i", x, h) + tanh(affine("i", c, bias=None)))
    f = sigmoid(affine("f", x, h, bias=1.0) + tanh(affine("f", c, bias=None)))
    c = f * c + i * tanh(affine("g", x, h))
    o = sigmoid(affine("o", x, h) + tanh(affine("o", bias=None, c=c)))
    return o * tanh(c), c


@cell
def ran(x, h, c):
    """Recurrent additive network: the memory is a weighted sum of inputs.

    Lee, Levy and Zettlemoyer (2017), Recurrent additive networks, arXiv:1705.07393.
    """
    i = sigmoid(affine("i", x, h))
    f = sigmoid(affine("f", x, h, bias=1.0))
    c = i * affine("c", x, bias=None) + f * c
    return tanh(c), c


@cell
def slstm(x, h, c, n, m, *, exponential_forget=False):
    """The xLSTM's scalar memory: exponential gates, a normaliser, and their running logarithm.

    Beck et al. (2024), xLSTM: extended long short-term memory, arXiv:2405.04517.
    """
    i = affine("i", x, h)
    f = affine("f", x, h, bias=1.0)
    f = f if exponential_forget else -softplus(-f)
    o = sigmoid(affine("o", x, h))
    old, m = m, maximum(f + m, i)
    c = exp(f + old - m) * c + exp(i - m) * tanh(affine("z", x, h))
    n = exp(f + old - m) * n + exp(i - m)
    return o * c / n, c, n, m
