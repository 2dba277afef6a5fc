"""The operators that compilers trace around: compared with eager calls and with the reference."""

import copy

import pytest
import torch

import agreement
import ifog
from ifog.cells import catalogue
from ifog.compiler.planning import plan
from ifog.compiler.precision import PRECISIONS
from ifog.errors import BackendError, ShapeError
from ifog.kernels import operators
from ifog.kernels.loading import available

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")

CASES = [
    ("lstm", 4, 3, {}),
    ("lstm", 1, 1, {"valid": True, "reset": True}),
    ("gru_cho", 5, 2, {"reset": True}),
    ("gru_cho", 3, 2, {"gates": True}),
    ("mgu", 4, 1, {"tokens": True}),
    ("lstm_peephole", 3, 3, {"valid": True}),
    ("nas", 2, 3, {}),
    ("mingru", 3, 2, {"valid": True}),
]
NAMES = [f"{name}-{steps}-{batch}-{'-'.join(options)}" for name, steps, batch, options in CASES]


def through_operators(precision="fp32"):
    return lambda it, inputs: operators.run(plan(it.graph), inputs, it.names, precision)


def arguments(it, *, precision="fp32", train=True, leaves=True):
    inputs = it.inputs

    def leaf(value):
        return value.detach().clone().requires_grad_(leaves and value.is_floating_point())

    name, _ = operators.register(plan(it.graph), None, tuple(inputs.parameters), it.names)
    lists = [[leaf(t) for t in part] for part in (inputs.states, inputs.start or (), inputs.parameters.values())]
    x = leaf(inputs.x)
    return [
        name,
        x,
        *lists,
        list(inputs.masks),
        inputs.valid,
        inputs.reset,
        precision,
        train and x.requires_grad,
        train,
    ]


def cotangents(results):
    output, last, gates, kept = results
    return (output, kept, *(torch.utils._pytree.tree_map(torch.randn_like, d) for d in (output, last, gates)))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("name", "steps", "batch", "options"), CASES, ids=NAMES)
def test_operators_pass_all_checks_of_torch(name, steps, batch, options, precision):
    it = agreement.case(catalogue.get(name).trace(5, 6), steps, batch, **options)
    torch.library.opcheck(torch.ops.ifog.sequence, tuple(arguments(it, precision=precision)))
    torch.library.opcheck(torch.ops.ifog.sequence, tuple(arguments(it, precision=precision, train=False, leaves=False)))
    given = arguments(it, precision=precision, leaves=False)
    given[-2] = it.inputs.x.is_floating_point()
    results = torch.ops.ifog.sequence(*given)
    torch.library.opcheck(torch.ops.ifog.sequence_backward, (*given[:-1], *cotangents(results)))


@pytest.mark.parametrize(("name", "steps", "batch", "options"), CASES, ids=NAMES)
def test_values_and_gradients_are_those_of_the_reference(name, steps, batch, options):
    it = agreement.case(catalogue.get(name).trace(17, 33), steps, batch, **options)
    truth = agreement.compute(it, agreement.reference, torch.float64)
    errors = agreement.errors(agreement.compute(it, through_operators()), truth)
    assert max(errors.values()) <= agreement.FP32, errors


@pytest.mark.parametrize("first", ["eager", "operators"])
def test_eager_calls_and_operators_share_what_the_engine_remembers_of_a_shape(first):
    it = agreement.case(catalogue.get("lstm").trace(5, 9), 6, 7, gates=True)
    runs = [agreement.engine(), through_operators()]
    found = [agreement.compute(it, run) for run in (runs if first == "eager" else runs[::-1])]
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_the_backward_operator_changes_nothing_and_can_be_called_twice():
    it = agreement.case(catalogue.get("lstm").trace(5, 6), 4, 3)
    given = arguments(it, leaves=False)
    given[-2] = True
    more = cotangents(torch.ops.ifog.sequence(*given))
    before = copy.deepcopy((given, more))
    first, second = (torch.ops.ifog.sequence_backward(*given[:-1], *more) for _ in range(2))
    leaves = torch.utils._pytree.tree_leaves
    for a, b in zip(leaves(before), leaves((given, more)), strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("options", [{}, {"valid": True, "reset": True}, {"gates": True}])
def test_the_second_derivative_is_that_of_the_reference(options):
    it = agreement.case(catalogue.get("gru_cho").trace(3, 4), 3, 2, **options)

    def second(run, dtype):
        inputs = agreement.typed(it.inputs, dtype)
        output, last, gates = run(it, inputs)
        total = sum((v.sin().sum() for v in (output, *last, *gates.values())), torch.zeros((), dtype=dtype))
        leaves = list(it.leaves(inputs).values())
        first = torch.autograd.grad(total, leaves, create_graph=True)
        return torch.autograd.grad(sum((g.square().sum() for g in first), torch.zeros((), dtype=dtype)), leaves)

    for found, truth in zip(
        second(through_operators(), torch.float32), second(agreement.reference, torch.float64), strict=True
    ):
        torch.testing.assert_close(found.double(), truth, rtol=1e-4, atol=1e-5)


def test_an_operator_that_kept_nothing_says_so_when_it_is_differentiated():
    given = arguments(agreement.case(catalogue.get("lstm").trace(3, 4), 2, 2), train=False)
    output, *_ = torch.ops.ifog.sequence(*given)
    with pytest.raises(BackendError, match="train=False"):
        output.sum().backward()


def test_a_name_that_no_layer_gave_is_refused_with_the_reason():
    given = arguments(agreement.case(catalogue.get("lstm").trace(3, 4), 2, 2))
    with pytest.raises(BackendError, match="no recurrence is called 'lstm-of-another-process'"):
        torch.ops.ifog.sequence("lstm-of-another-process", *given[1:])


def test_a_name_depends_on_sizes_and_equations_alone():
    names = [
        operators.register(plan(catalogue.get(n).trace(3, h)))[0] for n, h in (("lstm", 4), ("lstm", 5), ("mgu", 4))
    ]
    assert len(set(names)) == 3
    assert operators.register(plan(catalogue.get("lstm").trace(3, 4)))[0] == names[0]


def test_ids_out_of_range_are_refused_where_a_trace_could_not_look():
    given = arguments(agreement.case(catalogue.get("mgu").trace(5, 4), 3, 2, tokens=True))
    given[1] = given[1] + 5
    with pytest.raises(ShapeError, match="0 to 4"):
        torch.ops.ifog.sequence(*given)


def test_a_weight_changed_between_forward_and_backward_is_noticed():
    given = arguments(agreement.case(catalogue.get("lstm").trace(3, 4), 2, 2))
    output, *_ = torch.ops.ifog.sequence(*given)
    with torch.no_grad():
        given[4][0].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


# layers under torch.compile

LAYERS = {
    "drop-in": (lambda: ifog.LSTM(4, 6), {}),
    "stacked": (lambda: ifog.GRU(4, 6, 2, bidirectional=True, precision="bf16"), {}),
    "no bias": (lambda: ifog.RNN(4, 6, bias=False), {}),
    "gates": (lambda: ifog.Recurrent("mgu", 4, 6), {"return_gates": True}),
    "reset": (
        lambda: ifog.Recurrent("lstm", 4, 6, initial_state="learned"),
        {"reset": torch.arange(21).view(7, 3) % 4 == 0},
    ),
    "lengths": (lambda: ifog.LSTM(4, 6, bidirectional=True), {"lengths": torch.tensor([7, 2, 4])}),
    "tokens": (lambda: ifog.Recurrent("lstm", None, 6, vocabulary=9), {}),
}


def tensors(result):
    return list(torch.utils._pytree.tree_leaves(result))


def compare(layer, compiled, x, options):
    leaves = [*layer.parameters(), *([x] if x.requires_grad else [])]
    found, wanted = tensors(compiled(x, **options)), tensors(layer(x, **options))
    gradients = [torch.autograd.grad(sum(v.sin().sum() for v in r), leaves) for r in (found, wanted)]
    for a, b in zip((*found, *gradients[0]), (*wanted, *gradients[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        for a, b in zip(tensors(compiled(x, **options)), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def sequence(layer, steps=7, batch=3):
    generator = torch.Generator().manual_seed(steps * batch)
    if layer.vocabulary:
        return torch.randint(layer.vocabulary, (steps, batch), generator=generator)
    return torch.randn(steps, batch, 4, generator=generator).requires_grad_()


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("name", LAYERS)
def test_a_compiled_layer_is_one_graph_and_equals_the_eager_one(name):
    make, options = LAYERS[name]
    torch.manual_seed(0)
    layer = make()
    compare(layer, torch.compile(layer, fullgraph=True, backend="aot_eager"), sequence(layer), options)


def test_one_trace_serves_sequences_of_any_length_and_batch():
    layer = ifog.LSTM(4, 6)
    traces = 0

    def backend(graph, inputs):
        nonlocal traces
        traces += 1
        return graph.forward

    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    for steps, batch in ((7, 3), (5, 2), (12, 4)):
        x = sequence(layer, steps, batch)
        torch._dynamo.mark_dynamic(x, 0)
        torch._dynamo.mark_dynamic(x, 1)
        y, _ = compiled(x)
        torch.testing.assert_close(y, layer(x)[0])
    assert traces == 1


def test_a_layer_can_be_exported_for_any_length():
    layer = ifog.LSTM(4, 6).eval()
    time = torch.export.Dim("time", min=2, max=1000)
    with torch.no_grad():
        program = torch.export.export(layer, (torch.randn(7, 3, 4),), dynamic_shapes=({0: time},), strict=True)
        x = torch.randn(11, 3, 4)
        for a, b in zip(tensors(program.module()(x)), tensors(layer(x)), strict=True):
            torch.testing.assert_close(a, b)
