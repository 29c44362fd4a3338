"""Answers and jobs as tables for the terminal."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from redden.answer import Answer, Interval, Quantity
from redden.jobs import Job
from redden.served import ModelList

_NAMES = {"a_v": "A_V", "e_bv": "E(B-V)", "r_v": "R_V", "log_ssfr": "log sSFR"}


def answer_table(answer: Answer) -> RenderableType:
    """The quantities with their intervals, what else was asked, signal-to-noise ratios, domain verdict and flags."""
    table = Table(title=f"{answer.model.name} version {answer.model.version}", title_justify="left")
    for column in ("Quantity", "Median", "68 % interval", "95 % interval", "Unit"):
        table.add_column(column, justify="left" if column in ("Quantity", "Unit") else "right")
    for field, name in _NAMES.items():
        quantity: Quantity = getattr(answer.quantities, field)
        table.add_row(
            name,
            "undefined" if quantity.median is None else f"{quantity.median:.3f}",
            _interval(quantity.interval_68),
            _interval(quantity.interval_95),
            "" if quantity.unit == "1" else quantity.unit,
        )
    lines = [Text("S/N  " + "  ".join(f"{band} {value:.1f}" for band, value in answer.snr.items()))]
    if answer.redshift is not None:
        lines.append(Text(f"Redshift {answer.redshift.value:g} +- {answer.redshift.error:g}"))
    if answer.a_v_above is not None and answer.a_v_above.probability is not None:
        lines.append(Text(f"P(A_V > {answer.a_v_above.value:g}) = {answer.a_v_above.probability:.3f}"))
    if answer.domain_score is not None:
        verdict = "like" if answer.in_domain else "not like"
        lines.append(Text(f"Domain score {answer.domain_score:.3g}: {verdict} the galaxies of the training"))
    lines += [Text.assemble((flag.code, "bold yellow"), f": {flag.message}") for flag in answer.flags]
    return Group(table, *lines)


def models_table(served: ModelList) -> RenderableType:
    """One line for each model."""
    table = Table("Model", "Version", "Bands", "Answers", "State", "Description")
    for model in served.models:
        table.add_row(
            f"{model.name} (default)" if model.default else model.name,
            " ".join([str(model.version), *model.labels]),
            ("any of " if model.card.takes_any_bands else "") + " ".join(model.card.bands),
            "point estimates" if model.card.posterior == "point" else "intervals",
            "available" if model.available else "not served",
            model.card.description,
        )
    refused = [Text.assemble((refused.model, "bold red"), f": {refused.reason}") for refused in served.refused]
    return Group(table, *refused)


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} ... {interval[1]:.3f}"


def job_table(job: Job) -> RenderableType:
    """A job in some lines, its identifier first."""
    table = Table.grid(padding=(0, 2))
    lines = {
        "Job": job.id,
        "Name": job.name,
        "Phase": job.phase,
        "Rows": f"{job.rows.done:,} of {job.rows.total:,} done, {job.rows.failed:,} of them cannot be measured",
        "Rate": job.rate and f"{job.rate:,.0f} rows/s",
        "Estimated end": _time(job.estimated_end),
        "Note": job.error,
        "Model": f"{job.provenance.model.name} version {job.provenance.model.version}",
        "Survey": job.provenance.survey,
        "Catalogue": job.provenance.catalogue,
        "Columns": ", ".join(f"{name} as {what}" for what, name in job.provenance.columns.items()),
        "Expires": _time(job.expires),
    }
    for name, text in lines.items():
        if text:
            table.add_row(name, Text(str(text)))
    return table


def jobs_table(jobs: Iterable[Job]) -> RenderableType:
    """One line for each job."""
    table = Table("Job", "Name", "Phase", "Rows", "Model", "Survey", "Created")
    table.columns[0].no_wrap, table.columns[0].overflow = True, "ignore"  # a part of an identifier is of no use
    table.columns[0].min_width = 28
    for job in jobs:
        rows = f"{job.rows.done:,} / {job.rows.total:,}"
        model = f"{job.provenance.model.name} {job.provenance.model.version}"
        texts = (job.id, job.name, job.phase, rows, model, job.provenance.survey, _time(job.created))
        table.add_row(*(Text(text or "") for text in texts))
    return table


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")
