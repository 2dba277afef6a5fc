"""Complete models, one file each: layers put together for a purpose."""

from __future__ import annotations

from ifog.models.catalogue import MODELS
from ifog.models.gpt2 import GPT2Config, GPT2Model
from ifog.models.interface import NextTokenModel
from ifog.models.language import LanguageModel, LanguageModelConfig
from ifog.models.maxent import MaxentConfig, MaxentModel
from ifog.models.mogrifier import MogrifierConfig, MogrifierModel
from ifog.models.projected import ProjectedConfig, ProjectedModel
from ifog.models.regularised import RegularisedConfig, RegularisedModel, awd, zaremba
from ifog.models.transformer import TransformerConfig, TransformerModel
from ifog.models.window import WindowConfig, WindowModel

__all__ = [
    "MODELS",
    "GPT2Config",
    "GPT2Model",
    "LanguageModel",
    "LanguageModelConfig",
    "MaxentConfig",
    "MaxentModel",
    "MogrifierConfig",
    "MogrifierModel",
    "NextTokenModel",
    "ProjectedConfig",
    "ProjectedModel",
    "RegularisedConfig",
    "RegularisedModel",
    "TransformerConfig",
    "TransformerModel",
    "WindowConfig",
    "WindowModel",
    "awd",
    "zaremba",
]
