"""The pages for people: the landing page, the demo galaxy, and what each type of problem means."""

from importlib.resources import files
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse, HTMLResponse
from starlette.exceptions import HTTPException

from service.errors import PROBLEM_TYPES

router = APIRouter(include_in_schema=False)

DEMO_GALAXY: Final = files("service") / "demo" / "galaxy.fits"
_LANDING_PAGE: Final = (files("service") / "web" / "index.html").read_text(encoding="utf-8")


@router.get("/", response_class=HTMLResponse)
async def landing_page() -> str:
    """A page to try the service on."""
    return _LANDING_PAGE


@router.get("/demo/galaxy.fits")
async def demo_galaxy() -> FileResponse:
    """A galaxy in three bands, to try the service with."""
    return FileResponse(str(DEMO_GALAXY), media_type="application/fits", filename="galaxy.fits")


@router.get("/problems/{name}")
async def problem(name: Annotated[str, Path(description="Last part of a problem's `type`.")]) -> dict[str, Any]:
    """What a problem's ``type`` refers to."""
    for kind in PROBLEM_TYPES.values():
        if kind.name == name:
            return {"type": f"/problems/{name}", "title": kind.title, "status": kind.status}
    raise HTTPException(404)
