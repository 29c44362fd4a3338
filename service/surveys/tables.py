"""Surveys as tables for the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.surveys.check import Report
from service.surveys.definition import Definition


def surveys_table(surveys: list[tuple[Definition, str]], refused: dict[str, str]) -> RenderableType:
    """One line for each survey with its state, and why survey files are refused."""
    table = Table("Survey", "State", "Bands", "Mosaics", "Title", "Location")
    for survey, state in surveys:
        mosaics = sum(len(band.mosaics) for band in survey.bands.values())
        table.add_row(survey.name, state, " ".join(survey.bands), str(mosaics), survey.title, survey.location)
    return Group(table, *(Text.assemble((file, "bold red"), f": {reason}") for file, reason in refused.items()))


def report_table(report: Report) -> RenderableType:
    """One line for each mosaic, the areas of the bands, and what stands against measuring with the survey."""
    table = Table("Band", "Mosaic", "Pixels", "Scale", "Flux from")
    for found in report.inspections:
        geometry = found.geometry
        size = f"{geometry.shape[1]}x{geometry.shape[0]}" if geometry else ""
        scale = f'{geometry.pixel_scale:.4f}"' if geometry else ""
        table.add_row(found.band, found.path.rpartition("/")[2], size, scale, found.unit or Text("problem", "bold red"))
    areas = ", ".join(f"{band} {area:.1f}" for band, area in report.areas.items())
    summary = Text(f"Area in arcmin2: {areas}; all bands {report.shared:.1f}")
    return Group(table, summary, *(Text(problem, "bold red") for problem in report.problems))
