"""Strict YAML of plans: the reader that every YAML document shares."""

from __future__ import annotations

from wwc_eval.data.yaml_text import Parsed, Path, parse_yaml, path_text

__all__ = ["Parsed", "Path", "parse_yaml", "path_text"]
