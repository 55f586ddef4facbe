import matplotlib
import numpy as np
import optuna
import pytest
from written import write_suite

from hpo_bench.analysis.summary import summarise
from hpo_bench.errors import InputError
from hpo_bench.report import figures, space, static
from hpo_bench.report.files import write_figures


@pytest.fixture(scope="module")
def summary():
    storage = optuna.storages.InMemoryStorage()
    write_suite(storage, methods={"random": 0.0, "pso": 0.02, "tpe": 0.05})
    return summarise(storage, "written")


def test_every_picture_but_one_is_written(summary, tmp_path):
    before = dict(matplotlib.rcParams)
    made = {p.stem for p in write_figures(tmp_path, [summary], "sqlite:///x.db", "svg")}
    assert {"curve-epochs", "ecdf", "finals", "times", "slice-y"} <= made
    assert "parallel" not in made
    assert dict(matplotlib.rcParams) == before  # settings of others are left alone


@pytest.mark.parametrize("ending", static.FORMATS)
def test_a_picture_is_the_same_again(summary, tmp_path, ending):
    pictures = [("times", figures.times(summary))]
    for name in ("one", "again"):
        (tmp_path / name).mkdir()
        (made,) = static.write(tmp_path / name, pictures, ending)
    assert made.read_bytes() == (tmp_path / "one" / made.name).read_bytes()


def test_they_show_the_same_numbers(summary):
    (picture,) = [p for p in figures.curves(summary) if p.key == "curve-epochs"]
    axes = static.draw(picture).axes[0]
    medians = {line.get_label(): line.get_ydata() for line in axes.lines}
    for curve in summary.curves["epochs"]:
        np.testing.assert_array_equal(medians[curve.method], curve.median)
    assert len(axes.collections) == len(medians)  # a band for each

    times = figures.times(summary)
    bars = static.draw(times).axes[0].patches
    widths = sum(bar.get_width() for bar in bars)
    expected = sum(map(sum, figures.time_parts(summary).values()))
    assert widths == pytest.approx(expected)


def test_axes_are_those_of_the_page(summary):
    pictures = {picture.key: picture for picture in space.slices(summary)}
    assert static.draw(pictures["slice-y"]).axes[0].get_xscale() == "log"
    assert static.draw(pictures["slice-x"]).axes[0].get_xscale() == "linear"
    top, bottom = static.draw(figures.finals(summary)).axes[0].get_ylim()
    assert top > bottom  # the best method stands first, from above


def test_a_folder_that_cannot_be_made_is_told(summary, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--figures"):
        write_figures(tmp_path / "file", [summary], "sqlite:///x.db", "pdf")
