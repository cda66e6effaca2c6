"""Studies of earlier versions, whose options of de-aliasing had other defaults."""

import pytest

from dealias.study.dealiasing import spelled_out, spelled_out_earlier
from dealias.study.options import differences

NAME = "model.network.dealias"
WRAP = f"{NAME}.filter_options.border"


def changed(options):
    """What differs in a network of these options between the versions."""
    found = differences(spelled_out_earlier(options), spelled_out(options), {})
    return sorted(line.split()[0].removeprefix(f"{NAME}.") for line in found)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, []),
        ({NAME: None}, []),
        ({NAME: {}}, ["filter_options.border", "mixing", "place"]),
        ({f"{NAME}.place": "after"}, ["filter_options.border", "mixing"]),
        ({f"{NAME}.mixing": False, WRAP: "reflect"}, ["place"]),
        ({f"{NAME}.place": "after", f"{NAME}.mixing": False, WRAP: "wrap"}, []),
        ({f"{NAME}.filter": "blur"}, ["mixing", "place"]),
        ({f"{NAME}.filter": None, f"{NAME}.mixing": True}, ["place"]),
        ({f"{NAME}.filter": ["daf"]}, ["mixing", "place"]),
    ],
    ids=str,
)
def test_what_a_study_of_an_earlier_version_would_train_otherwise(options, names):
    options = {"data.batch_size": 4, **options}
    assert changed(options) == names
    assert spelled_out_earlier(spelled_out(options)) == spelled_out(options)
