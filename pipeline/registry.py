"""The two kinds of job: their stages in order, and the table that holds their rows."""

import msgspec

from infra.providers.base import Kind
from pipeline.menu.registry import MENU_STAGES
from pipeline.prompt.registry import PROMPT_STAGES
from pipeline.stages import Stage


class JobKind(msgspec.Struct, frozen=True):
    """Eight stages by name, and the table of the rows that they fill."""

    name: Kind
    table: str
    stages: dict[str, Stage]

    @property
    def first_columns(self) -> tuple[str, ...]:
        """One column of each stage: filled exactly when the stage has answered the row."""
        return tuple(stage.fills[0] for stage in self.stages.values())


KINDS: dict[str, JobKind] = {
    "menu": JobKind("menu", "menu_item", {stage.name: stage for stage in MENU_STAGES}),
    "prompt": JobKind("prompt", "prompt", {stage.name: stage for stage in PROMPT_STAGES}),
}
