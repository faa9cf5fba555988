# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of result files and exports for the user."""

from __future__ import annotations

from ..messages import Message


class ResultsTexts:
    """Errors and warnings about the files of a run."""

    no_results = Message('The results in "{path}" cannot be opened.', "Run the detection again.")
    no_polygon = Message("The area to describe is not a polygon.", "Choose a polygon layer.")

    not_a_geopackage = Message(
        'The output "{name}" is not a GeoPackage.',
        "Choose a name that ends in .gpkg, and export the result for other formats.",
    )
    same_name = Message("Two outputs have the same name.", "Give them different names.")
    replaces_input = Message(
        'The output "{name}" is one of the rasters to compare.', "Choose another name."
    )

    is_a_folder = Message('"{path}" is a folder.', "Choose another name.")
    being_written = Message(
        'Another run is writing "{path}".', "Wait until it ends, or choose another name."
    )

    no_export_format = Message(
        '"{name}" does not have a supported file extension.',
        "Choose a name that ends in .shp, .geojson or .gpkg.",
    )
    replaces_source = Message("The export would overwrite its source.", "Choose another name.")
    cannot_open = Message('"{path}" cannot be opened.', "Choose the GeoPackage of a run.")
    no_layer = Message('"{path}" has no layer "{layer}".', "Choose the GeoPackage of a run.")
    too_large = Message(
        "The changes exceed 2 GB, the limit of a shapefile.",
        "Export a GeoPackage, or fewer changes.",
    )
    cut_texts = Message(
        "Texts longer than {bytes} bytes were cut in the shapefile ({fields}). The full captions "
        'are in "{name}".'
    )
    no_degrees = Message(
        "The changes have no CRS: the GeoJSON has columns and rows as coordinates, not degrees."
    )
    crs_not_storable = Message(
        "The format cannot store the CRS without moving the polygons: they are in WGS 84."
    )
