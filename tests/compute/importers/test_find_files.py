"""Paths as people write them: backslashes, ~, case, accents; what is said where none fits."""

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute.importers.find_files import find_file
from compute.importers.read_images import CropRejected


@pytest.fixture
def root(tmp_path):
    for name in ("Img/a_GFP.tif", "Img/b_GFP.tif", unicodedata.normalize("NFD", "Zürich é/ä.tif")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Img\\a_GFP.tif", "Img/a_GFP.tif"),
        ("img/A_gfp.TIF", "Img/a_GFP.tif"),
        (".\\IMG\\..\\img\\a_gfp.tif", "Img/a_GFP.tif"),
        (unicodedata.normalize("NFC", "zürich é/Ä.tif"), "Zürich é/ä.tif"),
    ],
)
def test_another_spelling_is_found_and_said(root, text, name):
    path, other = find_file(root, text)
    assert path.read_bytes().decode() == unicodedata.normalize("NFD", name)
    assert other


def test_the_path_as_written_comes_first(root):
    (root / "Img" / "A_gfp.tif").write_bytes(b"upper")
    assert find_file(root, "Img/A_gfp.tif") == (root / "Img" / "A_gfp.tif", False)
    with pytest.raises(CropRejected, match="in spelling only") as caught:
        find_file(root, "Img/a_gfp.tif")
    assert "A_gfp.tif, a_GFP.tif" in caught.value.detail


def test_home(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert find_file(root / "Img", "~/Img/b_GFP.tif")[0] == root / "Img" / "b_GFP.tif"


def test_what_the_folder_holds_is_said(root):
    with pytest.raises(CropRejected, match="no such file") as caught:
        find_file(root, "img/a_GFP.png")
    assert (
        "has no a_GFP.png; nearest: a_GFP.tif; it holds a_GFP.tif, b_GFP.tif" in caught.value.detail
    )
    with pytest.raises(CropRejected) as caught:
        find_file(root, "images/a.tif")
    assert "has no images" in caught.value.detail
    with pytest.raises(CropRejected) as caught:
        find_file(root, "C:\\data\\a.tif")
    assert "another computer" in caught.value.detail
    with pytest.raises(CropRejected, match="a folder, not an image file"):
        find_file(root, "Img")


@given(name=st.text("aBcÄöé_ß", min_size=1, max_size=8), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_file_is_found_in_any_case_and_form(tmp_path_factory, name, data):
    root = tmp_path_factory.mktemp("r")
    (root / f"{name}.tif").write_bytes(b"x")
    form = data.draw(st.sampled_from(("NFC", "NFD")))
    change = data.draw(st.sampled_from((str, str.upper, str.lower, str.swapcase)))
    written = unicodedata.normalize(form, change(name)) + ".tif"
    assert find_file(root, written)[0] == root / f"{name}.tif"
