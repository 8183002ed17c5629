"""The liver alone: where it is looked for, how it is read, and how that enters the maps."""

import shutil

import numpy as np
import pytest
import torch

from ctrs.errors import InputRejected
from ctrs.liver import LIVER_BOX, liver_corner
from ctrs.model.ensemble import perceive
from ctrs.model.network import LiverReader, Perceiver, cut, with_liver
from ctrs.model.read_liver import ReadLiverConfig, gather_livers, train_liver_reader
from ctrs.trial.prepared import LIVERS, write_prepared
from ctrs.types import STRUCTURES

CPU = torch.device("cpu")
LIVER = STRUCTURES.index("liver_tumour")


def lungs(shape=(104, 88, 120)):
    """Two boxes, the right one lower: base at slice 20, rows 10 to 79, columns 15 to 104."""
    mask = np.zeros(shape, bool)
    mask[20:90, 10:80, 15:50] = True
    mask[24:90, 10:80, 70:105] = True
    return mask


# --- Where --------------------------------------------------------------------------------------


def test_box_hangs_on_the_base_of_the_lungs():
    # 12 slices below 20; the rows' middle, 45, less 36; 4 columns beside 15.
    assert liver_corner(lungs()) == (8, 9, 11)


def test_box_lies_alike_where_the_tops_of_the_lungs_are_missing():
    part = lungs()
    part[60:] = False
    assert liver_corner(part) == liver_corner(lungs())


def test_a_stray_bit_of_lung_moves_no_box():
    stray = lungs()
    stray[3:5, 50:53, 60:63] = True  # nine voxels a slice
    assert liver_corner(stray) == liver_corner(lungs())


def test_without_lungs_there_is_no_box():
    assert liver_corner(np.zeros((10, 10, 10), bool)) is None


# --- Boxes and maps -----------------------------------------------------------------------------


def test_box_that_leaves_the_scan_holds_air_there():
    image = torch.arange(1.0, 2 * 3 * 4 + 1).reshape(1, 1, 2, 3, 4)
    box = cut(image, (-1, 1, 2), (2, 4, 3))
    expected = torch.zeros(2, 4, 3)
    expected[1, :2, :2] = torch.tensor([[7.0, 8.0], [11.0, 12.0]])
    assert torch.equal(box[0, 0], expected)
    assert cut(image, (9, 0, 0), (2, 2, 2)).abs().max() == 0  # wholly beside it


def test_tumour_of_the_liver_is_what_both_see_in_the_box_and_one_sees_beside_it():
    maps = torch.full((1, len(STRUCTURES), 4, 5, 6), 0.25)
    found = torch.full((1, 1, 2, 3, 3), 0.64)
    found[0, 0, 0] = 0.01
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
    inside[8 : 8 + 48, 9 : 9 + 72, 11 : 11 + 72] = True
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
    assert livers.images.shape == (4, 32, 40, 40)  # both visits
    assert livers.weights == pytest.approx(np.array([2, 0.6, 1, 1]) / 4.6)


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
