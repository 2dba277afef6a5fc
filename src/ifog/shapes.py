"""The alphabet of shapes, and the types that speak it.

Owns the letters and the names `Float`, `Int`, `Bool` and `Shaped`, which are jaxtyping's. A function's type says what
its tensors measure, `Float[Tensor, "T B D"]`, and one letter means one size everywhere in the package:

| letter | size                       | letter | size                                     |
|--------|----------------------------|--------|------------------------------------------|
| `T`    | time, steps                | `H`    | hidden, a cell's state                   |
| `B`    | batch, parallel sequences  | `V`    | vocabulary                               |
| `D`    | input of a cell            | `L`    | layers, times directions where there are |

Several letters may stand as one product (`T*B`), a multiple takes its factor (`4*H`), a leading `...` is any number of
dimensions. Never checks anything at run time: the layers check what users hand in, and trust each other below.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int, Shaped

__all__ = ["ALPHABET", "Bool", "Float", "Int", "Shaped"]

ALPHABET = {
    "B": "batch",
    "D": "input",
    "H": "hidden",
    "L": "layers",
    "T": "time",
    "V": "vocabulary",
}
"""Each letter that a shape may use, and what it measures."""
