"""The marked slots that an improved prompt leaves for its author to fill."""

from infra.providers.builtin.prompt.parts import Part

# By the language of the prompt; a person who fills a slot replaces it whole, brackets included.
SLOTS: dict[str, dict[Part, str]] = {
    "en": {
        "role": "[ROLE: say who the model should be]",
        "task": "[TASK: say in one sentence what it should do]",
        "context": "[CONTEXT: say what it has to know: the situation, the readers, the source]",
        "constraints": "[CONSTRAINTS: say what it must keep to and what it must avoid]",
        "output_format": "[OUTPUT FORMAT: say the form, the order and the length of the answer]",
        "examples": "[EXAMPLES: show one input and the answer you want for it]",
    },
    "ja": {
        "role": "[ROLE: モデルの役割を書く]",
        "task": "[TASK: すべきことを一文で書く]",
        "context": "[CONTEXT: 知っておくべきことを書く(状況、読み手、元の資料)]",
        "constraints": "[CONSTRAINTS: 守ることと避けることを書く]",
        "output_format": "[OUTPUT FORMAT: 答えの形、順序、長さを書く]",
        "examples": "[EXAMPLES: 入力と望む答えを一組示す]",
    },
}


def strip_slots(text: str) -> str:
    """The text without unfilled slots: an empty slot is not a part."""
    for slots in SLOTS.values():
        for slot in slots.values():
            text = text.replace(slot, "\n")
    return text.strip()


def has_slot(text: str, part: Part) -> bool:
    """Whether the text already asks its author for this part, in any language."""
    return any(slots[part] in text for slots in SLOTS.values())
