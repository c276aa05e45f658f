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
# # Run history
#
# How a pipeline has been doing, night by night: which nights went well, how long steps take and when that changed, where one run spent its time,
# how much data there is, and what had to be tried again.
#
# `orchestrate notebook history --ledger FILE` makes this page of a ledger; `-p NAME VALUE` sets one of the parameters below.

# %% tags=["parameters"]
ledger = ".orchestrate/ledger.db"  # a ledger, or a backup of one
pipeline = ""  # empty: the pipeline with the most runs
since = ""  # the first night; empty: from the beginning
until = ""  # the last night; empty: to the end
split = ""  # two periods are compared at this night; empty: where the definition changed last, else in the middle
run = ""  # the run that is looked at closely; empty: the last one that attempted anything
verify = True  # verify the ledger first

# %%
from orchestrator.history import History
from orchestrator.history import charts, charts_of_runs, durations, nights, replaying, schedule
from orchestrator.history.provenance import Provenance

charts.use_theme()
history = History(ledger, verify=verify)
all_runs = history.runs()
Provenance(all_runs.attrs)

# %% [markdown]
# ## The nights
#
# The chosen pipeline and period. A square is a night: a grey one had no run at all, which is a question for whoever operates the pipeline. Where a
# schedule is recorded, a nearly white one was not due by it.

# %%
choice = nights.choose(all_runs, pipeline=pipeline, since=since, until=until)
runs = choice.of(all_runs)
period = charts.period_of(choice.since, choice.until, history.view("audit_definition_changes"), runs)
calendar = nights.calendar(runs, history.missing_nights(runs))
print(f"{choice}: {len(runs)} runs for {len(calendar)} nights")
charts_of_runs.calendar_chart(calendar)

# %%
counts = calendar["status"].value_counts().rename_axis("last run of the night").reset_index(name="nights")
charts.table(counts, "")

# %% [markdown]
# ## How long steps take
#
# Each point is an attempt that succeeded. The line is the median of the last 14 of them, so that one bad night does not move it. A red point is
# further from the trend before it than nights of this step usually are. A dashed line marks a night that met another definition: a jump there has
# a reason that can be read with `orchestrate changes`.

# %%
attempts = choice.of(history.attempts())
trend = durations.with_trend(durations.run_durations(attempts))
charts_of_runs.durations_chart(trend, period)

# %% [markdown]
# The anomalies by name, the longest first. `orchestrate show RUN` tells more of each.

# %%
far = trend[trend["anomaly"]].sort_values("duration_seconds", ascending=False)
columns = ["night", "step", "duration_seconds", "trend", "run_id"]
charts.table(far[columns].head(20), "No attempt stands out from the trend of its step.")

# %% [markdown]
# ## Two periods compared
#
# The median of each step before and after one night. A difference that is smaller than what nights differ by anyway is not marked.

# %%
night = durations.split_night(trend, period.changes, split)
compared = durations.compare_periods(trend, night)
charts_of_runs.periods_chart(compared, night)

# %%
charts.table(compared, "")

# %% [markdown]
# ## One run, second by second
#
# The bars are the attempts of one run. The blue ones are its critical path: the chain of steps, each waiting for the one before, that decides when
# the run is over where there are places enough. Making any other step faster then changes nothing; on few places a step also waits for those beside it.

# %%
chosen = replaying.chosen_run(runs, attempts, run)
tasks = replaying.tasks_of_runs(attempts, history.graph([chosen])).get(chosen, [])
path = schedule.critical_path(tasks)
charts_of_runs.gantt_chart(attempts[attempts["run_id"] == chosen], path, title=f"The run {chosen}")

# %% [markdown]
# ## What more places would gain
#
# The last fifty runs that attempted anything, replayed with the durations that their steps had, on one place, two, three and so on. Steps that share
# a disk or a processor slow each other down, so that the figures are what could be gained at most.

# %%
last_runs = replaying.last_runs(attempts, 50)
replayed = replaying.tasks_of_runs(attempts, history.graph(last_runs))
places = replaying.places_table(list(replayed.values()))
used = replaying.places_used(history.events(types=["run.started"], columns=["run_id", "data"]), chosen)
charts_of_runs.places_chart(places, used=used)

# %% [markdown]
# ## How much data, and how good
#
# The size of each dataset after each night that wrote it, and the numbers that the steps reported: rows kept, rows refused, whatever a step counts.
# A sudden drop to nothing, or a refusal rate that creeps up, is what to look for.

# %%
data = choice.of(history.datasets())
charts_of_runs.volumes_chart(data, period)

# %%
charts_of_runs.metrics_chart(choice.of(history.metrics()), period)

# %% [markdown]
# ## How fresh it is
#
# For each dataset, how many nights ago its content changed last. A column that darkens everywhere at once is a night without a delivery; a row that
# stays dark is a dataset that nobody delivers to any more.

# %%
charts_of_runs.age_chart(nights.data_age(data, calendar), period)

# %%
charts_of_runs.lateness_chart(nights.lateness(runs), period)

# %% [markdown]
# ## What had to be tried again
#
# Attempts that failed. What was attempted again and then succeeded cost time but no night; the table says how much, and of which cause.

# %%
failed = choice.of(history.view("audit_failures"))
charts_of_runs.retries_chart(failed, period)

# %%
charts.table(replaying.retries_table(attempts, failed), "", digits=1)
