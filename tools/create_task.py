"""The tool that makes tasks: it checks and saves what a language model proposes; the name works at once."""

from __future__ import annotations

from ..experiments.tasks.draft import Draft
from .arguments import Answered
from .refusals import refused
from .report.verdict_words import verdict_words
from .workbench.context import Context
from .workbench.experiment_text import quoted

SHOWN = 2


def create_task(context: Context, given: Draft) -> Answered:
    """Make a new task: prompts with answers, as rows (the shortest form), as examples, or from templates.

    Send at least 24 prompts, better 80: a hash of the question puts each into one of two splits, and each split needs 8
    different questions. Prompts with the same `about`, or the same sum, ask one question; without either, each text is
    its own. The program computes every expression and plain sum ("17 + 25 ="), and refuses duplicate
    prompts, answers that appear in their prompt, and answers that the subject's tokenizer cannot tell apart. It returns
    all faults at once; fix them and send the whole task again. Then every tool that takes a task accepts its name, here
    and in later studies.
    """
    from ..experiments.tasks.carried import require_carried
    from ..experiments.tasks.gsm8k_set import PARTS
    from ..experiments.tasks.making import made
    from ..experiments.tasks.prompt import SPLITS
    from ..experiments.tasks.registry import UNLISTED, tasks

    task = None
    for row in context.written("task_files"):
        assert row.name is not None
        task = context.add_stored_task(row.name, row.fingerprint)
    if task is None:
        taken = {*tasks(), *UNLISTED, *PARTS, *context.own_tasks, *context.reader.task_names()}
        subject = context.subject(context.model)
        # Findings contain its name, and no word of a finding may be a writer's.
        if sure := verdict_words(given.name.replace("_", " ")):
            raise refused("task_name", words=" ".join(sure))
        task = made(given, subject.tokenizer, taken)
        require_carried(subject, task)
        task = context.know(task, context.maker, given.model_dump(exclude_none=True))
    sizes = {split: task.capacity(split) for split in SPLITS}
    lines = [f"The task {task.name} is ready: {' and '.join(f'{n} prompts to {split}' for split, n in sizes.items())}."]
    lines += [f"  {quoted(p.text, 120)} answer {quoted(p.answer)}" for p in task.prompts(SHOWN)]
    lines.append(" ".join(task.description.splitlines()[1:]))
    lines.append("Run baseline to see whether the subject can do it.")
    return "\n".join(lines), {"task": task.name, "prompts": sizes, "fingerprint": task.fingerprint()}
