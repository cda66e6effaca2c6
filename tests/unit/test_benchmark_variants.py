"""The variants of the benchmark of training are what their names say."""

import pytest

from dealias.layers import BlurFilter, DealiasingFilter, FrequencyMixing

pytest.importorskip("timm")
training = pytest.importorskip("benchmarks.training")


@pytest.mark.parametrize(
    ("variant", "inserted", "places"),
    [
        ("baseline", set(), set()),
        ("daf", {DealiasingFilter}, {"before"}),
        ("daf_after", {DealiasingFilter}, {"after"}),
        ("blur_after", {BlurFilter}, {"after"}),
        ("freqmix", {FrequencyMixing}, set()),
        ("daf_freqmix", {DealiasingFilter, FrequencyMixing}, {"before"}),
    ],
)
def test_a_variant_has_the_modules_of_its_name(variant, inserted, places):
    assert training.VARIANTS.keys() >= {variant}
    model = training.build("camvid/upernet_lite0", variant)
    kinds = (DealiasingFilter, BlurFilter, FrequencyMixing)
    assert {type(m) for m in model.modules() if isinstance(m, kinds)} == inserted
    report = model.dealias_report
    found = [] if report is None else [item for item in report.inserted if item.kind != "mixing"]
    assert {item.place for item in found} == places
    # All steps that the filters of the studies are at, whose costs these are.
    steps = {f"blocks.{index}.0.conv_dw" for index in (1, 2, 3, 5)}
    assert {item.site for item in found} == (steps if found else set())
