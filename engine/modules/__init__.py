# SPDX-License-Identifier: GPL-3.0-or-later
"""Building blocks of the models, under the names of the papers."""
