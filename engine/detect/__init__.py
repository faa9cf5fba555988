# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to scores and files: tiles, scoring, the pipeline."""
