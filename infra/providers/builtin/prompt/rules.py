"""The builtin provider's answers about a prompt: one rule module for each of the eight stages."""

from infra.providers.base import Answer, PromptText, ProviderRejected, StageCall
from infra.providers.builtin.prompt.analysis import analyse_prompt
from infra.providers.builtin.prompt.embedding import embed_prompt
from infra.providers.builtin.prompt.evaluation import evaluate_prompt
from infra.providers.builtin.prompt.improvement import improve_prompt
from infra.providers.builtin.prompt.safety import check_safety
from infra.providers.builtin.prompt.tags import tag_prompt
from infra.providers.builtin.prompt.translation import translate_prompt
from infra.providers.builtin.prompt.variables import describe_variables


def answer_prompt(stage: str, prompt: PromptText, call: StageCall) -> Answer:
    """What the rules say about one prompt: JSON values only, the same for the same input.

    Pure and synchronous. A prompt of 100,000 characters takes up to 0.2 s of CPU (measured), and hostile patterns in
    test cases up to 1 s, so the caller puts long prompts and evaluations into a thread. Raises ProviderRejected for a
    stage that is not a prompt's.
    """
    match stage:
        case "analysis":
            result, confidence = analyse_prompt(prompt.content)
        case "variables":
            result, confidence = describe_variables(prompt.content)
        case "safety":
            result, confidence = check_safety(prompt.content)
        case "translation":
            return Answer(prompt.item_id, *translate_prompt(prompt.content, call.target_language, call.source_language))
        case "tags":
            result, confidence = tag_prompt(prompt.title, prompt.content)
        case "embedding":
            return Answer(prompt.item_id, *embed_prompt(prompt.item_id, prompt.content, call.stored))
        case "improvement":
            result, confidence = improve_prompt(prompt.content)
        case "evaluation":
            return Answer(prompt.item_id, *evaluate_prompt(prompt.content, prompt.test_cases))
        case _:
            raise ProviderRejected(f"a prompt job has no stage {stage}")
    return Answer(prompt.item_id, result, confidence)
