"""The menu's translation stage: each dish's name in the target language."""

from pipeline.stages import Stage

STAGE = Stage(kind="menu", name="translation", fills=("translation",), result=str)
