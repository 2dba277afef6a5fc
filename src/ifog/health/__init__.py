"""What is wrong with a run, and what to try: its curves, its data, its weights, and a fresh model of its shape."""

from ifog.health.diagnosis import Diagnosis
from ifog.health.doctor import diagnose

__all__ = ["Diagnosis", "diagnose"]
