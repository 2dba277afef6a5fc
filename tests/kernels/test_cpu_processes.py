"""The engine in threads, forks and the workers of a data loader."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch
from torch import Tensor

from engine_layers import assert_same, gradients, layer, needs_engine

pytestmark = needs_engine


def test_four_threads_of_python_compute_at_the_same_time() -> None:
    net = layer("lstm", hidden_size=40)
    inputs = [torch.randn(9, 4, 3, requires_grad=True) for _ in range(4)]
    wanted = [gradients(net, x) for x in inputs]
    found: dict[int, list[list[Tensor]]] = {}

    def work(k: int) -> None:
        found[k] = [gradients(net, inputs[k]) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(found) == [0, 1, 2, 3]
    for k, runs in found.items():
        for run in runs:
            torch.testing.assert_close(run, wanted[k], rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_computes_too() -> None:
    net, x = layer("lstm", 3, 140), torch.randn(6, 2, 3, requires_grad=True)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        wanted, (y, _) = gradients(net, x), net(x)  # the parent's threads are running
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # rather than wait for ever for threads that stayed behind
            with torch.no_grad():
                same = torch.allclose(net(x)[0], y, atol=1e-5)
            torch.set_num_threads(1)  # PyTorch's own products would wait so, and its data loaders' workers have one
            same &= all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients(net, x), wanted, strict=True))
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert_same(gradients(net, x), wanted)  # and the parent still can
    finally:
        torch.set_num_threads(before)


class _Encoded(torch.utils.data.Dataset):
    def __init__(self) -> None:
        self.net = layer("gru", 3, 8)
        torch.manual_seed(2)
        self.x = torch.randn(4, 5, 3)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, k: int) -> Tensor:
        with torch.no_grad():
            return self.net(self.x[k])[0]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_of_a_data_loader_can_run_a_layer() -> None:
    data = _Encoded()
    wanted = torch.stack([data[k] for k in range(4)])
    found = torch.cat(list(torch.utils.data.DataLoader(data, batch_size=2, num_workers=2)))
    assert_same(found, wanted)
