"""Studies of earlier versions, whose options of de-aliasing had other defaults."""

import pytest

from dealias.study.dealiasing import spelled_out, spelled_out_earlier
from dealias.study.options import differences

NAME = "model.network.dealias"
WRAP = f"{NAME}.filter_options.border"


def changed(options):
    """What differs in a network of these options between the versions."""
    found = differences(spelled_out_earlier(options), spelled_out(options), {})
    return {line.split()[0].removeprefix(f"{NAME}.") for line in found}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, set()),
        ({NAME: None}, set()),
        ({NAME: {}}, {"place", "mixing", "filter_options.border"}),
        ({f"{NAME}.place": "after"}, {"mixing", "filter_options.border"}),
        ({f"{NAME}.mixing": False, WRAP: "reflect"}, {"place"}),
        ({f"{NAME}.place": "after", f"{NAME}.mixing": False, WRAP: "wrap"}, set()),
        ({f"{NAME}.filter": "blur"}, {"place", "mixing"}),
        ({f"{NAME}.filter": None, f"{NAME}.mixing": True}, {"place"}),
        ({f"{NAME}.filter": ["daf"]}, {"place", "mixing"}),
    ],
    ids=str,
)
def test_what_a_study_of_an_earlier_version_would_train_otherwise(options, names):
    options = {"data.batch_size": 4, **options}
    assert changed(options) == names
    assert spelled_out_earlier(spelled_out(options)) == spelled_out(options)
