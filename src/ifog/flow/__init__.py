"""Gradients through time: how they decay, what the recurrence's Jacobians predict, how long a memory reaches."""

from ifog.flow.gradients import Flow, GradientNorms, GradientRecorder, gradient_norms, measure_flow
from ifog.flow.jacobians import lyapunov_exponents, step_jacobian
from ifog.flow.memory_length import MemoryCurve, measure_memory
from ifog.flow.pictures import draw_decay
from ifog.flow.reach import measure_reach

__all__ = [
    "Flow",
    "GradientNorms",
    "GradientRecorder",
    "MemoryCurve",
    "draw_decay",
    "gradient_norms",
    "lyapunov_exponents",
    "measure_flow",
    "measure_memory",
    "measure_reach",
    "step_jacobian",
]
