"""The parts of an HTML page escape what they are given."""

from cascade.core.page import cell, document, fact_table, figure_of, header, html_table, image, note


def test_text_is_escaped():
    assert cell("a<b") == "<td>a&lt;b</td>" and header("a&b") == "<th>a&amp;b</th>"
    assert note("<p>") == '<p class="note">&lt;p&gt;</p>'
    assert fact_table({"<k>": 1}) == "<table><tr><th>&lt;k&gt;</th><td>1</td></tr></table>"


def test_a_table_with_and_without_titles():
    row = [cell(1), cell(2)]
    assert html_table(["a", ""], [row]) == ("<table><tr><th>a</th><th></th></tr><tr><td>1</td><td>2</td></tr></table>")
    assert html_table((), [row]) == "<table><tr><td>1</td><td>2</td></tr></table>"


def test_a_document_holds_its_body_and_its_figures():
    figure, axes = figure_of("x", "y")
    axes.plot([0, 1], [0, 1])
    page = document("a<b", "Title & more", image(figure, "a line"))
    assert "<title>cascade: a&lt;b</title>" in page and "<h1>Title &amp; more</h1>" in page
    assert '<img alt="a line" src="data:image/svg+xml;base64,' in page
