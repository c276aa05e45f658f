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
# # Audit
#
# What an auditor asks of a pipeline's ledger: is it complete and unaltered, how much of it is sealed, who did what by hand and why, what failed and
# of which cause, were the skips right, which nights are missing. At the end stands one run with its proof.
#
# Every figure is read from the ledger at the moment that is named first. `orchestrate audit verify --key …` with a key from elsewhere shows more
# than any page can: this one only shows that the ledger agrees with itself.

# %% tags=["parameters"]
ledger = ".orchestrate/ledger.db"  # a ledger, or a backup of one
pipeline = ""  # empty: the pipeline with the most runs
since = ""  # the first night; empty: from the beginning
until = ""  # the last night; empty: to the end
run = ""  # the run that is proved; empty: the last one that a checkpoint covers
verify = True  # verify the ledger first

# %%
from orchestrator.history import History
from orchestrator.history import charts, charts_of_evidence, evidence, nights
from orchestrator.history.provenance import Provenance

charts.use_theme()
history = History(ledger, verify=verify)
all_runs = history.runs()
Provenance(all_runs.attrs)

# %% [markdown]
# ## What verifying has shown
#
# Five levels, each of which needs the one before it. Levels 2 to 4 need keys and checkpoints that the auditor brings, and are not asked here.

# %%
charts.table(evidence.level_table(history.verdict), "Nobody verified the ledger for this page.")

# %%
charts.table(evidence.problem_table(history.verdict), "No problem was found.")

# %% [markdown]
# ## Checkpoints, and what they leave open
#
# A checkpoint seals every event before it: whoever has a copy of it elsewhere notices any later change. Between two of them, only the file speaks for
# the events. The grey line rises during a run and falls to nothing at its end, which over years is too quick to be seen. What is filled is what no
# checkpoint of a stretch of time has covered: where that is high, nothing was sealed for a while. A dashed line, here and below, is a moment at which a run met another definition than the one before it.

# %%
seals = history.view("audit_checkpoints")
moments = evidence.sealing(history.events(columns=["seq", "recorded_at"]), seals)
definitions = history.view("audit_definition_changes")
recording = charts.recording_of(definitions)
charts_of_evidence.sealing_chart(moments, seals, recording)

# %%
charts.table(evidence.seal_table(seals), "There is no checkpoint: nothing but the file itself speaks for any event.")

# %%
charts.table(
    history.view("audit_unsealed")[["seq", "recorded_at", "stream", "type"]].tail(20),
    "Every event is covered by a checkpoint.",
)

# %% [markdown]
# ## Who did what by hand, and why
#
# Runs started at a terminal, by force or with a reason, runs that were resumed or cancelled, outputs that were accepted, notes, acknowledgements, and
# what was done to the ledger itself. Who it was is what the host claimed. An action without a reason is one to ask about.

# %%
actions = history.view("audit_manual_actions")
charts_of_evidence.actions_chart(actions, recording)

# %%
charts.table(evidence.without_reason(actions), "")

# %%
charts.table(evidence.actions_table(actions).head(30), "")

# %% [markdown]
# Starts that were refused before anything ran, the newest first.

# %%
refusals = history.view("audit_refusals")
columns = ["recorded_at", "pipeline", "night", "exit_code", "problem", "message", "user"]
charts.table(refusals[columns].iloc[::-1].head(20), "No start was refused.")

# %% [markdown]
# ## What failed, and of which cause
#
# One point for each step, cause and night of the chosen pipeline. *Permanent* failures are for people, *transient* and *infrastructure* ones are retried.

# %%
choice = nights.choose(all_runs, pipeline=pipeline, since=since, until=until)
runs = choice.of(all_runs)
period = charts.period_of(choice.since, choice.until, definitions, runs)
print(choice)
failures = evidence.causes(choice.of(history.view("audit_failures")))
charts_of_evidence.causes_chart(failures, period)

# %%
columns = ["night", "step", "attempt", "cause", "error_class", "message", "run_id"]
charts.table(failures[columns].iloc[::-1].head(20), "")

# %% [markdown]
# ## Whether the skips were right
#
# A step that was skipped because nothing was new has a certificate: what it compared itself with. Each is recomputed here from the events alone.

# %%
evidence.check_skips(history)

# %%
skips = choice.of(history.view("audit_skips"))
counts = skips.groupby("reason").agg(skips=("step", "size"), steps=("step", "nunique"), last_night=("night", "max"))
charts.table(counts.reset_index(), "No step was skipped in these nights.")

# %% [markdown]
# ## Secrets that were masked
#
# How often a declared secret stood in what a step printed or reported. Its value is nowhere in the ledger; that it had to be masked is worth a look.

# %%
masked = evidence.masked_secrets(choice.of(history.attempts()))
charts_of_evidence.masked_chart(masked, period)

# %%
counts = masked.groupby(["step", "secret"]).agg(times=("times", "sum"), nights=("night", "nunique"))
charts.table(counts.reset_index(), "")

# %% [markdown]
# ## Nights that are missing
#
# Nights without a run between the first and the last night of the pipeline, over all ledgers of the chain. Where a schedule is recorded, those that were
# due by the one that was in force, as `orchestrate status` names them; else every night. The view `audit_missing_nights` knows no schedule.

# %%
calendar = nights.calendar(runs, history.missing_nights(runs))
charts_of_evidence.missing_chart(calendar, period)

# %%
wrong = calendar[~calendar["status"].isin(nights.NOTHING_WRONG)]
charts.table(wrong[["night", "status", "runs", "run_id"]].head(40), "")

# %% [markdown]
# ## An exhibit: one run with its proof
#
# Every event of one run, each proved against a checkpoint: the hashes of a proof lead from the event to the root that the checkpoint names.

# %%
chosen = run or evidence.last_sealed_run(all_runs, seals)
shown = evidence.exhibit(history, chosen)
shown

# %%
charts.table(shown.events.assign(leaf_hash=shown.events["leaf_hash"].str[:32] + "…"), "")

# %% [markdown]
# The checkpoint, and the proof of the first event as the file that `orchestrate audit prove` writes.

# %%
print(shown.checkpoint or "no checkpoint covers this run")

# %%
print(shown.proof or "no proof")
