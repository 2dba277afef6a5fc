"""Layers: any cell over time, and `torch.nn`'s three as drop-ins."""

from ifog.layers.dropin import GRU, LSTM, RNN
from ifog.layers.recurrent import Recurrent
from ifog.layers.state import detach_state

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "detach_state"]
