"""One HTML file that holds tables and pictures, to be read in any browser and sent to anybody."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from training.report.table import Rows

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 2rem 0; } img { max-width: 100%; } figcaption { color: #555; }
.wide { overflow-x: auto; }
"""


def write_page(
    file: Path, title: str, paragraphs: Sequence[str], tables: Mapping[str, Rows], captions: Mapping[str, str]
) -> None:
    """Write the page; pictures are in it, and their PDFs are linked beside it.

    Parameters
    ----------
    file : Path
        HTML to write; ``NAME.png`` and ``NAME.pdf`` of each picture lie beside it.
    title : str
    paragraphs : sequence of str
        What a reader should know first.
    tables : mapping of str to list of list of str
        By heading; the first row of each is its head.
    captions : mapping of str to str
        By the name of the picture.
    """
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(text)}</p>" for text in paragraphs)]
    for heading, rows in tables.items():
        parts.append(f"<h2>{escape(heading)}</h2><div class=wide><table>{_table(rows)}</table></div>")
    for name, caption in captions.items():
        image = b64encode(file.with_name(f"{name}.png").read_bytes()).decode()
        label = escape(name.replace("figure", "Figure "))
        parts.append(
            f'<figure><img alt="{label}" src="data:image/png;base64,{image}">'
            f'<figcaption><b>{label}.</b> {escape(caption)} <a href="{name}.pdf">PDF</a></figcaption></figure>'
        )
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    file.write_text(f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n', encoding="utf-8")


def _table(rows: Rows) -> str:
    head, *body = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<tr>{head.replace('td>', 'th>')}</tr>" + "".join(f"<tr>{row}</tr>" for row in body)
