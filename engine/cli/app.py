# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``changescribe detect | caption | export | models | ...``.

Results go to files. ``--json`` prints one JSON value to standard output; everything else goes to
standard error. Exit codes: 0 done (also if nothing was found), 2 bad input or something missing,
130 cancelled, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from .. import systems
from ..classes import listed_names
from ..console import CANCELLED, exit_code_of, say
from ..errors import InputError
from ..hosts import doctor, routing
from ..paths import version
from ..request import (
    ALIGN_MODES,
    CLOUD_MODES,
    NODATA_AUTO,
    NODATA_MODES,
    OUTLINE_MODES,
    ChangeRequest,
    Extent,
    Hints,
    Progress,
    Stage,
)
from . import build, cache, commands, evaluate, models, reproduce, train
from .shared import add_command, add_device, add_overwrite, generator_installed
from .texts import CliTexts

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit code."""
    words = _joined(sys.argv[1:] if argv is None else argv)
    arguments = _parsed(words)

    def run() -> Optional[int]:
        evaluate.check_order(words, arguments)
        return arguments.run(arguments)

    try:
        return exit_code_of(run, verbose=arguments.verbose)
    finally:
        routing.close_shared_host()


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Parse the words; argparse itself finds no KEY=VALUE that follows an option."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(words)
    overrides = getattr(arguments, "overrides", None)
    if rest and (overrides is None or any("=" not in w or w.startswith("-") for w in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if overrides is not None:
        overrides.extend(rest)
    return arguments


def _joined(argv: Sequence[str]) -> list[str]:
    """Join ``--extent`` with its value: argparse takes a western longitude for an option."""
    rest = iter(argv)
    return [f"{word}={next(rest, '')}" if word == "--extent" else word for word in rest]


def _print(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="changescribe", description="Text-guided change detection between two rasters."
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"%(prog)s {version()}",
        help="print the version and exit",
    )
    parser.add_argument("--verbose", action="store_true", help="print details of errors")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_detect(parsers)
    _add_caption(parsers)
    _add_export(parsers)
    models.add(parsers)
    cache.add(parsers)
    train.add(parsers)
    evaluate.add(parsers)
    reproduce.add(parsers)
    build.add(parsers)
    _add_synthesise(parsers)
    add_command(parsers, "doctor", _doctor, "show what is installed and what runs where")
    return parser


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="BEFORE", help="raster of the earlier date")
    parser.add_argument("after", metavar="AFTER", help="raster of the later date")
    parser.add_argument(
        "--system", default=systems.names()[0], metavar="NAME", help="see changescribe models"
    )
    add_device(parser)
    parser.add_argument(
        "--host",
        default=routing.AUTO,
        choices=routing.MODES,
        help="where systems run; auto: PyTorch systems in a worker process, others in this one",
    )
    for date in ("before", "after"):
        parser.add_argument(
            f"--bands-{date}", type=_bands, metavar="R,G,B", help="numbers of the bands to read"
        )
    parser.add_argument(
        "--nodata",
        default=NODATA_AUTO,
        choices=NODATA_MODES,
        help="how invalid pixels are found. auto: nodata values, mask, alpha band (unless it is an "
        "image) and, in rasters with none of these, black or white edges and gaps; alpha: trust "
        "the alpha band; mask: ignore the alpha band; none: all pixels are valid",
    )
    parser.add_argument(
        "--pixel-size",
        type=float,
        metavar="M",
        help="ground size of a pixel of BEFORE, if it has no CRS",
    )


def _add_detect(parsers: Any) -> None:
    detect = add_command(parsers, "detect", _detect, "find changes that match a prompt")
    _add_pair(detect)
    detect.add_argument("--prompt", required=True, metavar="TEXT", help='such as "roads built"')
    detect.add_argument("--out", required=True, metavar="OUT.gpkg", help="GeoPackage to write")
    detect.add_argument(
        "--extent", metavar="xmin,ymin,xmax,ymax[,CRS]", help="rectangle to analyse"
    )
    detect.add_argument("--aoi", metavar="FILE", help="polygons to analyse")
    detect.add_argument(
        "--min-area",
        type=float,
        metavar="M2",
        help="smallest region; 0 also keeps roads and other lines shorter than 25 m",
    )
    detect.add_argument(
        "--threshold", type=float, default=0.5, metavar="T", help="lowest score of a change"
    )
    detect.add_argument(
        "--competing",
        metavar="LIST",
        type=listed_names,
        help='what else the ground may be, for systems that ask: "grass, bare ground, ..."',
    )
    for date in ("before", "after"):
        detect.add_argument(
            f"--mask-{date}",
            metavar="FILE[:values]",
            help="raster of what hides the ground: SCL, QA_PIXEL, or values such as 3,8-10 or bit3",
        )
    detect.add_argument(
        "--clouds",
        default=CLOUD_MODES[0],
        choices=CLOUD_MODES,
        help="auto: leave out clouds and their shadows in 16-bit rasters",
    )
    detect.add_argument(
        "--align",
        default=ALIGN_MODES[0],
        choices=ALIGN_MODES,
        help="report: measure the shift between the dates; auto: also move AFTER; off: neither",
    )
    detect.add_argument(
        "--outlines",
        default=OUTLINE_MODES[0],
        choices=OUTLINE_MODES,
        help="auto: right angles for buildings where pixels are 1 m or finer",
    )
    detect.add_argument(
        "--no-memory",
        action="store_true",
        help="neither keep what other prompts about the pair need, nor use what was kept",
    )
    detect.add_argument("--crs", help="CRS of the polygons; default: that of BEFORE")
    for date in ("before", "after"):
        detect.add_argument(f"--date-{date}", metavar="DATE", help="date for the results")
    add_overwrite(detect)
    detect.add_argument(
        "--resume",
        action="store_true",
        help="go on with the same run where it was cancelled or killed",
    )
    detect.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_caption(parsers: Any) -> None:
    caption = add_command(parsers, "caption", _caption, "describe the change in a pair or in boxes")
    _add_pair(caption)
    caption.add_argument("--boxes", metavar="BOXES.json", help="list of [x0, y0, x1, y1] in pixels")
    caption.add_argument("--json", action="store_true", help="print boxes and captions as JSON")


def _add_export(parsers: Any) -> None:
    export = add_command(
        parsers, "export", _export, "write the changes as a shapefile, GeoPackage or GeoJSON"
    )
    export.add_argument("gpkg", metavar="OUT.gpkg", help="as detect wrote it")
    export.add_argument("out", metavar="OUT", help="the ending is the format: .shp .gpkg .geojson")
    add_overwrite(export)


def _add_synthesise(parsers: Any) -> None:
    synthesise = add_command(parsers, "synthesise", _synthesise, "generate labelled scene pairs")
    synthesise.add_argument("out", type=Path, metavar="FOLDER", help="for the pairs")
    synthesise.add_argument("--count", type=int, default=10, metavar="N", help="number of pairs")
    synthesise.add_argument("--seed", type=int, default=0, metavar="N", help="of the first pair")
    synthesise.add_argument("--size", type=int, default=512, metavar="PX", help="side of a scene")
    synthesise.add_argument(
        "--pixel-size", type=float, default=0.5, metavar="M", help="ground size of a pixel"
    )
    synthesise.add_argument(
        "--layout",
        metavar="NAME",
        help="of every scene, such as suburb (a wrong name lists all); default: a mix",
    )


def _bands(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError("give band numbers, such as 3,2,1") from None


def parse_extent(text: str) -> Extent:
    """Parse ``xmin,ymin,xmax,ymax[,CRS]``.

    Raises:
        InputError: these are not four numbers, or the extent is empty.
    """
    parts = text.split(",", 4)
    try:
        xmin, ymin, xmax, ymax = (float(part) for part in parts[:4])
    except ValueError:
        raise InputError(CliTexts.bad_extent(extent=text)) from None
    if xmin >= xmax or ymin >= ymax:
        raise InputError(CliTexts.empty_extent(extent=text))
    return Extent(xmin, ymin, xmax, ymax, parts[4].strip() if len(parts) > 4 else None)


def _detect(arguments: argparse.Namespace) -> int:
    from ..detect import pipeline
    from ..raster.area import read_area

    request = ChangeRequest(
        before=arguments.before,
        after=arguments.after,
        prompt=arguments.prompt,
        output=arguments.out,
        system=arguments.system,
        extent=parse_extent(arguments.extent) if arguments.extent else None,
        area=read_area(arguments.aoi) if arguments.aoi else None,
        bands_before=arguments.bands_before,
        bands_after=arguments.bands_after,
        threshold=arguments.threshold,
        min_area=arguments.min_area,
        crs=arguments.crs,
        device=arguments.device,
        overwrite=arguments.overwrite,
        date_before=arguments.date_before,
        date_after=arguments.date_after,
        hints=Hints(competing=arguments.competing),
        pixel_size=arguments.pixel_size,
        nodata=arguments.nodata,
        mask_before=arguments.mask_before,
        mask_after=arguments.mask_after,
        clouds=arguments.clouds,
        outlines=arguments.outlines,
        align=arguments.align,
        resume=arguments.resume,
        remember=not arguments.no_memory,
    )
    routing.configure(routing.HostOptions(arguments.host))
    stop = _StopOnInterrupt()
    result = pipeline.detect(request, progress=_show_progress, cancelled=stop)
    for warning in result.warnings:
        say(CliTexts.note(warning=warning))
    if result.alignment and result.alignment.text not in result.warnings:
        say(result.alignment.text)
    seconds = result.timings_s["total"]
    say(CliTexts.run(explanation=result.parse.explanation, device=result.device, seconds=seconds))
    if arguments.json:
        _print(json.dumps(commands.result_as_json(result), ensure_ascii=False))
    else:
        _print(result.caption)
    return CANCELLED if result.partial else 0


def _caption(arguments: argparse.Namespace) -> int:
    from ..describe.pair import caption
    from ..describe.request import CaptionRequest

    boxes = None
    if arguments.boxes:
        from ..raster.reader import RasterSource

        boxes = commands.read_boxes(arguments.boxes)
        with RasterSource.open(arguments.before, arguments.bands_before) as source:
            width, height = source.grid.width, source.grid.height
        for note in commands.notes_on_boxes(boxes, width, height):
            say(CliTexts.note(warning=note))
    routing.configure(routing.HostOptions(arguments.host))
    stop = _StopOnInterrupt()
    request = CaptionRequest(
        before=arguments.before,
        after=arguments.after,
        boxes=None if boxes is None else tuple(boxes),
        system=arguments.system,
        device=arguments.device,
        bands_before=arguments.bands_before,
        bands_after=arguments.bands_after,
        pixel_size=arguments.pixel_size,
        nodata=arguments.nodata,
    )
    captions = caption(
        request,
        progress=_show_progress,
        cancelled=stop,
        captioned=None if arguments.json else lambda row: _print(row.caption),
        warned=lambda text: say(CliTexts.note(warning=text)),
    )
    if arguments.json:
        listed = [{"box": list(c.box), "caption": c.caption} for c in captions]
        _print(json.dumps(listed, ensure_ascii=False))
    return CANCELLED if stop() else 0


def _export(arguments: argparse.Namespace) -> int:
    from ..results.export import export

    for warning in export(arguments.gpkg, arguments.out, overwrite=arguments.overwrite):
        say(CliTexts.note(warning=warning))
    out = Path(arguments.out)
    _print(CliTexts.written(path=out.with_suffix(out.suffix.lower())))  # as export names it
    return 0


def _synthesise(arguments: argparse.Namespace) -> int:
    with generator_installed():
        from ..synthesis.output import write_pairs

    def progress(done: int, count: int) -> None:
        _show_line(done / count, CliTexts.scene(number=done, count=count))

    scenes = write_pairs(
        arguments.out,
        arguments.count,
        seed=arguments.seed,
        size=arguments.size,
        pixel_size=arguments.pixel_size,
        progress=progress,
        layout=arguments.layout,
        cancelled=_StopOnInterrupt(),
    )
    _print(str(scenes))
    return 0


def _doctor(_: argparse.Namespace) -> int:
    for part in (doctor.doctor, doctor.doctor_worker, doctor.doctor_systems):
        for name, value in part():
            _print(f"{name}: {value}")
    return 0


class _StopOnInterrupt:
    """True after the first Ctrl+C or kill, which keeps finished results; the second one aborts."""

    def __init__(self) -> None:
        self._stopped = False
        try:
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), self._stop)
        except ValueError:  # not in the main thread: the caller handles interrupts
            return

    def _stop(self, *_: object) -> None:
        if self._stopped:
            raise KeyboardInterrupt
        self._stopped = True
        say(CliTexts.stopping())

    def __call__(self) -> bool:
        return self._stopped


def _show_progress(progress: Progress) -> None:
    text = stage_text(progress.stage)
    if progress.tiles:
        text += CliTexts.tile(number=progress.tile, count=progress.tiles)
    if progress.seconds_left is not None:
        text += CliTexts.seconds_left(seconds=progress.seconds_left)
    _show_line(progress.fraction, text)


def stage_text(stage: Stage) -> str:
    """Return the name of a stage, such as "detecting"."""
    return getattr(CliTexts, stage.value)()


def _show_line(fraction: float, text: str) -> None:
    """Rewrite a line on standard error; nothing if it is no terminal."""
    if sys.stderr.isatty():
        line = f"\r{fraction:4.0%} {text}"
        print(f"{line:<70}", end="\n" if fraction >= 1 else "", file=sys.stderr, flush=True)
