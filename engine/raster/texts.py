# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about rasters, extents and areas of interest."""

from __future__ import annotations

from ..messages import Message


class RasterTexts:
    """Errors and warnings of this package; see :mod:`changescribe.engine.messages`."""

    # Opening and reading

    no_path = Message("No raster is given.", "Choose a raster file.")
    missing_file = Message(
        'The raster "{path}" does not exist.', "Check the path, and that the drive is connected."
    )
    not_a_file = Message('"{path}" is a device or a pipe, not a file.', "Use a raster file.")
    not_a_raster = Message(
        '"{path}" is not a raster that can be read.',
        "Use a raster file such as GeoTIFF. An incomplete copy of a file cannot be read either.",
    )
    online_map = Message(
        "Online maps cannot be analysed directly.",
        "Save the area as a GeoTIFF first (Export > Save As, raw data or rendered image), if the "
        "terms of the service allow it.",
    )
    remote_source = Message(
        '"{path}" takes its data from the network.',
        "Save the data as a GeoTIFF first, or enter the address itself.",
    )
    damaged = Message(
        '"{name}" could not be read.', "The file seems to be damaged or copied incompletely."
    )
    cannot_read = Message('"{path}" could not be read.')
    too_short = Message(
        '"{path}" is incomplete: it has {size:,} bytes, but its header declares {length:,}.',
        "Copy or export it again.",
    )
    same_raster = Message(
        'Both dates use the same raster, "{path}".',
        "Choose two rasters, or different bands of one that contains both dates.",
    )
    bad_control_points = Message(
        'The ground control points of "{name}" are inconsistent.',
        "Georeference the raster again (Layer > Georeferencer) and save the warped raster.",
    )

    # Bands

    no_bands = Message('"{name}" has no bands.', "Choose another raster.")
    subdatasets = Message(
        '"{name}" has no bands.', "It contains several rasters; choose one of them."
    )
    no_such_band = Message('"{name}" has no band {band}.', "Its bands are numbered 1 to {count}.")
    only_one_band = Message('"{name}" has no band {band}.', "It has one band.")
    complex_band = Message(
        'Band {band} of "{name}" contains complex numbers.',
        "Use the amplitude as a raster of real numbers.",
    )
    too_many_bands = Message(
        "{count} bands are given, but only three are read.", "Give the red, green and blue band."
    )

    alpha_is_image = Message(
        'Band {band} of "{name}" is marked as alpha, but its values are those of an image: it '
        "hides no pixels.",
    )

    # CRS and georeference

    unknown_crs = Message(
        'The coordinate reference system "{crs}" is not known.',
        "Give an EPSG code such as EPSG:4326, or WKT.",
    )
    assigned_crs_fails = Message(
        '"{name}" cannot be read in the coordinate reference system assigned to it.',
        "Check it in Layer Properties > Source.",
    )
    broken_georeference = Message(
        'The georeference of "{name}" is impossible: its pixels have no size, or its coordinates '
        "are not numbers.",
        "Assign the right extent with Raster > Conversion > Translate, or georeference it again.",
    )
    local_crs = Message(
        'The coordinate reference system of "{name}" is a local one with the name of {crs}, which '
        "is used."
    )
    earlier_has_no_crs = Message(
        'The coordinate reference system of the earlier raster "{name}" is not known.',
        "Assign it with Raster > Projections > Assign Projection, then run again.",
    )
    later_has_no_crs = Message(
        'The coordinate reference system of the later raster "{name}" is not known.',
        earlier_has_no_crs.hint,
    )
    earlier_has_no_georeference = Message(
        'The earlier raster "{name}" has no georeference, but the later one has.',
        "Georeference it first (Layer > Georeferencer), or use two images of equal size without "
        "georeference.",
    )
    later_has_no_georeference = Message(
        'The later raster "{name}" has no georeference, but the earlier one has.',
        earlier_has_no_georeference.hint,
    )
    sizes_differ = Message(
        "The rasters have no georeference and differ in size: the earlier one has {before_width} x "
        "{before_height} pixels, the later one {after_width} x {after_height}.",
        "Georeference both, or use images of equal size that show the same place.",
    )
    no_overlap = Message(
        '"{before}" and "{after}" do not overlap.',
        "Check that they show the same place and that both have the right coordinate reference "
        "system (Layer Properties > Source).",
    )
    overlap_fails = Message(
        "The overlap of the rasters could not be computed.", "GDAL must be built with GEOS."
    )

    # Extent and area of interest

    empty_extent = Message("The extent to analyse is empty.", "Give it as xmin, ymin, xmax, ymax.")
    extent_outside = Message(
        "The extent to analyse lies outside the area that both rasters cover.",
        "Choose an extent within the overlap of the two rasters, and check its CRS.",
    )
    area_cannot_be_opened = Message(
        'The area of interest "{path}" cannot be opened.', "Choose a polygon file."
    )
    no_polygon = Message('"{path}" contains no polygons.', "Choose a polygon file with features.")
    area_is_no_polygon = Message(
        "The area of interest is not a polygon.", "Choose a polygon layer with features."
    )
    area_crs_fails = Message(
        "The area of interest cannot be transformed to the CRS of the rasters.",
        "Check the CRS of the polygon layer.",
    )
    area_cannot_be_drawn = Message(
        "The area of interest could not be rasterized.", "Check its polygons."
    )

    # Pixels that must not be compared

    mask_not_integer = Message(
        'The quality mask "{name}" does not contain whole numbers.',
        "Choose a raster of classes or bits, such as SCL or QA_PIXEL.",
    )
    mask_without_place = Message(
        'The quality mask "{name}" cannot be placed on its raster.',
        "Both need a georeference, or the same size in pixels.",
    )
    bad_mask_values = Message(
        'The values of a quality mask cannot be read: "{values}".',
        "Give the values that hide the ground, such as 3,8-10 or bit3, or scl or qa_pixel.",
    )

    # Alignment

    pixels = Message("{pixels:.1f} pixels")
    pixels_and_metres = Message("{pixels:.1f} pixels ({metres:.2f} m)")
    aligned = Message(
        "The rasters are aligned: the later one is shifted by {shift}; {agreeing} of {usable} "
        "blocks agree."
    )
    shifted = Message(
        "The later raster is shifted by {shift} against the earlier one, which can look like "
        "change; {agreeing} of {usable} blocks agree. Set the alignment to auto to move it."
    )
    moved = Message(
        "The later raster was moved by {shift} to match the earlier one; {agreeing} of {usable} "
        "blocks agree."
    )
    too_small_to_align = Message(
        "The shift between the rasters was not measured: the area is too small."
    )
    cannot_be_aligned = Message(
        "The shift between the rasters cannot be measured: only {usable} of {blocks} blocks show "
        "the same features on both dates (water, plain ground, clouds, or everything changed)."
    )
    blocks_disagree = Message(
        "The shift between the rasters cannot be measured: only {agreeing} of {usable} blocks "
        "agree on {shift}."
    )

    # Pixel size

    impossible_pixel_size = Message(
        "A pixel size of {size:g} m is not possible.",
        "Give the side of a pixel on the ground in metres, such as 0.5.",
    )
    pixel_size_ignored = Message(
        "The given pixel size of {given} is ignored: the pixels of the earlier raster measure "
        "{actual}."
    )
    ground_too_small = Message(
        "At a pixel size of {size}, the images show only {width} by {height} of ground, too little "
        "to analyse. Is the pixel size right?"
    )
    pixel_size_unknown = Message(
        "The pixel size on the ground is not known. The system works best at about {size}. If you "
        "know the pixel size, enter it."
    )
    pixel_size_unknown_range = Message(
        "The pixel size on the ground is not known. The system works best at {smallest} to "
        "{largest}. If you know the pixel size, enter it."
    )
    pixels_too_large = Message(
        "The pixels of the earlier raster measure {size}, much larger than the {trained} that the "
        "system was trained on. It sees less detail than it needs, so the results are less "
        "reliable."
    )
    pixel_sizes_differ = Message(
        "The pixel sizes differ: {before} in the earlier raster, {after} in the later one. Detail "
        "that only the finer one shows can look like change."
    )
