"""The menu's description stage: a sentence or two about each dish in the target language."""

from pipeline.stages import Stage

STAGE = Stage(kind="menu", name="description", fills=("description",), result=str)
