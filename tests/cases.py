"""One case of a study, for tests to change with dataclasses.replace."""

from study.spec import Case

CASE = Case(
    engine="vllm",
    model="llama3-8b",
    tp=1,
    graphs="on",
    tracing="off",
    repeat=1,
    batches=(1, 8),
    prompt_tokens=128,
    output_tokens=64,
    windows=3,
    traced_steps=64,
    seed=0,
)
