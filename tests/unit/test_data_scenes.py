import hashlib
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dealias.data import ProceduralScenes, render_scene, write_scenes
from dealias.data.scenes.classes import Label
from dealias.data.scenes.shapes import (
    BelowParabola,
    Box,
    ConvexPolygon,
    Ellipse,
    Flat,
    Grating,
    Rectangle,
    Shape,
    draw_image,
    draw_labels,
)
from dealias.data.scenes.street import FENCE_PERIODS, POLE_WIDTHS
from dealias.files import OutputError
from dealias.labels import load_class_set

SIZE = (96, 160)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
PLAIN = Flat(WHITE)


def shape(outline, label=1, texture=PLAIN):
    return Shape(label, outline, texture)


class TestDeterminism:
    def test_known_bytes(self):
        scene = render_scene(5, size=SIZE, seed=3)
        digest = hashlib.sha256(scene.image.tobytes() + scene.labels.tobytes()).hexdigest()
        assert digest == "979aa00ca4698a81959350cd67fa8b2a7bee21f73016f744a1bddd9ecf7b109c"

    def test_scene_does_not_depend_on_order_or_length(self):
        few = ProceduralScenes(3, size=SIZE, seed=1)
        many = ProceduralScenes(9, size=SIZE, seed=1)
        backwards = [many[i] for i in (2, 1, 0)][::-1]
        for (image, labels), (other_image, other_labels) in zip(few, backwards, strict=True):
            assert torch.equal(image, other_image)
            assert torch.equal(labels, other_labels)

    @pytest.mark.parametrize("change", [{"index": 1}, {"seed": 1}])
    def test_other_index_or_seed_is_another_scene(self, change):
        scene = render_scene(**({"index": 0, "seed": 0} | change), size=SIZE)
        assert not np.array_equal(scene.labels, render_scene(0, size=SIZE).labels)


class TestScene:
    def test_layout(self):
        scene = render_scene(0, size=SIZE)
        assert scene.image.shape == (*SIZE, 3)
        assert scene.labels.shape == SIZE
        assert scene.image.dtype == scene.labels.dtype == np.uint8

    def test_every_class_and_void_occur_and_nothing_else(self):
        found = set()
        for index in range(12):
            found |= set(np.unique(render_scene(index, size=SIZE).labels).tolist())
        assert found == {*Label, 255}

    @pytest.mark.parametrize("width", POLE_WIDTHS)
    def test_every_scene_has_a_pole_of_each_width(self, width):
        for index in range(5):
            scene = render_scene(index)
            widths = [
                s.outline.box.right - s.outline.box.left
                for s in scene.shapes
                if s.label == Label.POLE
            ]
            assert width in widths

    @pytest.mark.parametrize("width", POLE_WIDTHS)
    def test_pole_covers_its_width_in_pixels(self, width):
        poles = [s for s in render_scene(0).shapes if s.label == Label.POLE and _across(s) == width]
        labels = draw_labels(poles[:1], (256, 512))
        runs = (labels == Label.POLE).sum(1)
        assert set(runs[runs > 0].tolist()) == {width}

    def test_labels_are_those_of_the_shapes(self):
        scene = render_scene(2, size=SIZE)
        x, y = np.arange(SIZE[1])[None] + 0.5, np.arange(SIZE[0])[:, None] + 0.5
        expected = np.full(SIZE, 255)
        for s in scene.shapes:
            expected[s.outline.contains(x, y)] = s.label
        np.testing.assert_array_equal(scene.labels, expected)

    def test_fences_have_the_stated_periods(self):
        textures = [s.texture for s in render_scene(0).shapes if s.label == Label.FENCE]
        assert textures
        assert all(round(1 / t.frequency[0], 9) in FENCE_PERIODS for t in textures)

    def test_names_are_those_of_the_class_set(self):
        names = load_class_set("scenes").names
        assert tuple(label.name.lower() for label in Label) == names

    @pytest.mark.parametrize(
        ("change", "argument"),
        [
            ({"size": (63, 128)}, "size"),
            ({"size": (128, 63)}, "size"),
            ({"size": (128,)}, "size"),
            ({"size": (128.0, 128)}, "size"),
            ({"seed": -1}, "seed"),
            ({"seed": 2**32}, "seed"),
            ({"index": -1}, "index"),
            ({"index": True}, "index"),
        ],
    )
    def test_bad_arguments(self, change, argument):
        with pytest.raises(ValueError, match=f"^{argument}: expected"):
            render_scene(**({"index": 0} | change))


class TestShapes:
    def test_rectangles_with_a_common_side_tile(self):
        left, right = Box(0, 0, 2.5, 3), Box(2.5, 0, 5, 3)
        labels = draw_labels([shape(Rectangle(left), 1), shape(Rectangle(right), 2)], (3, 5))
        assert labels.tolist() == [[1, 1, 2, 2, 2]] * 3

    def test_disc(self):
        labels = draw_labels([shape(Ellipse(Box(1, 1, 5, 5)))], (6, 6))
        rows = ["".join("#" if v == 1 else "." for v in row) for row in labels]
        assert rows == ["......", "..##..", ".####.", ".####.", "..##..", "......"]

    def test_triangle(self):
        triangle = ConvexPolygon(((0, 0), (4, 4), (0, 4)))
        assert (draw_labels([shape(triangle)], (4, 4)) == 1).tolist() == np.tri(4, 4).tolist()

    def test_parabola(self):
        below = BelowParabola(Box(0, 0, 5, 5), 2.5, 1.0, 0.5)
        tops = (draw_labels([shape(below)], (5, 5)) == 1).argmax(0)
        assert tops.tolist() == [3, 1, 1, 1, 3]  # y0 + bend dx^2: 3, 1.5, 1, 1.5, 3

    def test_later_shapes_lie_in_front(self):
        whole, dot = Rectangle(Box(0, 0, 3, 1)), Rectangle(Box(1, 0, 2, 1))
        assert draw_labels([shape(whole, 1), shape(dot, 2)], (1, 3)).tolist() == [[1, 2, 1]]

    def test_shapes_may_lie_outside(self):
        outside = shape(Rectangle(Box(-9, -9, -5, -5)))
        across = shape(Ellipse(Box(-100, -100, 100, 100)))
        assert (draw_labels([across, outside], (4, 4)) == 1).all()

    def test_colour_is_the_covered_share(self):
        image = draw_image([shape(Rectangle(Box(0, 0, 1.25, 1)))], (1, 3))
        np.testing.assert_array_equal(image[0, :, 0], [255, 255 / 4, 0])

    def test_image_and_labels_agree_on_where_a_shape_is(self):
        disc = shape(Ellipse(Box(3.3, 5.1, 25.7, 20.4)))
        labels, image = draw_labels([disc], (24, 32)), draw_image([disc], (24, 32))[..., 0] / 255
        assert (image[labels == 1] > 0.3).all()
        assert (image[labels != 1] < 0.7).all()
        assert abs(image.sum() - (labels == 1).sum()) < 6  # of some 270
        for centre, axis in ((14.5, 1), (12.75, 0)):  # the centroid is that of the ellipse
            weight = image.sum(1 - axis)
            assert (weight @ (np.arange(len(weight)) + 0.5)) / weight.sum() == pytest.approx(
                centre, abs=0.02
            )

    @pytest.mark.parametrize("frequency", [(1 / 16, 0), (1 / 4, 0), (0, 1 / 8), (5 / 32, 3 / 32)])
    def test_grating_has_the_frequency_asked_for(self, frequency):
        grating = Grating((WHITE, BLACK), frequency)
        image = draw_image([shape(Rectangle(Box(0, 0, 64, 64)), texture=grating)], (64, 64))
        power = np.abs(np.fft.fft2(image[..., 0] - image[..., 0].mean())) ** 2
        row, column = np.unravel_index(power[:, :32].argmax(), (64, 32))
        assert (column / 64, np.fft.fftfreq(64)[row]) == pytest.approx(frequency)

    def test_see_through_grating_keeps_the_label_and_shows_what_lies_behind(self):
        wall = shape(Rectangle(Box(0, 0, 8, 1)), 1, Flat((9, 9, 9)))
        bars = shape(Rectangle(Box(0, 0, 8, 1)), 2, Grating((WHITE, None), (0.25, 0)))
        assert draw_image([wall, bars], (1, 8))[0, :, 0].tolist() == [255, 255, 9, 9] * 2
        assert (draw_labels([wall, bars], (1, 8)) == 2).all()


class TestProceduralScenes:
    def test_item_is_the_rendered_scene(self):
        image, labels = ProceduralScenes(4, size=SIZE, seed=7)[3]
        scene = render_scene(3, size=SIZE, seed=7)
        assert torch.equal(image, torch.from_numpy(scene.image).permute(2, 0, 1))
        assert torch.equal(labels, torch.from_numpy(scene.labels))
        assert image.is_contiguous()

    def test_loads_in_workers(self):
        scenes = pickle.loads(pickle.dumps(ProceduralScenes(4, size=SIZE)))
        batches = list(DataLoader(scenes, batch_size=2, num_workers=2))
        images = torch.cat([image for image, _ in batches])
        assert torch.equal(images, torch.stack([image for image, _ in scenes]))

    def test_length_ends_iteration_and_negative_indices_count_from_it(self):
        scenes = ProceduralScenes(2, size=SIZE)
        assert len(scenes) == len(list(scenes)) == 2
        assert torch.equal(scenes[-1][0], scenes[1][0])
        with pytest.raises(IndexError, match="2 scenes, got -3"):
            scenes[-3]

    def test_negative_length(self):
        with pytest.raises(ValueError, match=r"^length: expected .*got -1"):
            ProceduralScenes(-1)


class TestWriteScenes:
    def test_files_hold_the_scenes(self, tmp_path):
        assert write_scenes(tmp_path, 2, size=SIZE, seed=4) == ["scene_00000", "scene_00001"]
        scene = render_scene(1, size=SIZE, seed=4)
        with Image.open(tmp_path / "images" / "scene_00001.png") as image:
            np.testing.assert_array_equal(np.asarray(image), scene.image)
        path = tmp_path / "labels" / "scene_00001.png"
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), scene.labels)
            palette = np.array(image.getpalette()).reshape(-1, 3)
        classes = load_class_set("scenes")
        np.testing.assert_array_equal(palette[: len(classes)], classes.colors())

    def test_does_not_replace_scenes_unasked(self, tmp_path):
        write_scenes(tmp_path, 3, size=SIZE)
        with pytest.raises(OutputError, match="is not empty"):
            write_scenes(tmp_path, 1, size=SIZE)
        write_scenes(tmp_path, 1, size=SIZE, overwrite=True)
        assert [path.name for path in (tmp_path / "images").glob("*.png")] == ["scene_00000.png"]
        (tmp_path / "images" / "mine.png").touch()
        with pytest.raises(OutputError, match=r"mine\.png, which dealias did not write"):
            write_scenes(tmp_path, 1, size=SIZE, overwrite=True)

    def test_negative_count_writes_nothing(self, tmp_path):
        with pytest.raises(ValueError, match=r"^count: expected"):
            write_scenes(tmp_path / "new", -1)
        assert not (tmp_path / "new").exists()


def _across(s):
    return s.outline.box.right - s.outline.box.left
