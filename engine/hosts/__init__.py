# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a system runs: in this process or in a worker process; what is installed there."""
