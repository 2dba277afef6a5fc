"""Handle the state that is carried from batch to batch, whatever its shape.

Owns cutting it from the gradient and turning it into named tensors and back. Never looks inside a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ifog.training.task import Carry

__all__ = ["detach", "flatten", "move", "unflatten"]


def detach(carry: Carry) -> Carry:
    """The same state without its history; named tuples keep their type."""
    if isinstance(carry, Tensor):
        return carry.detach()
    if carry is None:
        return None
    return _rebuild(carry, [detach(part) for part in carry])


def move(batch: Any, device: Any) -> Any:
    """A batch on another device; what is no tensor stays as it is."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, (tuple, list)):
        return _rebuild(batch, [move(part, device) for part in batch])  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(batch, dict):
        return {key: move(part, device) for key, part in batch.items()}  # pyright: ignore[reportUnknownVariableType]
    return batch


def flatten(carry: Carry, prefix: str = "carry") -> dict[str, Tensor]:
    """Tensors named by their place, such as "carry.0.1"; no entry for None."""
    if isinstance(carry, Tensor):
        return {prefix: carry}
    if carry is None:
        return {}
    return {k: v for i, part in enumerate(carry) for k, v in flatten(part, f"{prefix}.{i}").items()}


def unflatten(tensors: Mapping[str, Tensor], prefix: str = "carry") -> Carry:
    """What `flatten` took apart, in plain tuples."""
    if prefix in tensors:
        return tensors[prefix]
    places = {int(name[len(prefix) + 1 :].split(".")[0]) for name in tensors if name.startswith(f"{prefix}.")}
    if not places:
        return None
    return tuple(unflatten(tensors, f"{prefix}.{i}") for i in range(max(places) + 1))


def _rebuild(original: Any, parts: list[Any]) -> Any:
    return type(original)(*parts) if hasattr(original, "_fields") else type(original)(parts)
