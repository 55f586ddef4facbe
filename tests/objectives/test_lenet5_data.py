import os
import warnings

import numpy as np
import pytest
from PIL import Image

from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.objectives.lenet5 import LeNet5, data, shapes
from hpo_bench.objectives.lenet5.cache import _digest
from hpo_bench.objectives.lenet5.data import Request
from hpo_bench.objectives.lenet5.private import data_directory


def forget():
    """Read the images anew, as another process would."""
    data._load.cache_clear()
    data._whole.cache_clear()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    forget()
    monkeypatch.setenv("HPO_BENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def request(source="shapes", directory=None, **changes):
    sizes = {"train_size": 60, "validation_size": 40, "test_size": 30, "split_seed": 0}
    return Request(source=source, directory=directory, **(sizes | changes))


@pytest.fixture
def folder(tmp_path):
    """Two classes, 4 + 2 images each: `cat` dark, `dog` bright, of several sizes and kinds."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for name, level in (("cat", 40), ("dog", 200)):
            directory = tmp_path / "images" / part / name
            directory.mkdir(parents=True)
            for index in range(count):
                side = 32 if index == 0 else 20 + 30 * index
                pixels = rng.integers(level, level + 20, (side, side, 3)).astype(np.uint8)
                ending = ("png", "JPG", "bmp", "jpeg")[index]
                Image.fromarray(pixels).save(directory / f"{index}.{ending}")
            (directory / "notes.txt").write_text("no image")
    return tmp_path / "images"


SMALL = {"train_size": 5, "validation_size": 3, "test_size": 4}


# shapes


def test_shapes_are_the_same_for_the_same_seed_and_others_for_another():
    (one, labels), (same, same_labels) = shapes.draw(50, 7), shapes.draw(50, 7)
    assert np.array_equal(one, same)
    assert np.array_equal(labels, same_labels)
    assert not np.array_equal(one, shapes.draw(50, 8)[0])


def test_shapes_are_balanced_and_of_cifar10_form():
    pixels, labels = shapes.draw(1205, 0)
    assert pixels.shape == (1205, 32, 32, 3)
    assert pixels.dtype == np.uint8
    counts = np.bincount(labels)
    assert len(counts) == len(shapes.CLASSES) == 10
    assert counts.max() - counts.min() <= 1
    assert not np.array_equal(labels, np.sort(labels))


@pytest.mark.parametrize("name", shapes.CLASSES)
def test_every_shape_is_its_own_mirror_image(name):
    v, u = np.mgrid[-1.2:1.2:25j, -1.2:1.2:25j].astype(np.float32)
    inside = shapes._SHAPES[name](u, v)
    assert 0.1 < inside.mean() < 0.6
    assert (inside == inside[:, ::-1]).mean() > 0.97  # points on the very edge may differ


def test_shapes_differ_from_each_other():
    v, u = np.mgrid[-1.2:1.2:25j, -1.2:1.2:25j].astype(np.float32)
    masks = [shape(u, v) for shape in shapes._SHAPES.values()]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert (one != other).mean() > 0.04


# splits


def test_parts_have_the_sizes_asked_for_and_share_no_image():
    loaded = data.load(request())
    assert [len(part) for part in (loaded.train, loaded.validation, loaded.test)] == [60, 40, 30]
    parts = [loaded.train, loaded.validation, loaded.test]
    images = np.concatenate([part.pixels for part in parts]).reshape(130, -1)
    assert len(np.unique(images, axis=0)) == 130


def test_the_split_is_that_of_its_seed_alone(folder):
    one = data.load(request("imagefolder", folder, **SMALL))
    forget()
    again = data.load(request("imagefolder", folder, **SMALL))
    for part in ("train", "validation", "test"):
        assert np.array_equal(getattr(one, part).pixels, getattr(again, part).pixels)
        assert np.array_equal(getattr(one, part).labels, getattr(again, part).labels)
    other = data.load(request("imagefolder", folder, **SMALL, split_seed=3))
    assert not np.array_equal(one.validation.pixels, other.validation.pixels)
    assert one.sha256 == other.sha256


def test_fewer_training_images_are_a_subset_beside_the_same_validation_images(folder):
    many = data.load(request("imagefolder", folder, **SMALL))
    few = data.load(request("imagefolder", folder, **(SMALL | {"train_size": 2})))
    assert np.array_equal(few.validation.pixels, many.validation.pixels)
    assert np.array_equal(few.train.pixels, many.train.pixels[:2])


def test_shapes_of_another_size_are_other_images():
    many, few = data.load(request()), data.load(request(train_size=30))
    assert few.sha256 != many.sha256
    assert not np.array_equal(few.validation.pixels, many.validation.pixels)


def test_all_remaining_images_are_used_by_default(folder):
    loaded = data.load(
        request("imagefolder", folder, train_size=None, validation_size=3, test_size=None)
    )
    assert [len(part) for part in (loaded.train, loaded.validation, loaded.test)] == [5, 3, 4]


def test_splits_share_the_images_and_no_validation_image(folder):
    sizes = {"validation_size": 2, "train_size": None, "test_size": None, "splits": 4}
    loaded = [data.load(request("imagefolder", folder, **sizes, split=k)) for k in range(4)]
    rows = [set(one.validation.rows) for one in loaded]
    assert sorted(row for part in rows for row in part) == list(range(8))
    for one in loaded:
        assert set(one.train.rows) | set(one.validation.rows) == set(range(8))
        assert len(one.train) == 6
        assert np.array_equal(one.test.rows, loaded[0].test.rows)
        assert one.train.source is loaded[0].train.source
    with pytest.raises(InputError, match="splits: 5 cannot be used; 8 images cannot hold 2"):
        data.load(request("imagefolder", folder, **sizes | {"splits": 5}))


def test_the_seed_of_a_run_chooses_its_split():
    small = {"train_size": 64, "validation_size": 20, "test_size": 5, "splits": 3}
    used = [LeNet5(**small, seed=seed)._load().validation.rows for seed in (0, 1, 3, 2**31 + 1)]
    assert np.array_equal(used[0], used[2])
    assert np.array_equal(used[2], used[3])  # 2**31 + 1 is a multiple of 3
    assert not set(used[0]) & set(used[1])
    assert LeNet5(**small).describe()["splits"] == 3


@pytest.mark.parametrize("field", ["train_size", "validation_size", "test_size"])
def test_more_images_than_there_are_is_an_error(folder, field):
    with pytest.raises(InputError, match=f"{field}: 99 cannot be used; the data has"):
        data.load(request("imagefolder", folder, **(SMALL | {field: 99})))


def test_images_are_loaded_once_per_process_for_the_same_request():
    assert data.load(request()) is data.load(request())
    assert data.load(request()) is not data.load(request(split_seed=1))


# the data directory


def test_the_data_directory_is_the_variable_s_else_the_user_s_cache(monkeypatch, tmp_path):
    assert data_directory() == tmp_path / "cache"
    monkeypatch.delenv("HPO_BENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert data_directory() == tmp_path / "xdg" / "hpo-bench"


def test_a_data_directory_that_cannot_be_made_is_told(folder, monkeypatch):
    occupied = folder / "train" / "cat" / "notes.txt"
    monkeypatch.setenv("HPO_BENCH_DATA", str(occupied / "below"))
    with pytest.raises(HpoBenchError, match=r"notes.txt/below cannot be used.*HPO_BENCH_DATA"):
        data.load(request("imagefolder", folder, **SMALL))


# imagefolder


def test_images_are_resized_and_labelled_by_their_folder(folder):
    loaded = data.load(request("imagefolder", folder, **SMALL))
    assert loaded.classes == ("cat", "dog")
    for part in (loaded.train, loaded.validation, loaded.test):
        assert part.pixels.shape[1:] == (32, 32, 3)
        assert np.array_equal(part.labels, (part.pixels.mean((1, 2, 3)) > 128).astype(np.int64))


def test_decoded_images_are_kept_and_found_again(folder, cache, capsys):
    first = data.load(request("imagefolder", folder, **SMALL))
    assert f"decoding 12 images of {folder}, kept in {cache}" in capsys.readouterr().err
    [kept] = cache.glob("imagefolder-*")
    forget()
    again = data.load(request("imagefolder", folder, **SMALL))
    assert capsys.readouterr().err == ""
    assert again.sha256 == first.sha256
    assert list(cache.glob("imagefolder-*")) == [kept]


def test_decoded_images_are_read_where_nothing_can_be_written(folder, monkeypatch):
    first = data.load(request("imagefolder", folder, **SMALL))

    def refuse(directory):
        raise HpoBenchError(f"{directory} cannot be used for downloads and caches")

    monkeypatch.setattr("hpo_bench.objectives.lenet5.cache.locked", refuse)
    forget()
    assert data.load(request("imagefolder", folder, **SMALL)).sha256 == first.sha256


def test_a_changed_image_is_decoded_anew(folder, cache):
    before = data.load(request("imagefolder", folder, **SMALL))
    Image.new("RGB", (32, 32), (40, 41, 42)).save(folder / "train" / "cat" / "0.png")
    forget()
    after = data.load(request("imagefolder", folder, **SMALL))
    assert after.sha256 != before.sha256
    assert len(list(cache.glob("imagefolder-*"))) == 2


@pytest.mark.parametrize("name", ["train_pixels.npy", "test_labels.npy", "sha256"])
@pytest.mark.parametrize("damage", ["cut", "flipped bytes", "other file", "empty", "missing"])
def test_a_damaged_cache_is_built_again_with_a_notice(folder, cache, damage, name):
    before = data.load(request("imagefolder", folder, **SMALL))
    [kept] = cache.glob("imagefolder-*")
    content = bytearray((kept / name).read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped bytes":
        content[-10:] = bytes((byte + 1) % 256 for byte in content[-10:])
    else:
        content = bytearray(b"" if damage == "empty" else b"hello")
    (kept / name).write_bytes(content)
    if damage == "missing":
        (kept / name).unlink()
    forget()
    with pytest.warns(UserWarning, match="is damaged .* decoding the images again"):
        after = data.load(request("imagefolder", folder, **SMALL))
    assert after.sha256 == before.sha256
    forget()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load(request("imagefolder", folder, **SMALL))


@pytest.mark.parametrize("name", ["", "train_labels.npy", "sha256"])
def test_a_cache_of_ours_that_others_may_write_is_built_again(folder, cache, name):
    before = data.load(request("imagefolder", folder, **SMALL))
    [kept] = cache.glob("imagefolder-*")
    _tamper(kept)
    (kept / name).chmod(0o777)
    forget()
    with pytest.warns(UserWarning, match="can be written by other users.* decoding the images"):
        after = data.load(request("imagefolder", folder, **SMALL))
    assert after.sha256 == before.sha256
    for path in (kept, *kept.iterdir()):
        assert path.stat().st_mode & 0o022 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_cache_of_another_user_is_neither_used_nor_removed(folder, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    before = data.load(request("imagefolder", folder, **SMALL))
    [kept] = cache.glob("imagefolder-*")
    _tamper(kept)
    os.chown(kept, 12345, 12345)
    forget()
    with pytest.warns(UserWarning, match="belongs to another user.* kept elsewhere"):
        after = data.load(request("imagefolder", folder, **SMALL))
    assert after.sha256 == before.sha256
    assert kept.exists()
    assert list((tmp_path / "own" / "hpo-bench").glob("imagefolder-*"))


def _tamper(kept):
    """Change the labels as somebody would who knows how the checksum is made."""
    arrays = {file.stem: np.load(file) for file in kept.glob("*.npy")}
    arrays["train_labels"][:] = 1 - arrays["train_labels"]
    np.save(kept / "train_labels.npy", arrays["train_labels"])
    (kept / "sha256").write_text(_digest(arrays))


def test_decoded_images_are_readable_by_others_whatever_the_umask(folder, cache):
    before = os.umask(0o077)
    try:
        data.load(request("imagefolder", folder, **SMALL))
    finally:
        os.umask(before)
    [kept] = cache.glob("imagefolder-*")
    assert kept.stat().st_mode & 0o777 == 0o755
    assert {file.stat().st_mode & 0o777 for file in kept.iterdir()} == {0o644}


def test_the_images_of_a_folder_are_in_memory_once_for_all_processes(folder):
    loaded = data.load(request("imagefolder", folder, **SMALL))
    for part in (loaded.train, loaded.validation, loaded.test):
        assert isinstance(part.source, np.memmap)
    assert loaded.train.source is loaded.validation.source


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_a_broken_image_is_named(folder, cache, content):
    broken = folder / "test" / "dog" / "0.png"
    broken.write_bytes(broken.read_bytes()[:300] if content is None else content)
    with pytest.raises(HpoBenchError, match=r"test/dog/0\.png cannot be read as an image"):
        data.load(request("imagefolder", folder, **SMALL))
    assert not list(cache.glob("imagefolder-*"))


@pytest.mark.parametrize("pixels", [np.uint16, np.int32, np.float32])
def test_grey_values_that_do_not_fit_into_8_bits_are_refused(folder, pixels):
    ramp = np.linspace(0, 60_000, 1024).reshape(32, 32).astype(pixels)
    Image.fromarray(ramp).save(folder / "train" / "cat" / "deep.tif")
    with pytest.raises(HpoBenchError, match=r"train/cat/deep\.tif cannot be read .* 8 bits"):
        data.load(request("imagefolder", folder, **SMALL))


def test_an_image_of_too_many_pixels_is_refused_before_it_is_unpacked(folder):
    Image.new("1", (10_000, 10_000)).save(folder / "train" / "cat" / "bomb.png")
    with pytest.raises(HpoBenchError, match=r"cat/bomb\.png .* more than 50,000,000 pixels"):
        data.load(request("imagefolder", folder, **SMALL))


def test_a_link_to_nowhere_is_told(folder):
    (folder / "train" / "cat" / "gone.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(HpoBenchError, match=r"train/cat/gone\.png cannot be read: No such file"):
        data.load(request("imagefolder", folder, **SMALL))


def test_classes_of_train_and_test_must_agree(folder):
    (folder / "test" / "dog").rename(folder / "test" / "wolf")
    with pytest.raises(HpoBenchError, match=r"same classes; only one of them has dog, wolf"):
        data.load(request("imagefolder", folder, **SMALL))


def test_a_missing_folder_is_told(folder, tmp_path):
    with pytest.raises(HpoBenchError, match=r"nowhere/train is not a directory"):
        data.load(request("imagefolder", tmp_path / "nowhere", **SMALL))


def test_a_class_without_images_is_told(folder):
    for file in (folder / "test" / "cat").iterdir():
        if file.suffix != ".txt":
            file.unlink()
    with pytest.raises(HpoBenchError, match=r"test/cat holds no images"):
        data.load(request("imagefolder", folder, **SMALL))


def test_one_class_is_no_classification(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part / "cat").mkdir(parents=True)
    with pytest.raises(HpoBenchError, match="two classes"):
        data.load(request("imagefolder", tmp_path, **SMALL))


def test_names_that_are_not_utf8_are_read(folder):
    for part in ("train", "test"):
        (folder / part / "cat").rename(folder / part / os.fsdecode(b"caf\xe9"))
    images = folder / "train" / os.fsdecode(b"caf\xe9")
    (images / "0.png").rename(images / os.fsdecode(b"\xff.png"))
    loaded = data.load(request("imagefolder", folder, **SMALL))
    assert loaded.classes == (os.fsdecode(b"caf\xe9"), "dog")


def test_hidden_files_and_folders_are_left_out_and_told(folder, capsys):
    before = data.load(request("imagefolder", folder, **SMALL))
    (folder / "train" / "cat" / "._0.png").write_bytes(b"\x00\x05\x16\x07")  # macOS makes these
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    forget()
    Image.new("RGB", (32, 32)).save(folder / "train" / ".ipynb_checkpoints" / "0.png")
    (folder / "train" / "cat" / "0.png").touch()
    assert data.load(request("imagefolder", folder, **SMALL)).sha256 == before.sha256
    told = capsys.readouterr().err
    assert told.count(".ipynb_checkpoints left out") == 1


def test_images_in_folders_of_a_class_are_told(folder, capsys):
    (folder / "train" / "dog" / "puppies").mkdir()
    Image.new("RGB", (32, 32)).save(folder / "train" / "dog" / "puppies" / "0.png")
    data.load(request("imagefolder", folder, **SMALL))
    assert "dog: the images in its folders puppies are left out" in capsys.readouterr().err


# cifar10


def make_cifar10(directory, monkeypatch):
    """Write CIFAR-10's files with a few random images, and tell torchvision their checksums."""
    import hashlib
    import pickle

    from torchvision.datasets import CIFAR10

    rng = np.random.default_rng(0)
    base = directory / CIFAR10.base_folder
    base.mkdir(parents=True)

    def write(name, content):
        (base / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    def batch():
        return {"data": rng.integers(0, 256, (10, 3072)).astype(np.uint8), "labels": [*range(10)]}

    names = [name for name, _ in CIFAR10.train_list]
    monkeypatch.setattr(CIFAR10, "train_list", [write(name, batch()) for name in names])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch())])
    _, md5 = write("batches.meta", {"label_names": [f"class {i}" for i in range(10)]})
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5})
    return base


@pytest.fixture
def offline(monkeypatch):
    import urllib.error
    import urllib.request

    asked = []

    def fail(url, *args, **kwargs):
        asked.append(getattr(url, "full_url", url))
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    return asked


CIFAR = {"train_size": 30, "validation_size": 20, "test_size": 10}


def test_cifar10_is_found_in_the_data_directory(tmp_path, monkeypatch, offline):
    base = make_cifar10(tmp_path / "here", monkeypatch)
    loaded = data.load(request("cifar10", tmp_path / "here", **CIFAR))
    assert offline == []
    assert loaded.classes[3] == "class 3"
    raw = np.load(base / "test_batch", allow_pickle=True)
    expected = {img.reshape(3, 32, 32).transpose(1, 2, 0).tobytes() for img in raw["data"]}
    assert {image.tobytes() for image in loaded.test.pixels} == expected


def test_cifar10_is_looked_for_in_the_default_directory(cache, monkeypatch, offline):
    make_cifar10(cache, monkeypatch)
    assert len(data.load(request("cifar10", **CIFAR)).train) == 30


def test_cifar10_s_archive_placed_by_hand_is_unpacked(tmp_path, monkeypatch, offline):
    import hashlib
    import shutil
    import tarfile

    from torchvision.datasets import CIFAR10

    base = make_cifar10(tmp_path, monkeypatch)
    archive = tmp_path / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(base, CIFAR10.base_folder)
    shutil.rmtree(base)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert len(data.load(request("cifar10", tmp_path, **CIFAR)).test) == 10
    assert offline == []


def test_cifar10_missing_and_no_network_says_where_it_looked_and_what_to_do(tmp_path, offline):
    (tmp_path / "here").mkdir()
    with pytest.raises(HpoBenchError) as told:
        data.load(request("cifar10", tmp_path / "here", **CIFAR))
    text = str(told.value)
    assert offline
    for part in (
        str(tmp_path / "here"),
        "cifar-10-python.tar.gz",
        "no network",
        "HPO_BENCH_DATA",
        "'imagefolder'",
        "'shapes'",
    ):
        assert part in text


def test_a_data_directory_that_was_mistyped_is_not_made(tmp_path, offline):
    with pytest.raises(InputError, match=r"data_dir: .*hree' cannot be used; there is no such dir"):
        data.load(request("cifar10", tmp_path / "hree", **CIFAR))
    assert not (tmp_path / "hree").exists()
    assert not offline


def test_cifar10_with_another_checksum_is_not_used(tmp_path, monkeypatch, offline):
    base = make_cifar10(tmp_path, monkeypatch)
    with (base / "data_batch_3").open("ab") as file:
        file.write(b"x")
    with pytest.raises(HpoBenchError, match=r"CIFAR-10 in .* is damaged: cifar-10-batches-py/"):
        data.load(request("cifar10", tmp_path, **CIFAR))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_data_directory_is_told(tmp_path):
    (tmp_path / "fixed").mkdir(mode=0o500)
    with pytest.raises(HpoBenchError, match="cannot be used for downloads"):
        data.load(request("cifar10", tmp_path / "fixed", **CIFAR))


def test_a_relative_data_directory_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("HPO_BENCH_DATA", "relative-to-the-start")
    monkeypatch.chdir(tmp_path)
    assert data_directory() == tmp_path / "relative-to-the-start"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert data_directory() == tmp_path / "relative-to-the-start"
