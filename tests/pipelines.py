"""Small pipelines for tests, and Hypothesis strategies for graphs of any shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from orchestrator.core.definition import Dataset, Pipeline, Step


def pipeline_of(needs: Mapping[str, Sequence[str]]) -> Pipeline:
    """Return a pipeline of `true` steps with the edges *needs* and without data."""
    return Pipeline(
        name="test",
        steps={name: Step(name=name, command=("true",), needs=tuple(others)) for name, others in needs.items()},
    )


def chain(*names: str) -> Pipeline:
    """Return a pipeline in which each of *names* needs the one before it."""
    return pipeline_of({name: names[max(0, number - 1) : number] for number, name in enumerate(names)})


def data_pipeline(reads: Mapping[str, Sequence[str]], **options: Mapping[str, object]) -> Pipeline:
    """
    Return a pipeline in which each step writes a dataset of its own name and reads the datasets *reads*.

    Names in *reads* that no step has are sources. *options* are further attributes of steps, by the step's name.
    """
    names = [*reads, *(name for others in reads.values() for name in others)]
    steps = {
        name: Step(
            name=name,
            command=("true",),
            reads=tuple(others),
            writes=(name,),
            **options.get(name, {}),  # type: ignore[arg-type]
        )
        for name, others in reads.items()
    }
    return Pipeline(name="test", steps=steps, datasets={name: Dataset(name, path=f"data/{name}") for name in names})


@st.composite
def graphs(draw: st.DrawFn, max_steps: int = 10) -> dict[str, list[str]]:
    """Draw the edges of an acyclic graph, its steps in any order."""
    count = draw(st.integers(1, max_steps))
    edges = {
        f"s{number}": [f"s{other}" for other in sorted(draw(st.sets(st.integers(0, number - 1), max_size=3)))]
        if number
        else []
        for number in range(count)
    }
    order = draw(st.permutations(list(edges)))
    return {name: edges[name] for name in order}
