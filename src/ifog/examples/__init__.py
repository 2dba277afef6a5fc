"""Files of examples to batches: tables, their encoded columns, and the formats they are read from. Imports no model."""

from ifog.examples.batches import ExampleBatches, in_batches
from ifog.examples.columns import Examples, Ragged
from ifog.examples.tables import Table
from ifog.examples.vocabulary import Vocabulary

__all__ = ["ExampleBatches", "Examples", "Ragged", "Table", "Vocabulary", "in_batches"]
