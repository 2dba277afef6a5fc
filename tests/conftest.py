"""What every test shares: determinism, the real data where there is some, and nothing that a test could depend on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "Agg")  # figures are drawn without a screen

# The suite gives the same answer every time. To look for new counterexamples: pytest --hypothesis-profile=explore
settings.register_profile(
    "deterministic",
    derandomize=True,
    deadline=None,  # no test judges time
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failure
)
settings.register_profile("explore", settings.get_profile("deterministic"), derandomize=False, max_examples=2000)
settings.load_profile("deterministic")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden anew instead of comparing with it"
    )


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test starts from the same random state, whichever ran before it, and alone or among many."""
    import random

    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global state is exactly what must not leak between tests
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data that the environment variable IFOG_DATA names; tests that need it skip without it."""
    folder = os.environ.get("IFOG_DATA")
    if not folder:
        pytest.skip("real data is needed: set IFOG_DATA to its folder")
    return Path(folder)
