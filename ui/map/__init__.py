# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run puts on the map: layers, styles, captions, pictures."""
