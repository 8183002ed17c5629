"""The liver alone: where it is looked for, how it is read, and how that enters the maps."""

import shutil

import numpy as np
import pytest
import torch

from ctrs.box import cut_box
from ctrs.errors import InputRejected
from ctrs.liver import LIVER_BOX, liver_corner
from ctrs.model import read_liver
from ctrs.model.ensemble import perceive
from ctrs.model.network import LiverReader, Perceiver, with_liver
from ctrs.model.read_liver import Livers, ReadLiverConfig, gather_livers, train_liver_reader
from ctrs.trial.prepared import LIVERS, write_prepared
from ctrs.types import STRUCTURES

CPU = torch.device("cpu")
LIVER = STRUCTURES.index("liver_tumour")


def lungs(shape=(104, 88, 120)):
    """Two boxes, the right one lower: base at slice 20, rows 10 to 75, columns 15 to 104.

    Above 90 mm both are wider, to the front and to the right, where no liver is looked for.
    """
    mask = np.zeros(shape, bool)
    mask[20:50, 10:76, 15:50] = True
    mask[24:50, 10:76, 70:105] = True
    mask[40, 10:76, 12:15] = True  # 60 mm up it is already wider than at the base
    mask[50:90, 2:76, 4:50] = True
    mask[50:90, 2:76, 70:105] = True
    return mask


# --- Where --------------------------------------------------------------------------------------


def test_box_hangs_on_the_base_of_the_lungs():
    # 12 slices below 20; the rows' middle, 43, less 36; 4 columns beside 12.
    assert liver_corner(lungs()) == (8, 7, 8)


def test_box_lies_alike_where_the_tops_of_the_lungs_are_missing():
    part = lungs()
    part[60:] = False
    assert liver_corner(part) == liver_corner(lungs())


def test_a_stray_bit_of_lung_moves_no_box():
    stray = lungs()
    stray[3:5, 50:54, 60:64] = True  # 16 voxels a slice
    stray[21:23, 50:54, 2:4] = True  # beside the right lung
    assert liver_corner(stray) == liver_corner(lungs())


def test_without_lungs_there_is_no_box():
    assert liver_corner(np.zeros((10, 10, 10), bool)) is None


# --- Boxes and maps -----------------------------------------------------------------------------


def test_box_that_leaves_the_scan_holds_air_there():
    image = np.arange(1.0, 2 * 3 * 4 + 1).reshape(2, 3, 4)
    expected = np.full((2, 4, 3), -5.0)
    expected[1, :2, :2] = [[7, 8], [11, 12]]
    np.testing.assert_array_equal(cut_box(image, (-1, 1, 2), (2, 4, 3), -5), expected)
    for beside in ((9, 0, 0), (0, -7, 0), (0, 0, 4)):
        assert (cut_box(image, beside, (2, 2, 2), -5) == -5).all()


def test_tumour_of_the_liver_is_what_both_see_in_the_box_and_one_sees_beside_it():
    maps = torch.full((1, len(STRUCTURES), 4, 5, 6), 0.25)
    found = np.full((2, 3, 3), 0.64, np.float32)
    found[0] = 0.01
    joined = with_liver(maps, found, (3, -1, 4))
    # Of the box only its first slice, last two rows and first two columns lie in the scan.
    inside = torch.zeros(4, 5, 6, dtype=torch.bool)
    inside[3, :2, 4:] = True
    assert joined[0, LIVER][inside].numpy() == pytest.approx(0.05)  # sqrt(0.25 * 0.01)
    assert (joined[0, LIVER][~inside] == 0.25).all()
    assert (joined[0, 0] == 0.25).all()  # it may still be tumour of another kind
    joined = with_liver(maps, found, (1, 0, 0))
    assert float(joined[0, 0, 2, 1, 1]) == pytest.approx(0.4)  # tumour of the liver is tumour
    assert float(joined[0, LIVER, 2, 1, 1]) == pytest.approx(0.4)  # sqrt(0.25 * 0.64)
    assert (maps == 0.25).all()
    assert (joined[0, 3:] == 0.25).all()
    nothing = maps.clone()
    nothing[0, LIVER] = 0
    assert (with_liver(nothing, found, (1, 0, 0))[0, LIVER] == 0).all()  # one alone says nothing


def test_scan_is_read_with_its_liver():
    class Everywhere(LiverReader):
        def forward(self, image):
            assert image.shape[2:] == LIVER_BOX
            z, y, x = (n // 2 for n in image.shape[2:])
            return torch.full((1, 1, z, y, x), 9.0)

    net = Perceiver().eval()
    image, mask = torch.rand(1, 1, 104, 88, 120), torch.from_numpy(lungs())[None, None].float()
    with torch.inference_mode():
        plain = perceive(net, image, mask, CPU).maps
        net.liver = Everywhere()
        blind = perceive(net, image, torch.zeros_like(mask), CPU).maps  # no lungs, no liver
        read = perceive(net, image, mask, CPU).maps
    assert torch.equal(blind, plain)
    inside = torch.zeros(104, 88, 120, dtype=torch.bool)
    inside[8 : 8 + 48, 7 : 7 + 72, 8 : 8 + 72] = True
    certain = 1 / (1 + np.exp(-9))
    expected = (plain[0, LIVER] * certain).sqrt()
    assert (expected > 2 * plain[0, LIVER]).any()
    assert read[0, LIVER][inside].numpy() == pytest.approx(expected[inside].numpy(), rel=1e-4)
    assert torch.equal(read[0, LIVER][~inside], plain[0, LIVER][~inside])
    assert torch.equal(read[0, 0], torch.maximum(plain[0, 0], read[0, LIVER]))
    others = [k for k in range(len(STRUCTURES)) if k not in (0, LIVER)]
    assert torch.equal(read[:, others], plain[:, others])


# --- Training -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """Small livers; in every other one, at both visits, there is a darker ball."""
    folder, rng = tmp_path_factory.mktemp("trial"), np.random.default_rng(3)
    (folder / LIVERS).mkdir()
    z, y, x = np.mgrid[:32, :40, :40]
    ball = (z - 18) ** 2 + (y - 20) ** 2 + (x - 16) ** 2 < 49
    for k in range(8):
        visits = []
        for _ in range(2):
            image = 194 + rng.normal(0, 1, ball.shape) - (8 * ball if k % 2 else 0)
            tumour = (255 * ball if k % 2 else 0 * ball).astype(np.uint8)
            visits.append({"image": image.astype(np.uint8), "liver_tumour": tumour})
        write_prepared(folder / LIVERS / f"LIVER-{k:04d}.npz", visits)
    return folder


def trained(trial, out, **changes):
    names = [f"LIVER-{k:04d}" for k in range(8)]
    config = ReadLiverConfig(**({"steps": 40, "batch": 2, "save_every": 10} | changes))
    said = []
    return train_liver_reader(trial, names, out, CPU, config, 5, said.append), said


def test_small_tumours_are_shown_more_often_and_healthy_livers_less(trial, tmp_path):
    (tmp_path / LIVERS).mkdir()
    small = np.zeros((32, 40, 40), np.uint8)
    small[10:16, 10:16, 10:16] = 255  # 216 voxels of 0.027 ml: 5.8 ml
    visits = [{"image": small, "liver_tumour": tumour} for tumour in (small, 0 * small)]
    write_prepared(tmp_path / LIVERS / "LIVER-0000.npz", visits)
    # The balls have 1,400 voxels, 38 ml.
    shutil.copy(trial / LIVERS / "LIVER-0001.npz", tmp_path / LIVERS)
    livers = gather_livers(tmp_path, ["LIVER-0000", "LIVER-0001"])
    assert [image.shape for image in livers.images] == [(32, 40, 40)] * 4  # both visits
    assert [int(tumour[12, 12, 12] > 0) for tumour in livers.tumours[:2]] == [1, 0]
    assert livers.weights == pytest.approx(np.array([2, 0.6, 1, 1]) / 4.6)


def numbered():
    """A liver in which each voxel is another, and whose tumour is the liver itself."""
    return np.random.default_rng(2).integers(40, 256, (32, 40, 44)).astype(np.uint8)


def test_tumour_is_moved_mirrored_and_cut_off_as_the_liver_is():
    liver, mirrored, cut, corners = numbered(), set(), set(), set()
    for seed in range(40):
        image, tumour = read_liver._varied(liver, liver, np.random.default_rng(seed))
        np.testing.assert_array_equal(image, tumour)
        assert image.shape == (24, 28, 32)  # 4, 6 and 6 voxels less on each side
        empty = int((image == 0).all(axis=(1, 2)).sum())
        assert (image[:empty] == 0).all()  # the lower end is cut off, nothing else
        assert image[empty:].all()
        (where,) = [
            (way, tuple(corner))
            for way in (1, -1)
            for corner in np.argwhere(liver == image[-1, 0, 0 if way == 1 else -1])
            if np.array_equal(liver[corner[0], corner[1] :][:28, corner[2] :][:, :32][:, ::way],
                              image[-1])
        ]  # fmt: skip
        mirrored.add(where[0])
        corners.add(where[1])
        cut.add(empty)
    assert mirrored == {1, -1}
    assert len(corners) > 20
    assert 0 in cut
    assert max(cut) > 6


def test_truth_is_the_share_of_tumour_at_half_the_resolution(monkeypatch):
    monkeypatch.setattr(read_liver, "_disturb", lambda image, rng: image)
    livers = Livers([numbered()], [numbered()], np.ones(1))
    image, truth = read_liver._batch(livers, 3, np.random.default_rng(1), CPU)
    assert image.shape == (3, 1, 24, 28, 32)
    torch.testing.assert_close(truth, torch.nn.functional.avg_pool3d(image, 2))
    assert not torch.equal(image[0], image[1])


def test_livers_are_shown_as_often_as_they_weigh():
    bright, dark = np.full((32, 40, 40), 250, np.uint8), np.full((32, 40, 40), 60, np.uint8)
    livers = Livers([bright, dark], [bright, dark], np.array([0.0, 1.0]))
    image, truth = read_liver._batch(livers, 8, np.random.default_rng(1), CPU)
    assert float(image.max()) < 0.5
    assert float(truth.max()) == pytest.approx(60 / 255)


def test_each_step_is_shown_other_livers(trial, tmp_path, monkeypatch):
    batch, shown = read_liver._batch, []

    def watched(*arguments):
        shown.append(batch(*arguments))
        return shown[-1]

    monkeypatch.setattr(read_liver, "_batch", watched)
    trained(trial, tmp_path, steps=10)
    assert len(shown) == 10
    assert not any(torch.equal(shown[0][0], image) for image, _ in shown[1:])


def test_other_scanners_leave_the_liver_where_it_is_and_change_what_is_beside_it():
    # 60 HU is 0.757 of the window; a tumour of 20 HU, and fat of -100 HU.
    image = torch.full((1, 1, 24, 24, 24), 0.757)
    image[..., :8], image[..., 16:] = (1020 / 1400), (900 / 1400)
    drawn = [read_liver._disturb(image, np.random.default_rng(seed)) for seed in range(60)]
    parts = (slice(0, 6), slice(9, 15), slice(18, 24))
    means = [[float(d[:, :, :, :, at].mean()) for at in parts] for d in drawn]
    means = np.array(means) * 1400 - 1000
    assert means.mean(axis=0) == pytest.approx([20, 60, -100], abs=3)
    assert means[:, 1].std() == pytest.approx(6, abs=2)  # the offset, and little more
    assert means[:, 2].std() > means[:, 1].std() + 2  # contrast counts from 60 HU on
    noise = np.array([float(d[..., 9:15].std()) for d in drawn]) * 1400
    assert noise.max() == pytest.approx(12, abs=1.5)
    assert noise.min() < 2
    # In some, slices are as if thick: noise of theirs is added after it.
    step = torch.zeros(1, 1, 9, 4, 4)
    step[:, :, 4] = 1
    thick = [read_liver._disturb(step, np.random.default_rng(seed)) for seed in range(40)]
    beside = [float(one[0, 0, 3].mean()) > 0.2 for one in thick]
    assert 0.1 < np.mean(beside) < 0.5


def test_a_missed_voxel_of_tumour_counts_more_than_a_voxel_too_many():
    def loss(seen, truth):
        class Says(LiverReader):
            def forward(self, image):
                return seen

        return float(read_liver._loss(Says(), torch.zeros(1, 1, 8, 8, 8), truth))

    nothing, voxel = torch.full((1, 1, 4, 4, 4), -9.0), torch.zeros(1, 1, 4, 4, 4)
    voxel[0, 0, 1, 2, 3] = 1
    missed = loss(nothing, voxel) - 0.5  # by Dice, of one voxel and a smoothing of one
    too_many = loss(nothing + 18 * voxel, 0 * voxel)
    assert missed == pytest.approx(5 * 9 / 100, rel=0.05)
    assert too_many == pytest.approx(9 / 100, rel=0.05)


def test_reader_learns_and_goes_on_where_it_was_stopped(trial, tmp_path):
    (whole, again) = (tmp_path / name for name in ("whole", "again"))
    whole.mkdir()
    again.mkdir()
    net, said = trained(trial, whole)
    losses = torch.load(whole / "read_liver.pt", weights_only=True)["losses"]
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert said[-1].startswith("read_liver 40/40")
    assert (whole / "read_liver.png").exists()

    class Stopped(Exception):
        pass

    def stop(words):
        if words.startswith("read_liver 20/"):
            raise Stopped

    names = [f"LIVER-{k:04d}" for k in range(8)]
    config = ReadLiverConfig(steps=40, batch=2, save_every=10)
    with pytest.raises(Stopped):
        train_liver_reader(trial, names, again, CPU, config, 5, stop)
    other, _ = trained(trial, again)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_checkpoint_of_another_length_is_refused(trial, tmp_path):
    trained(trial, tmp_path, steps=10)
    with pytest.raises(InputRejected, match="10 steps lies there; 20 are asked for"):
        trained(trial, tmp_path, steps=20)


def test_checkpoint_of_another_network_is_refused(trial, tmp_path):
    trained(trial, tmp_path, steps=10)
    kept = torch.load(tmp_path / "read_liver.pt", weights_only=True)
    kept["net"]["more"] = kept["net"].pop("out.weight")
    torch.save(kept, tmp_path / "read_liver.pt")
    with pytest.raises(InputRejected, match="another network"):
        trained(trial, tmp_path, steps=10)
