# SPDX-License-Identifier: GPL-3.0-or-later
"""The zero-shot system's steps: words, dense CLIP, SAM 2 masks, decisions. Nothing is trained."""
