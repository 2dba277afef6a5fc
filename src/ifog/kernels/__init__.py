"""What runs a planned cell fast: the C++ engine, and the operators that hide it from torch.

Owns the loading of compiled code. Gives handles to it, or nothing where it was not built. Never computes by itself.
"""

from ifog.kernels.loading import Engine, EngineMissingWarning, available, engine

__all__ = ["Engine", "EngineMissingWarning", "available", "engine"]
