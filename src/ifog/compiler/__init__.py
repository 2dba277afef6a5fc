"""From a cell function to programs: trace, plan, differentiate, execute."""

from ifog.compiler.graph import Graph, Parameter
from ifog.compiler.tracing import Cell, cell

__all__ = ["Cell", "Graph", "Parameter", "cell"]
