# SPDX-License-Identifier: GPL-3.0-or-later
"""The ChangeScribe inference engine: no Qt, no QGIS.

Usable as a library (:func:`changescribe.engine.detect.pipeline.detect`) and from the
command line (``changescribe detect``).
"""
