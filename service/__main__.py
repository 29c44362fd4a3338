"""``python -m service`` is ``redden``."""

from service.cli import app

app()
