"""Complete models, one file each: layers put together for a purpose."""

from __future__ import annotations

from ifog.models.language import LanguageModel, LanguageModelConfig

__all__ = ["LanguageModel", "LanguageModelConfig"]
