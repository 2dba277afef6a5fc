"""Networks of one layer: the plain recurrences that gates were invented to mend."""

# pyright: basic
from ifog.compiler.language import abs, affine, concat, matrix, product, relu, sigmoid, sign, tanh, weight
from ifog.compiler.tracing import cell


@cell
def elman(x, h):
    """Elman's network: one tanh layer that also reads its own past.

    Elman (1990), Finding structure in time.
    """
    return tanh(affine("h", x, h))


@cell
def sigmoid_rnn(x, h):
    """Elman's network with the logistic function.

    Elman (1990), Finding structure in time.
    """
    return sigmoid(affine("h", x, h))


@cell
def relu_rnn(x, h):
    """Elman's network with rectified units.

    Nair and Hinton (2010), Rectified linear units improve restricted Boltzmann machines.
    """
    return relu(affine("h", x, h))


@cell
def irnn(x, h):
    """IRNN: rectified units that start by copying their state.

    Le et al. (2015), A simple way to initialize recurrent networks of rectified linear units, arXiv:1504.00941.
    """
    return relu(affine("h", x, h, init={"x": "normal/1000", "h": "identity"}))


@cell
def orthogonal_rnn(x, h):
    """Rectified units whose state starts out rotated, so that gradients neither grow nor explode.

    Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks, arXiv:1312.6120.
    """
    return relu(affine("h", x, h, init={"h": "orthogonal"}))


@cell
def exprnn(x, h):
    """expRNN: a matrix that stays orthogonal while it learns, and units that shrink a sum but keep its sign.

    Lezcano-Casado and Martínez-Rubio (2019), Cheap orthogonal constraints in neural networks, arXiv:1901.08428.
    """
    W = matrix("W_h", h.size, h.size, init="rotations", orthogonal=True)
    z = affine("", x, bias=None, init="he") + product(W, h)
    return sign(z) * relu(abs(z) + weight("b"))


@cell
def leaky_rnn(x, h, *, leak=0.5):
    """Leaky integrator: moves only part of the way to Elman's next state.

    Jaeger et al. (2007), Optimization and applications of echo state networks with leaky-integrator neurons.
    """
    return (1 - leak) * h + leak * tanh(affine("h", x, h))


@cell
def fastrnn(x, h):
    """FastRNN: a residual connection with two trained scalars.

    Kusupati et al. (2018), FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated RNN, arXiv:1901.02358.
    """
    alpha = sigmoid(weight("b_alpha", 1, -3.0))
    beta = sigmoid(weight("b_beta", 1, 3.0))
    return alpha * tanh(affine("h", x, h)) + beta * h


@cell(sizes={"s": "context_size"})
def scrn(x, h, s, *, context_size=None, alpha=0.95):
    """SCRN: slow context units beside fast ones; the next layer reads both.

    Mikolov et al. (2014), Learning longer memory in recurrent neural networks, arXiv:1412.7753.
    """
    s = (1 - alpha) * affine("s", x, bias=None, size=s.size) + alpha * s
    h = sigmoid(affine("h", x, h, bias=None, s=s))
    return concat(h, s), h, s


@cell
def multiplicative_rnn(x, h):
    """Multiplicative RNN: the input picks the matrix that the state goes through.

    Sutskever, Martens and Hinton (2011), Generating text with recurrent neural networks.
    """
    m = affine("m", x, bias=None) * affine("m", h, bias=None)
    return tanh(affine("h", x, m=m))


@cell
def mi_rnn(x, h):
    """MI-RNN: what the input and the state say is multiplied, not only added.

    Wu, Zhang, Zhang, Bengio and Salakhutdinov (2016), On multiplicative integration with RNNs, arXiv:1606.06630.
    """
    p = affine("h", x, bias=None)
    q = affine("h", h, bias=None)
    pq = weight("alpha", init=1.0) * p * q
    return tanh(pq + weight("beta_p", init=0.5) * p + weight("beta_q", init=0.5) * q + weight("b"))
