"""Train any model on any task: the loop, optimisers, clipping, schedules. Knows nothing of language."""

from ifog.training.config import ClippingName, OptimizerName, ScheduleName, TrainingConfig, parse_budget
from ifog.training.logging import JsonLinesLogger, Logger, TensorBoardLogger
from ifog.training.loop import FitResult, fit
from ifog.training.progress import Progress, SilentProgress, Status
from ifog.training.randomness import seed_all
from ifog.training.task import Batches, Carry, StepMetrics, Task
from ifog.training.weights import load_weights

__all__ = [
    "Batches",
    "Carry",
    "ClippingName",
    "FitResult",
    "JsonLinesLogger",
    "Logger",
    "OptimizerName",
    "Progress",
    "ScheduleName",
    "SilentProgress",
    "Status",
    "StepMetrics",
    "Task",
    "TensorBoardLogger",
    "TrainingConfig",
    "fit",
    "load_weights",
    "parse_budget",
    "seed_all",
]
