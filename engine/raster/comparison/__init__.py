# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be compared: the shift between the dates, clouds, quality masks."""
