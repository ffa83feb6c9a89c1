"""What ``import cascade`` offers, what it costs, and that a change of it is seen."""

import difflib
import inspect
import re
import subprocess
import sys

import pytest
import signatures
from shipping import ROOT, clean_environment

import cascade
import cascade.extensions
import cascade.testing

HEAVY = {"tensorflow", "pandas", "numpy", "pyarrow", "merlin", "faiss", "feast", "sklearn", "tritonclient", "numba"}


def python(code):
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_signatures_are_those_written_down():
    """A change here is a change for users: mention it in CHANGELOG.md, then run ``python tests/api/signatures.py``."""
    written, now = signatures.FILE.read_text().splitlines(), signatures.render().splitlines()
    diff = "\n".join(difflib.unified_diff(written, now, "tests/api/api.txt", "now", n=0, lineterm=""))
    assert not diff, f"the public API has changed; if that is meant, run python tests/api/signatures.py\n{diff}"


def test_import_loads_few_modules_and_none_that_are_heavy():
    code = "import sys; bare = {*sys.modules}; import cascade; print(*{*sys.modules} - bare)"
    imported = set(python(code).split())
    assert "cascade" in imported and len(imported) < 100 and not imported & HEAVY


def test_a_rollback_waits_for_no_heavy_module():
    modules = "cascade.cli.release, cascade.config.export_section, cascade.rollout.releases.promotion"
    code = f"import sys; import {modules}; print(*sys.modules)"
    assert not set(python(code).split()) & (HEAVY - {"numpy"})


def test_every_name_is_there_and_found_once():
    for module in (cascade, cascade.extensions, cascade.testing):
        assert list(module.__all__) == sorted(module.__all__)
        for name in module.__all__:
            assert getattr(module, name) is getattr(module, name)
        assert set(module.__all__) <= set(dir(module))
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            module.nothing  # noqa: B018


def test_errors_have_one_home():
    from cascade.core import errors

    for name in cascade.errors.__all__:
        assert getattr(cascade.errors, name) is getattr(errors, name)
        assert issubclass(getattr(cascade.errors, name), cascade.errors.CascadeError)
    own = [name for name, thing in vars(errors).items() if inspect.isclass(thing) and issubclass(thing, Exception)]
    assert sorted(own) == sorted(cascade.errors.__all__)


def documented():
    """(name, docstring, whether it must say what it raises)."""
    for module in (cascade, cascade.errors, cascade.extensions, cascade.testing):
        yield module.__name__, module.__doc__, False
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{module.__name__}.{name}", thing.__doc__, inspect.isfunction(thing) and module is cascade
    for owner in (cascade.Release, cascade.Server, cascade.Client, cascade.Recommendations, cascade.SimilarItems):
        for name, member in vars(owner).items():
            if not name.startswith("_"):
                yield f"cascade.{owner.__name__}.{name}", (getattr(member, "fget", None) or member).__doc__, False


@pytest.mark.parametrize(("name", "text", "raises"), list(documented()), ids=lambda value: str(value)[:40])
def test_is_documented(name, text, raises):
    assert text and len(text.split()) >= 2, f"{name}: no docstring"
    assert text.split("\n")[0].rstrip().endswith((".", ":", "``", ",")) or "\n" in text
    if raises:
        assert "Raises:" in text and "Example:" in text, f"{name}: the docstring lacks Raises: or Example:"


@pytest.mark.parametrize("name", ["recommend", "similar", "explain"])
def test_methods_of_a_release_say_what_they_take(name):
    text = getattr(cascade.Release, name).__doc__
    assert "Raises:" in text and "Example:" in text


def test_version_is_a_semantic_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+", cascade.__version__)


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_use_the_public_api(notebook):
    """They import the package, the standard library and what draws, and name only what is public."""
    import ast
    import json

    cells = json.loads(notebook.read_text())["cells"]
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    taken = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported | taken <= {"os", "json", "pathlib", "cascade", "numpy", "pandas", "matplotlib"}
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cascade"
    }
    assert names and names <= set(cascade.__all__)
