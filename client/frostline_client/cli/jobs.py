"""`frostline jobs`: submitted training work."""

from __future__ import annotations

from pathlib import Path

import click

from frostline_client import Job, read_recipe
from frostline_client.cli.output import Duration, Size, figure, print_fields, print_table
from frostline_client.cli.plan import KEPT
from frostline_client.cli.progress import say
from frostline_client.cli.session import Session, command
from frostline_client.cli.watching import watch as watch_events
from frostline_client.jobs import JobRecord, Stage


@click.group()
def jobs() -> None:
    """Submitted training work. A job goes on whether anybody watches it or not."""


@command(
    jobs,
    "submit",
    "frostline jobs submit recipe.yaml",
    "frostline jobs submit recipe.yaml --watch",
    "frostline jobs submit recipe.yaml --json",
)
@click.argument("recipe", type=Path, metavar="RECIPE.yaml")
@click.option("--watch", "is_watched", is_flag=True, help="Watch the job; the exit status is 1 if it makes no model.")
def submit(session: Session, recipe: Path, is_watched: bool) -> None:
    """Submit a train job.

    \b
    A small recipe:
      name: mnist-5-9
      base: mnist-0-4
      head:
        - Dense: {units: 5, activation: softmax}
      data: {train: digits-5-9, validation: {fraction: 0.2}}
      stages:
        - optimizer: {Adam: {learning_rate: 0.01}}
          epochs: 20
    """
    with session.client() as zoo:
        job = zoo.jobs.submit(read_recipe(recipe))
        if is_watched:
            _watch(session, job)
        else:
            session.show(job.record(), lambda: click.echo(f"submitted job {job.name}"))
            if not session.as_json:
                say(f"watch it with: {session.hint(f'jobs watch {job.name}')}")


@command(jobs, "list", "frostline jobs list", "frostline jobs list --json")
def list_(session: Session) -> None:
    """List the jobs, the newest first."""
    with session.client() as zoo:
        found = zoo.jobs.list()
    session.show(
        found,
        lambda: print_table(
            ["JOB", "STATE", "MODEL", "SUBMITTED", "SECONDS"],
            [(job.name, job.state, job.model, job.create_time, _seconds(job)) for job in found],
            empty="there are no jobs: submit one with frostline jobs submit",
        ),
    )


@command(jobs, "show", "frostline jobs show 3k9x0a7bq2mt", "frostline jobs show 3k9x0a7bq2mt --json")
@click.argument("job")
def show(session: Session, job: str) -> None:
    """Show a job: its state, what it made, its stages, and what was planned about their features and came true."""
    with session.client() as zoo:
        record = zoo.jobs.get(job).record()
    session.show(record, lambda: _print_job(record))


@command(jobs, "watch", "frostline jobs watch 3k9x0a7bq2mt")
@click.argument("job")
def watch(session: Session, job: str) -> None:
    """Watch a job until it ends. Ctrl-C ends the watching, never the job. Exit status 1 if it makes no model."""
    with session.client() as zoo:
        _watch(session, zoo.jobs.get(job))


@command(jobs, "cancel", "frostline jobs cancel 3k9x0a7bq2mt")
@click.argument("job")
def cancel(session: Session, job: str) -> None:
    """Stop a job. It makes no model, and can be resumed."""
    with session.client() as zoo:
        cancelled = zoo.jobs.get(job)
        cancelled.cancel()
        record = cancelled.record()
    session.show(record, lambda: click.echo(f"job {record.name} is {record.state.lower()}"))


@command(jobs, "resume", "frostline jobs resume 3k9x0a7bq2mt")
@click.argument("job")
def resume(session: Session, job: str) -> None:
    """Take a failed or cancelled job up again, where its last checkpoint stands."""
    with session.client() as zoo:
        resumed = zoo.jobs.get(job)
        resumed.resume()
        record = resumed.record()
    session.show(record, lambda: click.echo(f"job {record.name} is {record.state.lower()}"))


def _watch(session: Session, job: Job) -> None:
    """Shows a job until it ends, then its record. Raises JobFailedError where it made no model."""
    try:
        watch_events(job.name, job.watch())
        record = job.record()
        session.show(record, lambda: _print_job(record))
        job.result()
    except KeyboardInterrupt:
        say(f"job {job.name} goes on: watch it again with: {session.hint(f'jobs watch {job.name}')}")
        click.get_current_context().exit(1)


def _print_job(job: JobRecord) -> None:
    print_fields(
        {
            "job": job.name,
            "state": job.state,
            "model": job.model,
            "error": job.error,
            "metrics": tuple(f"{name} {figure(value)}" for name, value in job.metrics.items()),
            "submitted": job.create_time,
            "seconds": _seconds(job),
        }
    )
    if job.stages:
        print_table(
            ["STAGE", "EPOCHS", "TRAINING S", "FILLING S", "FROZEN", "TRAINABLE"],
            [
                (
                    number,
                    stage.epochs_run,
                    stage.train_seconds,
                    stage.fill_seconds,
                    f"{stage.frozen_layer_count} layers",
                    stage.trainable_parameter_count,
                )
                for number, stage in enumerate(job.stages, start=1)
            ],
            empty="",
        )
        print_table(
            ["STAGE", "FEATURES", "COMPUTED", "REUSED", "SIZE", "SAVED", "KEPT"],
            [row for number, stage in enumerate(job.stages, start=1) for row in _feature_rows(number, stage)],
            empty="",
        )


def _feature_rows(number: int, stage: Stage) -> list[tuple[object, ...]]:
    """Returns what was planned about a stage's features, and what came true."""
    use, plan = stage.features, stage.plan
    size = "not stored" if plan is not None and plan.kept == "nowhere" else Size(use.bytes)
    made = (number, "came true", use.computed, use.reused, size, Duration(stage.seconds_saved), "")
    if plan is None:
        return [made]
    saving = Duration(max(0.0, plan.seconds_without - plan.seconds_with))
    kept = KEPT.get(plan.kept, plan.kept)
    if plan.kept != "nowhere":
        kept += f" at {', '.join(plan.kept_at)}, {plan.dtype}"
    return [(number, "planned", plan.rows_missing, plan.rows_present, Size(plan.size_bytes), saving, kept), made]


def _seconds(job: JobRecord) -> float | None:
    """Returns how long the job ran."""
    if job.start_time is None or job.end_time is None:
        return None
    return (job.end_time - job.start_time).total_seconds()
