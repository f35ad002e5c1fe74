"""Whether cells can be found in a marker: how large they are, and textures that are refused."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from compute.errors import InputError, UsageError
from compute.images.segmentation import SegmentationConfig, segment
from compute.importers.judge_segmentation import estimate_diameter, refuse_unstable
from compute.importers.manifest import import_manifest
from compute.store.reader import CropStore

N = 24


def cells(radius, size, rng):
    """A bright cell in the middle and two others, blurred, on noise."""
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    places = [
        (size / 2, size / 2),
        (size / 2 - 2.4 * radius, size / 2),
        (size / 2, size / 2 + 2.6 * radius),
    ]
    for row, column in places:
        image[np.hypot(y - row, x - column) < radius * rng.uniform(0.9, 1.1)] = rng.uniform(
            300, 600
        )
    return 100 + ndimage.gaussian_filter(image, radius / 12) + rng.normal(0, 5, image.shape)


def fibres(_radius, size, rng):
    y, x = np.mgrid[:size, :size]
    turn = rng.uniform(0, np.pi)
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / rng.uniform(4, 9))
    return 200 + 100 * wave + rng.normal(0, 10, (size, size))


def membranes(_radius, size, rng):
    seeds = rng.uniform(0, size, (14, 2))
    y, x = np.mgrid[:size, :size]
    far = np.sort(np.hypot(y[..., None] - seeds[:, 0], x[..., None] - seeds[:, 1]), -1)
    return (
        120
        + 300 * np.exp(-(((far[..., 1] - far[..., 0]) / 3) ** 2))
        + rng.normal(0, 5, (size, size))
    )


def texture(_radius, size, rng):
    return (
        200
        + 400 * ndimage.gaussian_filter(rng.normal(size=(size, size)), 1.5)
        + rng.normal(0, 5, (size, size))
    )


def noise(_radius, size, rng):
    return 100 + rng.normal(0, 5, (size, size))


def crops(draw, radius=14, size=64, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([draw(radius, size, rng) for _ in range(N)]).astype(np.float32)


@pytest.mark.parametrize(("radius", "size"), [(7, 32), (14, 64), (30, 160), (70, 360)])
def test_cells_of_any_size_are_measured_and_found(radius, size):
    marker = crops(cells, radius, size)
    diameter = estimate_diameter(marker)
    assert diameter == pytest.approx(2 * radius, rel=0.35)
    masks, foregrounds = segment(marker, SegmentationConfig(diameter=diameter))
    y, x = np.mgrid[:size, :size]
    disc = np.hypot(y - size / 2, x - size / 2) < radius
    overlap = (masks & disc).sum((1, 2)) / (masks | disc).sum((1, 2))
    assert np.median(overlap) > 0.75
    assert (foregrounds >= masks).all()
    refuse_unstable(marker, SegmentationConfig(diameter=diameter), "RFP")


@pytest.mark.parametrize("draw", [fibres, membranes, texture, noise])
def test_textures_are_refused_with_what_was_seen(draw):
    marker = crops(draw, size=128)
    config = SegmentationConfig(diameter=estimate_diameter(marker))
    with pytest.raises(InputError, match=r"Cells cannot be told in AGP: of 24 crops") as told:
        refuse_unstable(marker, config, "AGP")
    assert "--marker" in told.value.remedy


def write(folder, marker):
    folder.mkdir()
    rows = ["GFP,RFP,protein,field"]
    rng = np.random.default_rng(1)
    for n, plane in enumerate(marker):
        tifffile.imwrite(folder / f"{n}_r.tif", plane)
        tifffile.imwrite(folder / f"{n}_g.tif", rng.normal(100, 5, plane.shape).astype(np.float32))
        rows.append(f"{n}_g.tif,{n}_r.tif,P{n % 3},F{n % 6}")
    (folder / "crops.csv").write_text("\n".join(rows))
    return folder / "crops.csv"


def test_an_import_looks_before_it_stores(tmp_path):
    table = write(tmp_path / "fibres", crops(fibres))
    with pytest.raises(InputError, match="Cells cannot be told in RFP"):
        import_manifest(table, tmp_path / "store", jobs=1)
    assert not (tmp_path / "store").exists()
    report = import_manifest(table, tmp_path / "store", jobs=1, unchecked_masks=True)
    assert report.stored == N


def test_the_diameter_is_estimated_or_given_and_said(tmp_path):
    table = write(tmp_path / "large", crops(cells, 45, 230))
    report = import_manifest(table, tmp_path / "store", jobs=1)
    assert report.usable >= N - 2
    assert any("estimated; --cell-diameter says it" in note for note in report.notes)
    given = import_manifest(table, tmp_path / "given", jobs=1, cell_diameter=90)
    assert any("about 90 pixels across (as given)" in note for note in given.notes)
    masks = [CropStore(tmp_path / name).cells["mask_area"] for name in ("store", "given")]
    assert np.median(masks[0] / masks[1]) == pytest.approx(1, abs=0.1)
    with pytest.raises(UsageError, match="--cell-diameter 2 is out of range"):
        import_manifest(table, tmp_path / "other", jobs=1, cell_diameter=2)


def test_the_store_is_the_same_whatever_the_number_of_processes(tmp_path):
    table = write(tmp_path / "large", crops(cells, 45, 230))
    prints = {
        CropStore(import_manifest(table, tmp_path / f"store{jobs}", jobs=jobs).path).fingerprint
        for jobs in (1, 2)
    }
    assert len(prints) == 1


def nuclei(share):
    """Nuclei, of so much of a cell's diameter, in the places of the cells."""

    def draw(radius, size, rng):
        y, x = np.mgrid[:size, :size]
        image = np.zeros((size, size))
        for row, column in (
            (size / 2, size / 2),
            (size / 2 - 2.4 * radius, size / 2),
            (size / 2, size / 2 + 2.6 * radius),
        ):
            row, column = (at + rng.uniform(-0.15, 0.15) * radius for at in (row, column))
            near = np.hypot(y - row, x - column) < share * radius * rng.uniform(0.9, 1.1)
            image[near] = rng.uniform(300, 600)
        blurred = ndimage.gaussian_filter(image, max(1, radius / 12))
        return 100 + blurred + rng.normal(0, 5, image.shape)

    return draw


@pytest.mark.parametrize(("radius", "size"), [(7, 32), (10, 48), (14, 64), (30, 160)])
def test_nuclei_are_told_by_the_diameter_that_is_given(radius, size):
    whole = crops(cells, radius, size, seed=1)
    for share in (0.7, 1, 1.4):
        config = SegmentationConfig(diameter=share * 2 * radius)
        refuse_unstable(whole, config, "RFP", said=True)
    config = SegmentationConfig(diameter=2 * radius)
    for share in (0.35, 0.45):
        stain = crops(nuclei(share), radius, size, seed=1)
        refuse_unstable(stain, config, "DNA")
        with pytest.raises(InputError, match=r"What DNA shows is no cell of .* nuclei, or other"):
            refuse_unstable(stain, config, "DNA", said=True)


def test_a_source_of_nuclei_is_refused_if_the_diameter_is_given(tmp_path):
    table = write(tmp_path / "nuclei", crops(nuclei(0.45)))
    assert import_manifest(table, tmp_path / "store", jobs=1).stored == N
    with pytest.raises(InputError, match=r"as --cell-diameter says, but 1[0-9] across"):
        import_manifest(table, tmp_path / "other", jobs=1, cell_diameter=28)
    given = {"cell_diameter": 28, "unchecked_masks": True}
    assert import_manifest(table, tmp_path / "other", jobs=1, **given).stored == N
