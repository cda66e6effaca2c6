"""Evaluate folders of label maps: counts, results, and the files that store them."""

from dealias.evaluation.counts_files import merge_counts, read_counts, write_counts
from dealias.evaluation.csv_files import write_csv
from dealias.evaluation.digests import digest_file, digest_labels, digest_rows
from dealias.evaluation.error_maps import ERROR_COLORS, draw_errors, draw_marks
from dealias.evaluation.folders import (
    DrawingError,
    EvaluationError,
    evaluate_folders,
    evaluate_pair,
    evaluate_pairs,
    why_undrawn,
)
from dealias.evaluation.groups import GroupError, Groups, read_groups
from dealias.evaluation.image_margins import EARLIER, MARGINS_TEXT, margins_from_text
from dealias.evaluation.images import Options, evaluate_maps
from dealias.evaluation.intervals import (
    Differences,
    Intervals,
    Unit,
    by_figure,
    find_differences,
)
from dealias.evaluation.objects import IMAGE_COLUMNS, OBJECT_FATES
from dealias.evaluation.records import CountsFileError, ImageRow, Settings
from dealias.evaluation.results import Evaluation
from dealias.evaluation.shards import MOST_SHARDS, Shard
from dealias.evaluation.sources import Sources, read_pair
from dealias.evaluation.warnings import void_warnings
from dealias.evaluation.widths import COVERED, WIDTH_METRICS

__all__ = [
    "COVERED",
    "EARLIER",
    "ERROR_COLORS",
    "IMAGE_COLUMNS",
    "MARGINS_TEXT",
    "MOST_SHARDS",
    "OBJECT_FATES",
    "WIDTH_METRICS",
    "CountsFileError",
    "Differences",
    "DrawingError",
    "Evaluation",
    "EvaluationError",
    "GroupError",
    "Groups",
    "ImageRow",
    "Intervals",
    "Options",
    "Settings",
    "Shard",
    "Sources",
    "Unit",
    "by_figure",
    "digest_file",
    "digest_labels",
    "digest_rows",
    "draw_errors",
    "draw_marks",
    "evaluate_folders",
    "evaluate_maps",
    "evaluate_pair",
    "evaluate_pairs",
    "find_differences",
    "margins_from_text",
    "merge_counts",
    "read_counts",
    "read_groups",
    "read_pair",
    "void_warnings",
    "why_undrawn",
    "write_counts",
    "write_csv",
]
