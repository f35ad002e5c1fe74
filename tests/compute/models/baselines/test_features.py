"""Hand-made features against other people's code, and what they must not depend on."""

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import label, regionprops

from compute.models.baselines.features import (
    LEVELS,
    OFFSETS,
    PERCENTILES,
    RADII,
    RINGS,
    SHAPE,
    feature_names,
    measure_crops,
)

CHANNELS = ("GFP", "RFP")
N, SIDE = 6, 48


@pytest.fixture(scope="module")
def images():
    """Crops with structure of several sizes, as raw intensities."""
    rng = np.random.default_rng(0)
    noise = rng.gamma(2.0, 300.0, (N, 2, SIDE, SIDE))
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, noise.shape), (0, 0, 3, 3))
    return (noise + 4000 * np.maximum(smooth, 0) + 50).astype(np.float32)


@pytest.fixture(scope="module")
def masks():
    """Cells of several shapes, one of them not convex."""
    y, x = np.mgrid[:SIDE, :SIDE]
    found = [((y - 24) / (8 + k)) ** 2 + ((x - 22 - k) / (14 - k)) ** 2 < 1 for k in range(N)]
    found[1] &= ~((y - 24) ** 2 + (x - 36) ** 2 < 100)
    return np.array(found)


@pytest.fixture(scope="module")
def whole(images):
    return by_name(measure_crops(images), False)


@pytest.fixture(scope="module")
def inside(images, masks):
    return by_name(measure_crops(images, masks), True)


def by_name(found, within):
    names = feature_names(CHANNELS, within)
    assert found.shape[1] == len(names) == len(set(names))
    return dict(zip(names, found.T, strict=True))


def signed_log(value):
    return np.sign(value) * np.log1p(np.abs(value))


def regions(images, masks):
    """Each crop's two channels inside its region."""
    for image, mask in zip(images, masks, strict=True):
        yield image.astype(float)[:, mask]


@pytest.mark.parametrize("within", [False, True])
def test_intensities_are_those_of_numpy_and_scipy(images, masks, whole, inside, within):
    found = inside if within else whole
    where = masks if within else np.ones_like(masks)
    for i, pixels in enumerate(regions(images, where)):
        for c, channel in enumerate(CHANNELS):
            v = pixels[c]
            expected = {
                "mean": signed_log(v.mean()),
                "deviation": signed_log(v.std()),
                **{f"percentile_{p}": signed_log(np.percentile(v, p)) for p in PERCENTILES},
                "skewness": signed_log(stats.skew(v)),
                "kurtosis": np.log(stats.kurtosis(v, fisher=False)),
            }
            for name, value in expected.items():
                assert found[f"{channel}_{name}"][i] == pytest.approx(value, abs=1e-5), name
        together = np.corrcoef(*pixels)[0, 1]
        assert found["correlation_GFP_RFP"][i] == pytest.approx(together, abs=1e-5)


def test_pairs_are_those_of_scikit_image(images, whole):
    for i, image in enumerate(images):
        for c, channel in enumerate(CHANNELS):
            v = image[c].astype(float)
            low, high = np.percentile(v, (1, 99))
            level = np.clip((v - low) / (high - low) * LEVELS, 0, LEVELS - 1).astype(np.uint8)
            for d in OFFSETS:
                # scikit-image rounds diagonals to the circle; here they are d rows and d columns.
                share = sum(
                    graycomatrix(level, [r], [angle], LEVELS, symmetric=True).astype(float)
                    for r, angle in (
                        (d, 0), (d, np.pi / 2), (d * 2**0.5, np.pi / 4), (d * 2**0.5, 3 * np.pi / 4)
                    )
                )  # fmt: skip
                share /= share.sum()
                rest = share[share > 0]
                expected = {
                    "contrast": graycoprops(share, "contrast")[0, 0] / (LEVELS - 1) ** 2,
                    "homogeneity": graycoprops(share, "homogeneity")[0, 0],
                    "energy": graycoprops(share, "energy")[0, 0],
                    "correlation": graycoprops(share, "correlation")[0, 0],
                    "entropy": -(rest * np.log(rest)).sum() / np.log(LEVELS**2),
                }
                for name, value in expected.items():
                    key = f"{channel}_{name}_{d}"
                    assert whole[key][i] == pytest.approx(value, abs=1e-5), key


def test_bands_patterns_rings_and_layout_equal_plain_loops(images, masks, inside):
    y, x = np.mgrid[:SIDE, :SIDE]
    ring = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        at_y, at_x = y[mask].mean(), x[mask].mean()
        away = np.hypot(y - at_y, x - at_x)
        reach = away[mask].max()
        full = [
            (r, c) for r, c in zip(*np.nonzero(mask), strict=True)
            if all(0 <= r + a < SIDE and 0 <= c + b < SIDE and mask[r + a, c + b] for a, b in ring)
        ]  # fmt: skip
        for c, channel in enumerate(CHANNELS):
            v = image[c].astype(float)
            deviation, mean = v[mask].std(), v[mask].mean()
            finer = v[mask]
            for radius in RADII:
                box = np.ones((2 * radius + 1, 2 * radius + 1))
                light, seen = (
                    ndimage.convolve(a, box, mode="constant")
                    for a in (v * mask, mask.astype(float))
                )
                coarser = (light / np.maximum(seen, 1))[mask]
                key = f"{channel}_band_{radius}"
                assert inside[key][i] == pytest.approx(
                    (finer - coarser).std() / deviation, abs=1e-5
                ), key
                finer = coarser
            assert inside[f"{channel}_coarse"][i] == pytest.approx(
                finer.std() / deviation, abs=1e-5
            )
            counts = np.zeros(10)
            for row, column in full:
                bits = [v[row + a, column + b] >= v[row, column] for a, b in ring]
                changes = sum(bits[k] != bits[k - 1] for k in range(8))
                counts[sum(bits) if changes <= 2 else 9] += 1
            for k in range(10):
                expected = np.sqrt(counts[k] / len(full))
                assert inside[f"{channel}_pattern_{k}"][i] == pytest.approx(expected, abs=1e-5)
            for k in range(RINGS):
                here = mask & (np.minimum(away / reach * RINGS, RINGS - 1).astype(int) == k)
                expected = (v[here].mean() - mean) / deviation
                assert inside[f"{channel}_ring_{k + 1}"][i] == pytest.approx(expected, abs=1e-4)
            light = np.maximum(v - np.percentile(v[mask], 5), 0) * mask
            centre = (light * y).sum() / light.sum(), (light * x).sum() / light.sum()
            off = np.hypot(centre[0] - at_y, centre[1] - at_x) / reach
            assert inside[f"{channel}_off_centre"][i] == pytest.approx(off, abs=1e-5)
            spread = np.sqrt((light * away**2).sum() / light.sum()) / reach
            assert inside[f"{channel}_spread"][i] == pytest.approx(spread, abs=1e-5)
            cov = np.cov(np.stack([y[mask], x[mask]]), aweights=light[mask], bias=True)
            small, large = np.linalg.eigvalsh(cov)
            expected = np.sqrt(1 - small / large)
            assert inside[f"{channel}_elongation"][i] == pytest.approx(expected, abs=1e-4)


def test_shape_is_that_of_scikit_image(masks, inside):
    from scipy.spatial import ConvexHull

    for i, mask in enumerate(masks):
        [seen] = regionprops(label(mask))
        assert inside["mask_log_area"][i] == pytest.approx(np.log(seen.area), abs=1e-5)
        # scikit-image takes pixels as points, we as squares.
        long, short = (moment + 1 / 12 for moment in seen.inertia_tensor_eigvals)
        expected = np.sqrt(1 - short / long)
        assert inside["mask_eccentricity"][i] == pytest.approx(expected, abs=1e-5)
        assert inside["mask_eccentricity"][i] == pytest.approx(seen.eccentricity, abs=0.02)
        corners = seen.coords[:, None] + np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
        hull = ConvexHull(corners.reshape(-1, 2)).volume
        assert inside["mask_solidity"][i] == pytest.approx(seen.area / hull, abs=1e-5)
        assert inside["mask_solidity"][i] == pytest.approx(seen.solidity, abs=0.05)
    assert inside["mask_solidity"][1] < 0.92 < inside["mask_solidity"][0]
    assert 0.8 < inside["mask_roundness"][5] < 1.1, "13 × 9 pixels"


def test_what_lies_outside_the_mask_is_never_read(images, masks):
    """To the bit: a control whose drop must be 0 can show that something is wrong."""
    rng = np.random.default_rng(1)
    other = np.where(masks[:, None], images, rng.gamma(1.0, 2000.0, images.shape)).astype(
        np.float32
    )
    dark = np.where(masks[:, None], images, np.float32(np.nan))
    found = measure_crops(images, masks)
    assert np.array_equal(found, measure_crops(other, masks))
    assert np.array_equal(found, measure_crops(dark, masks))
    assert (measure_crops(images) != measure_crops(other)).mean() > 0.9


def test_crops_do_not_depend_on_one_another(images, masks):
    for given in (None, masks):
        together = measure_crops(images, given)
        for i in range(N):
            alone = measure_crops(images[[i]], None if given is None else given[[i]])
            assert np.array_equal(alone[0], together[i])


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0, 65535.0])
def test_flat_crops_and_empty_masks_give_finite_numbers(masks, value):
    flat = np.full((2, 2, SIDE, SIDE), value, np.float32)
    found = by_name(measure_crops(flat), False)
    assert all(np.isfinite(v).all() for v in found.values())
    assert found["GFP_mean"][0] == pytest.approx(signed_log(value))
    assert found["correlation_GFP_RFP"][0] == 0
    assert not measure_crops(flat, np.zeros((2, SIDE, SIDE), bool)).any()
    single = np.zeros((2, SIDE, SIDE), bool)
    single[:, 3, 4] = True
    assert np.isfinite(measure_crops(flat, single)).all()


def test_any_number_of_channels(images):
    one = measure_crops(images[:, :1])
    three = measure_crops(np.concatenate([images, images[:, :1]], axis=1))
    assert one.shape[1] == len(feature_names(["a"], False)) == 49
    assert three.shape[1] == len(feature_names(["a", "b", "c"], False)) == 150
    assert np.array_equal(one, three[:, :49])
    assert len(feature_names(CHANNELS, True)) == 99 + len(SHAPE)
