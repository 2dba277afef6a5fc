"""Judging language models: perplexity of any tokens, mixtures, caches, dynamic evaluation, significance."""

from __future__ import annotations

from ifog.evaluation.bootstrap import Comparison, compare_documents, compare_tokens
from ifog.evaluation.cache import ContinuousCache
from ifog.evaluation.dynamic import DynamicScorer, gradient_mean_squares
from ifog.evaluation.interpolation import Interpolation, fit_weights, interpolate
from ifog.evaluation.perplexity import Figures, TextSize, decoded, figures, judge, measure
from ifog.evaluation.scoring import RecurrentScorer, Scorer

__all__ = [
    "Comparison",
    "ContinuousCache",
    "DynamicScorer",
    "Figures",
    "Interpolation",
    "RecurrentScorer",
    "Scorer",
    "TextSize",
    "compare_documents",
    "compare_tokens",
    "decoded",
    "figures",
    "fit_weights",
    "gradient_mean_squares",
    "interpolate",
    "judge",
    "measure",
]
