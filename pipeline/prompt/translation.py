"""Stage `translation`: the prompt in the target language."""

from pipeline.stages import Stage

STAGE = Stage(kind="prompt", name="translation", fills=("translation",), result=str)
