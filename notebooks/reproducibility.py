# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reproducibility
#
# Whether the results of a pipeline can be had again: what runs were started with, what changed when, what happened when somebody tried, and which
# outputs are never the same twice.
#
# A step's result depends on its command, its code, its variables and its inputs. The ledger has a digest of each for every attempt.

# %% tags=["parameters"]
ledger = ".orchestrate/ledger.db"  # a ledger, or a backup of one
pipeline = ""  # empty: the pipeline with the most runs
since = ""  # the first night; empty: from the beginning
until = ""  # the last night; empty: to the end
verify = True  # verify the ledger first

# %%
from orchestrator.history import History
from orchestrator.history import charts, charts_of_reproducing, nights, reproducing
from orchestrator.history.provenance import Provenance

charts.use_theme()
history = History(ledger, verify=verify)
all_runs = history.runs()
Provenance(all_runs.attrs)

# %% [markdown]
# ## Definitions and environments over time
#
# Each row is one thing that a run is started with; where the shade changes, so did the thing. Results from both sides of such a night may differ for
# that reason alone. *Environment* has the machine, the interpreter and the packages together; runs of older programs have none recorded.

# %%
choice = nights.choose(all_runs, pipeline=pipeline, since=since, until=until)
runs = choice.of(all_runs)
changes = history.view("audit_definition_changes")
period = charts.period_of(choice.since, choice.until, changes, runs)
print(choice)
spans = reproducing.spans(choice.of(reproducing.started_with(history)))
charts_of_reproducing.spans_chart(spans, period)

# %%
columns = ["aspect", "value", "since", "until", "runs"]
charts.table(spans[columns].head(40), "")

# %% [markdown]
# ## What changed when
#
# The changes of the definition as it was met by runs, the newest first. `orchestrate changes` prints each difference.

# %%
own = changes[(changes["pipeline"] == choice.pipeline) & changes["before"].notna()]
own = own.assign(changes=reproducing.change_words(own["changes"]))
columns = ["recorded_at", "differences", "changes", "git_commit", "git_dirty", "user"]
charts.table(own[columns].iloc[::-1].head(20), "The definition has stayed what it was.")

# %% [markdown]
# Code, command and variables of each step, compared with what the step had the time before; what it has no more is told too. Inputs change every night
# and are not shown.

# %%
changed = reproducing.changes_of(choice.of(reproducing.material(history)))
charts_of_reproducing.changes_chart(changed, period)

# %%
charts.table(changed.iloc[::-1].head(30), "")

# %% [markdown]
# ## Verdicts
#
# `orchestrate reproduce RUN` takes the recorded definition, code and inputs, runs again in a tree of its own, and compares. *Identical*: the same
# bytes. *Equivalent*: other bytes with the same content. *Different*: neither. *Not reproducible*: something of it is not there any more.

# %%
verdicts = choice.of(reproducing.verdicts(history))
charts_of_reproducing.verdicts_chart(verdicts, period)

# %% [markdown]
# Where reproductions first differ from the original: the step at the top of all that differs. What lies below it differs for that reason.

# %%
columns = ["recorded_at", "night", "run_id", "verdict", "first_step", "first_dataset", "causes"]
charts.table(verdicts[columns].iloc[::-1].head(20), "")

# %%
charts.table(reproducing.steps_of_verdicts(choice.of(reproducing.verdicts_of_steps(history))), "")

# %% [markdown]
# ## Outputs whose bytes vary
#
# Where a step ran again under the same key, as `--force` or a retry makes it, its outputs should have the same bytes. Where they have not, the step
# reads a clock, chance, the order of a directory or the outside world, and no night of it can be proved by running it again.

# %%
table = reproducing.varying(choice.of(history.attempts()), choice.of(history.datasets()))
charts_of_reproducing.varying_chart(table)

# %%
charts.table(table, "")
