"""Published figures are read as printed, and belong to the rows of their system."""

from __future__ import annotations

from isbench.papers import Question, Row, find_figures, list_rows, parse_figures

TEXT = """table,system,model,backbone,trained_on,weights,dataset,max_clicks,metric,value,note
1,A,a,r50,SBD,sbd,davis,20,noc@90,6.71,
1,A,a,r50,COCO,coco,davis,20,noc@90,5.5,
1,B,b,r50,SBD,sbd,davis,20,noc@90,,a cross
1,B,b,r50,SBD,sbd,,,gflops,508.72,
"""
FIGURES = parse_figures(TEXT)
DAVIS = Question("davis", 20, "noc@90")


def test_a_figure_that_is_not_there_is_none() -> None:
    assert [figure.value for figure in FIGURES] == [6.71, 5.5, None, 508.72]
    assert FIGURES[3].max_clicks is None


def test_a_row_has_the_figures_of_its_system_and_training_alone() -> None:
    rows = list_rows(FIGURES)
    assert [(row.system, row.trained_on) for row in rows] == [
        *(("A", "SBD"), ("A", "COCO"), ("B", "SBD"))
    ]
    changed = rows[0]._replace(options=(("joined", "on"),))
    ours = Row("", model="a")
    found = find_figures([*rows, changed, ours], [DAVIS, Question("sbd", 20, "noc@90")], FIGURES)
    assert found == {(rows[0], DAVIS): 6.71, (rows[1], DAVIS): 5.5, (changed, DAVIS): 6.71}
