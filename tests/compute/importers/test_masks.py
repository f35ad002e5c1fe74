"""Masks however they are coded: the same cells come out, or a reason."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from compute.importers.mask_files import read_mask
from compute.importers.mask_shapes import cells_of_pieces, renumber, separate_touching
from compute.importers.mask_values import what_was_seen
from compute.importers.masks import (
    UNDERSTOOD,
    MaskCoding,
    mask_notes,
    survey,
    understand,
)
from compute.importers.tiff import CropRejected
from tests.compute.importers.drawn_masks import (
    EVERY_CELL,
    ONLY_THE_CELL,
    SIDE,
    labels_of,
    nuclei,
    probabilities,
)

SOURCE = range(12)


def read(tmp_path, mask, coding):
    """Read a mask as an importer does, from a file."""
    import tifffile

    tifffile.imwrite(tmp_path / "m.tif", mask)
    return read_mask(tmp_path / "m.tif", (SIDE, SIDE), coding)


def source(way):
    return [way(labels_of(seed)) for seed in SOURCE]


@pytest.mark.parametrize("name", ONLY_THE_CELL)
def test_the_cell_is_the_same_however_it_is_coded(name, tmp_path):
    masks = source(ONLY_THE_CELL[name])
    coding = survey(masks)
    for seed, mask in zip(SOURCE, masks, strict=True):
        wanted = labels_of(seed) == 3
        found, foreground, _ = read(tmp_path, mask, coding)
        assert np.array_equal(found, wanted), seed
        assert np.array_equal(foreground, wanted)


@pytest.mark.parametrize("name", EVERY_CELL)
def test_the_cell_and_its_neighbours_are_the_same_however_they_are_coded(name, tmp_path):
    masks = source(EVERY_CELL[name])
    coding = survey(masks)
    for seed, mask in zip(SOURCE, masks, strict=True):
        labels = labels_of(seed)
        found, foreground, _ = read(tmp_path, mask, coding)
        assert np.array_equal(found, labels == 3), seed
        # The outline of a neighbour that the crop's edge cuts is open.
        inside = ndimage.binary_erosion(labels > 0, np.ones((3, 3)), border_value=1)
        missing = inside & ~foreground
        assert not missing.any() or "outline" in name
        assert not (foreground & (labels == 0)).any()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("0/255", set()),
        ("1/2 (ilastik)", {"background"}),
        ("255/0 (inverted)", {"background"}),
        ("outline", {"outlines"}),
        ("cell and nucleus", {"parts"}),
        ("cytoplasm without its nucleus", {"holes"}),
    ],
)
def test_what_was_understood_is_said(name, how):
    masks = source(ONLY_THE_CELL[name])
    coding = survey(masks)
    found = [understand(mask, coding).how for mask in masks]
    assert set().union(*found) - {"outlines", "holes"} == how - {"outlines", "holes"}
    assert all(how <= one | {"holes", "outlines"} for one in found)
    assert how <= set().union(*found)


def test_notes_count_every_way():
    counts = {f"mask: {key}": 2 for key in UNDERSTOOD if key != "background"}
    counts |= {"mask: background|-1": 1204, "mask: background|1": 3, "no mask": 7}
    notes = mask_notes(Counter(counts))
    assert len(notes) == len(UNDERSTOOD) + 1
    assert (
        "1,204 mask(s) have another background than 0 (-1), the value around their edge." in notes
    )


def test_probabilities_need_a_threshold(tmp_path):
    for scale, kind in ((1, np.float32), (255, np.uint8), (65535, np.uint16), (100, np.int16)):
        masks = [(scale * probabilities(labels_of(seed))).astype(kind) for seed in SOURCE]
        coding = survey(masks)
        for mask in masks:
            with pytest.raises(CropRejected, match="--mask-threshold"):
                understand(mask, coding)
        coding = survey(masks, 0.5 * scale)
        for seed, mask in zip(SOURCE, masks, strict=True):
            found, _, how = read(tmp_path, mask, coding)
            wanted = labels_of(seed) == 3
            assert (found != wanted).sum() < 0.15 * wanted.sum()
            assert how == ["mask: pieces", "mask: threshold"] or how == ["mask: threshold"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 7), st.sampled_from([1.0, 2.0, 4.0]))
def test_grey_levels_are_never_cells(seed, levels, blur):
    """A smoothed mask of few levels is an onion; none of its layers is a cell."""
    light = ndimage.gaussian_filter((labels_of(seed) > 0).astype(float), blur)
    mask = np.rint(levels * light / light.max()).astype(np.uint8)
    try:
        understood = understand(mask, survey([mask]))
    except CropRejected:
        return
    # Few levels may pass for a cell with parts, which are then joined.
    for number in range(1, int(understood.labels.max()) + 1):
        cell = understood.labels == number
        rim = ndimage.binary_dilation(cell, np.ones((3, 3))) & ~cell
        assert mask[rim].max() <= mask[cell].max()


def bad(change, base="labels"):
    mask = EVERY_CELL[base](labels_of(1)).astype(np.float64)
    change(mask)
    return mask


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((SIDE, SIDE), np.uint8), "mask: no cell in it"),
        (np.zeros((SIDE, SIDE), bool), "mask: no cell in it"),
        (bad(lambda mask: mask.__setitem__((0, 0), np.nan)), "not finite"),
        (bad(lambda mask: mask.__setitem__((0, 0), np.inf)), "not finite"),
        (bad(lambda mask: mask.__setitem__((0, 0), -1)), "negative values, down to -1"),
        (bad(lambda mask: mask.__setitem__((0, 0), 0.5)), "fractions"),
        (labels_of(1).astype(np.complex64), "type complex64"),
        (ONLY_THE_CELL["255/0 (inverted)"](labels_of(1)), "exchanged"),
        (ONLY_THE_CELL["1/2 (ilastik)"](labels_of(1)), "no 0, but one value around the edge"),
    ],
)
def test_a_mask_unlike_the_others_of_its_source_is_refused(mask, reason):
    with pytest.raises(CropRejected, match=reason):
        understand(mask, MaskCoding())


def test_other_backgrounds_hold_for_all():
    coding = survey(source(ONLY_THE_CELL["1/2 (ilastik)"]))
    with pytest.raises(CropRejected, match="no value 1, which is the background"):
        understand(np.full((SIDE, SIDE), 2, np.uint8), coding)


def test_an_outline_with_a_gap_is_refused():
    mask = ONLY_THE_CELL["outline"](labels_of(2))
    rows, columns = np.nonzero(mask)
    mask[rows[:6], columns[:6]] = 0
    with pytest.raises(CropRejected, match="enclose nothing"):
        understand(mask, survey([mask]))


def test_tissue_without_background_is_numbered_as_it_is():
    """Cells that fill every crop, numbered over the whole image: no number is the background."""
    masks = []
    for seed in SOURCE:
        rng = np.random.default_rng(seed)
        seeds = np.zeros((SIDE, SIDE), bool)
        seeds[rng.integers(0, SIDE, 9), rng.integers(0, SIDE, 9)] = True
        seeds[SIDE // 2, SIDE // 2] = True
        nearest = ndimage.distance_transform_edt(
            ~seeds, return_distances=False, return_indices=True
        )
        masks.append((100 * seed + 1 + ndimage.label(seeds)[0][tuple(nearest)]).astype(np.uint16))
    coding = survey(masks)
    assert coding == MaskCoding()
    for mask in masks:
        understood = understand(mask, coding)
        assert (understood.labels > 0).all()
        assert np.array_equal(understood.names[understood.labels - 1], mask)


def test_one_cell_inside_another_is_no_part_where_it_is_rare():
    masks = source(EVERY_CELL["labels"])
    inside = masks[0].copy()
    inside[nuclei(inside)] = 77
    coding = survey([inside, *masks[1:]])
    assert not coding.parts
    assert 77 in understand(inside, coding).names


def test_pieces_of_a_cell_of_its_own_number_are_neighbours(tmp_path):
    mask = ONLY_THE_CELL["0/255"](labels_of(0))
    mask[2:9, 2:9] = 255
    found, foreground, how = read(tmp_path, mask, MaskCoding())
    assert np.array_equal(found, labels_of(0) == 3)
    assert foreground[2:9, 2:9].all()
    assert how == ["mask: rest"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_label_images_keep_every_pixel_and_name(seed):
    labels = labels_of(seed, side=160, least=5, most=30)
    understood = understand(labels, survey([labels], whole_fields=True))
    assert np.array_equal(np.concatenate([[0], understood.names])[understood.labels], labels)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_a_binary_field_is_its_pieces(kind):
    labels = labels_of(5, side=160, least=5, most=30)
    mask = (labels > 0).astype(kind)
    coding = survey([mask], whole_fields=True)
    understood = understand(mask, coding)
    assert understood.how == {"pieces"}
    assert understood.labels.max() == len(np.unique(labels)) - 1
    for number in np.unique(labels[labels > 0]):
        assert len(np.unique(understood.labels[labels == number])) == 1


def pair(apart=13):
    """Two cells that touch, their nuclei, and which pixel is nearer to which."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    first, second = ((rows - 30) ** 2 + (columns - x) ** 2 for x in (25, 25 + apart))
    return (first <= 64) | (second <= 64), (first <= 9) | (second <= 9), first < second


@pytest.mark.parametrize("by", ["centres", "nuclei"])
def test_touching_cells_are_separated_as_asked(by):
    cells, seeds, left = pair()
    mask = (255 * cells).astype(np.uint8)
    coding = survey([mask], whole_fields=True, split="centres" if by == "centres" else None)
    found = understand(mask, coding, seeds if by == "nuclei" else None)
    assert found.how == {"split"}
    assert found.labels.max() == 2
    for side in (cells & left, cells & ~left):
        counts = np.bincount(found.labels[side])
        assert counts.max() > 0.95 * counts.sum()
    plain = understand(mask, survey([mask], whole_fields=True))
    assert plain.labels.max() == 1


@pytest.mark.parametrize("at", [8, 14, 22])
def test_no_seed_is_starved_by_a_cell_that_is_thickest_elsewhere(at):
    """A sheet of two cells: each is what lies nearer to its nucleus, wherever that is."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    sheet = (rows >= 8) & (rows < 56) & (columns >= 2) & (columns < 62)
    seeds = np.zeros((SIDE, SIDE), np.int32)
    for number, (y, x) in enumerate(((at, 10), (at, 50)), 1):
        seeds[(rows - y) ** 2 + (columns - x) ** 2 <= 16] = number
    apart, count = separate_touching(cells_of_pieces(sheet), np.where(sheet, seeds, 0))
    assert count == 1
    for number, half in enumerate((sheet & (columns < 30), sheet & (columns > 30)), 1):
        assert (apart[half] == number).mean() > 0.97


def test_a_piece_without_a_seed_is_a_cell():
    cells, seeds, left = pair(apart=30)
    apart, count = separate_touching(cells_of_pieces(cells), seeds & left)
    assert (int(apart.max()), count) == (2, 0)


def test_specks_belong_to_what_they_touch_by_a_corner():
    found = np.zeros((20, 20), bool)
    found[5:12, 5:12] = True
    found[12, 12] = True
    found[0, 0] = True
    pieces = cells_of_pieces(found)
    assert pieces[12, 12] == pieces[8, 8] != pieces[0, 0] > 0
    assert pieces.max() == 2


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_renumbering_leaves_no_gap_and_joins_nothing(values):
    cells = np.array([values], np.int32)
    found = renumber(cells)
    pairs = set(zip(cells.ravel().tolist(), found.ravel().tolist(), strict=True))
    assert len(pairs) == len(set(values)) == len({new for _, new in pairs})
    assert all((old == 0) == (new == 0) for old, new in pairs)
    assert sorted(set(found[found > 0].tolist())) == list(range(1, int(found.max()) + 1))


def test_what_was_seen_names_values():
    mask = np.zeros((10, 10), np.uint8)
    assert what_was_seen(mask) == "values 0 on 100% of its pixels"
    mask[0] = 255
    assert what_was_seen(mask) == "values 0 on 90%, 255 on 10% of its pixels"
    assert what_was_seen(np.arange(1, 101).reshape(10, 10)) == "100 values from 1 to 100, no 0"
    assert what_was_seen(np.full((2, 2), np.nan)) == "no finite value"


def test_pieces_of_a_cell_among_others_are_neighbours_and_said(tmp_path):
    mask = labels_of(0)
    whole, _, how = read(tmp_path, mask, MaskCoding())
    assert how == []
    mask[2:9, 2:9] = 3
    found, foreground, how = read(tmp_path, mask, MaskCoding())
    assert np.array_equal(found, whole)
    assert foreground[2:9, 2:9].all()
    assert how == ["mask: rest"]
