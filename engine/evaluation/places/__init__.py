# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a model is measured: LEVIR, generated scenes, places left out."""
