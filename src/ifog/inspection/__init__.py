"""Looking inside: what units, states and gates do on a text, what they stand for, and where a model is wrong."""

from ifog.inspection.ablation import Effect, ablate, clamped
from ifog.inspection.activations import Candidates, Trace, inspect, stream
from ifog.inspection.controls import detect, shuffled
from ifog.inspection.detectors import DETECTORS, detector
from ifog.inspection.errors import Breakdown, break_down
from ifog.inspection.findings import Finding, Findings
from ifog.inspection.gates import Gates, draw_gates, gate_statistics
from ifog.inspection.heatmap import draw
from ifog.inspection.labels import Source
from ifog.inspection.report import render_report
from ifog.inspection.run_errors import draw_errors, errors_of

__all__ = [
    "DETECTORS",
    "Breakdown",
    "Candidates",
    "Effect",
    "Finding",
    "Findings",
    "Gates",
    "Source",
    "Trace",
    "ablate",
    "break_down",
    "clamped",
    "detect",
    "detector",
    "draw",
    "draw_errors",
    "draw_gates",
    "errors_of",
    "gate_statistics",
    "inspect",
    "render_report",
    "shuffled",
    "stream",
]
