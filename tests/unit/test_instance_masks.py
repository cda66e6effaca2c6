import numpy as np
import pytest
import torch
from pycocotools import mask as oracle

from dealias.instance import MaskError, decode_masks, encode_masks, read_segmentation


def some_masks():
    masks = torch.rand(4, 13, 17) < torch.tensor([0.5, 0.05, 0.95, 0.0])[:, None, None]
    masks[1, 2:9, 3:12] = True
    return masks


class TestEncoding:
    def test_there_and_back(self):
        masks = some_masks()
        assert torch.equal(decode_masks(encode_masks(masks), 13, 17), masks.to(torch.uint8))

    def test_is_that_of_pycocotools(self):
        masks = some_masks()
        columns = np.asfortranarray(masks.numpy().transpose(1, 2, 0).astype(np.uint8))
        expected = oracle.encode(columns)
        assert [rle["counts"] for rle in encode_masks(masks)] == [r["counts"] for r in expected]

    def test_none_at_all(self):
        assert encode_masks(torch.zeros(0, 5, 6)) == []
        assert decode_masks([], 5, 6).shape == (0, 5, 6)

    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
    def test_any_dtype(self, dtype):
        mask = torch.tensor([[[0, 2], [1, 0]]]).to(dtype)
        assert decode_masks(encode_masks(mask), 2, 2).tolist() == [[[0, 1], [1, 0]]]


class TestReading:
    def test_polygons_by_hand(self):
        square = [1, 1, 4, 1, 4, 3, 1, 3]
        mask = decode_masks([read_segmentation([square], 5, 6)], 5, 6)[0]
        expected = torch.zeros(5, 6, dtype=torch.uint8)
        expected[1:3, 1:4] = 1
        assert torch.equal(mask, expected)

    def test_polygons_may_reach_out_a_little(self):
        mask = decode_masks([read_segmentation([[-2, 1, 9, 1, 9, 3, -2, 3]], 5, 6)], 5, 6)[0]
        assert mask[1:3].all()
        assert mask.sum() == 12

    def test_several_polygons_are_their_union_as_in_pycocotools(self):
        polygons = [(np.random.default_rng(k).random(10) * 40).tolist() for k in range(3)]
        expected = oracle.merge(oracle.frPyObjects(polygons, 40, 50))
        assert read_segmentation(polygons, 40, 50) == expected

    def test_run_lengths_compressed_or_not(self):
        mask = some_masks()[:1]
        text = encode_masks(mask)[0]["counts"].decode()
        column = mask[0].T.flatten().tolist()
        runs, last = [0], False
        for value in column:
            if value != last:
                runs.append(0)
                last = value
            runs[-1] += 1
        for counts in (text, runs):
            rle = read_segmentation({"size": [13, 17], "counts": counts}, 13, 17)
            assert torch.equal(decode_masks([rle], 13, 17), mask.to(torch.uint8))

    def test_long_runs_survive_compression(self):
        mask = torch.zeros(1, 300, 400)
        mask[0, 250:, 390:] = 1
        text = encode_masks(mask)[0]["counts"].decode()
        rle = read_segmentation({"size": [300, 400], "counts": text}, 300, 400)
        assert torch.equal(decode_masks([rle], 300, 400), mask.to(torch.uint8))

    @pytest.mark.parametrize(
        ("segmentation", "message"),
        [
            (None, "expected polygons or run lengths, got None"),
            ([], "expected polygons or run lengths"),
            ("0123", "expected polygons or run lengths"),
            ([[1, 1, 2, 2]], "three points or more"),
            ([[1, 1, 2, 2, 3]], "three points or more"),
            ([5], "three points or more"),
            ([[1, 1, 2, 2, "3", 3]], "coordinates in or near the image"),
            ([[1, 1, 2, 2, float("nan"), 3]], "coordinates in or near the image of 6x5, got nan"),
            ([[1, 1, 2, 2, 1e9, 3]], "coordinates in or near the image"),
            ([[1, 1, 2, 2, True, 3]], "coordinates in or near the image"),
            ({"counts": [30]}, r"run lengths of size \[5, 6\], got None"),
            ({"size": [6, 5], "counts": [30]}, r"run lengths of size \[5, 6\]"),
            ({"size": [5, 6]}, "expected run lengths from 0 on, got None"),
            ({"size": [5, 6], "counts": [29]}, "add up to 30, got 29"),
            ({"size": [5, 6], "counts": [10**12]}, "add up to 30, got 1000000000000"),
            ({"size": [5, 6], "counts": [31, -1]}, "expected run lengths from 0 on"),
            ({"size": [5, 6], "counts": [15.0, 15]}, "expected run lengths from 0 on"),
            ({"size": [5, 6], "counts": ""}, "add up to 30, got 0"),
            ({"size": [5, 6], "counts": "!"}, "got the character '!'"),
            ({"size": [5, 6], "counts": "n0é"}, "got the character 'é'"),
            ({"size": [5, 6], "counts": "n"}, "one that breaks off"),
            ({"size": [5, 6], "counts": "o" * 20}, "at most 60 bits"),
            ({"size": [5, 6], "counts": "5n0"}, "add up to 30"),
            ({"size": [5, 6], "counts": "n0O1"}, "expected run lengths from 0 on"),
        ],
    )
    def test_what_is_broken_is_refused(self, segmentation, message):
        with pytest.raises(MaskError, match=message):
            read_segmentation(segmentation, 5, 6)
