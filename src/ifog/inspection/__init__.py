"""Looking inside: what units, states and gates do on a text, what they stand for, and how far back gradients reach."""

from ifog.inspection.ablation import Effect, ablate, clamped
from ifog.inspection.activations import Candidates, Trace, inspect, stream
from ifog.inspection.controls import detect, shuffled
from ifog.inspection.decay_pictures import draw_decay
from ifog.inspection.detectors import DETECTORS, detector
from ifog.inspection.diagnosis import Diagnosis
from ifog.inspection.doctor import diagnose
from ifog.inspection.errors import Breakdown, break_down
from ifog.inspection.findings import Finding, Findings
from ifog.inspection.gates import Gates, draw_gates, gate_statistics
from ifog.inspection.gradient_flow import Flow, GradientNorms, GradientRecorder, gradient_norms, measure_flow
from ifog.inspection.heatmap import draw
from ifog.inspection.labels import Source
from ifog.inspection.memory_length import MemoryCurve, measure_memory
from ifog.inspection.report import render_report
from ifog.inspection.run_errors import draw_errors, errors_of

__all__ = [
    "DETECTORS",
    "Breakdown",
    "Candidates",
    "Diagnosis",
    "Effect",
    "Finding",
    "Findings",
    "Flow",
    "Gates",
    "GradientNorms",
    "GradientRecorder",
    "MemoryCurve",
    "Source",
    "Trace",
    "ablate",
    "break_down",
    "clamped",
    "detect",
    "detector",
    "diagnose",
    "draw",
    "draw_decay",
    "draw_errors",
    "draw_gates",
    "errors_of",
    "gate_statistics",
    "gradient_norms",
    "inspect",
    "measure_flow",
    "measure_memory",
    "render_report",
    "shuffled",
    "stream",
]
