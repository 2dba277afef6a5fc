"""All neural language models by name.

Owns `MODELS`; a new model is one file and one line here. Takes names and configurations, gives models.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from ifog.errors import ConfigError
from ifog.models.gpt2 import GPT2Config, GPT2Model
from ifog.models.language import LanguageModel, LanguageModelConfig
from ifog.models.maxent import MaxentConfig, MaxentModel
from ifog.models.mogrifier import MogrifierConfig, MogrifierModel
from ifog.models.projected import ProjectedConfig, ProjectedModel
from ifog.models.regularised import RegularisedConfig, RegularisedModel
from ifog.models.transformer import TransformerConfig, TransformerModel
from ifog.models.window import WindowConfig, WindowModel

__all__ = ["MODELS", "Entry", "build", "name_of"]


class Entry(NamedTuple):
    """A kind of model and of its configuration."""

    model: type[nn.Module]
    config: type[Any]


MODELS: dict[str, Entry] = {
    "gpt2": Entry(GPT2Model, GPT2Config),
    "maxent": Entry(MaxentModel, MaxentConfig),
    "mogrifier": Entry(MogrifierModel, MogrifierConfig),
    "projected": Entry(ProjectedModel, ProjectedConfig),
    "recurrent": Entry(LanguageModel, LanguageModelConfig),
    "regularised": Entry(RegularisedModel, RegularisedConfig),
    "transformer": Entry(TransformerModel, TransformerConfig),
    "window": Entry(WindowModel, WindowConfig),
}


def build(name: str, values: Mapping[str, Any]) -> Any:
    """A freshly initialised model: the class called `name`, of the shapes that `values` (a config's `to_dict`) tell.

    Returns:
        A module that is an `ifog.models.NextTokenModel`.

    Raises:
        ConfigError: no such model, or values that don't describe one.

    Examples:
        >>> build("window", {"vocabulary_size": 30, "order": 3}).config.order
        3
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"model {name!r} is not in the catalogue; {hint}It holds {', '.join(MODELS)}.")
    kind = MODELS[name]
    config = kind.config.from_dict(values)
    return LanguageModel.from_config(config) if kind.model is LanguageModel else kind.model(config)


def name_of(model: nn.Module) -> str:
    """The name in `MODELS` of a model's class.

    Raises:
        ConfigError: the class isn't there.
    """
    for name, kind in MODELS.items():
        if type(model) is kind.model:
            return name
    raise ConfigError(f"{type(model).__name__} is not in the catalogue of models, which holds {', '.join(MODELS)}.")
